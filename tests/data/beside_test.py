"""Pairs: what lies beside a photograph is cut as it is, and a pair that is none is skipped."""

from __future__ import annotations

import itertools
import pathlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from sbae_tf.data import pipeline, sources
from sbae_tf.data.beside import Beside
from sbae_tf.data.skipped import Skipped

HEIGHT, WIDTH = 120, 200
COUNT = 6


def _identity(bands: np.ndarray) -> np.ndarray:
  if bands.shape[2] != 2:
    raise ValueError(f"Expected 2 bands. Received: {bands.shape[2]}.")
  return bands.astype(np.uint8)


COORDINATES = Beside("../bands/{stem}.npy", 2, _identity)


def _pairs(folder: pathlib.Path, *, scale: float = 1.0) -> None:
  """Photographs whose red and green are the column and the row; bands of the same, or missing."""
  for name in ("rgb", "bands"):
    (folder / name).mkdir()
  y, x = np.mgrid[:HEIGHT, :WIDTH]
  for i in range(COUNT):
    photograph = np.stack([x, y, np.full_like(x, i)], -1).astype(np.uint8)
    Image.fromarray(photograph).save(folder / "rgb" / f"{i}.png")
    rows = ((np.arange(int(HEIGHT * scale)) + 0.5) / scale).astype(int)
    columns = ((np.arange(int(WIDTH * scale)) + 0.5) / scale).astype(int)
    bands = np.stack(np.broadcast_arrays(columns[None], rows[:, None]), -1).astype(np.uint16) + 1
    bands[:, : bands.shape[1] // 4] = 0
    np.save(folder / "bands" / f"{i}.npy", bands)


def _open(folder: pathlib.Path, beside: Beside = COORDINATES):
  return sources.open_source(str(folder / "rgb"), beside=beside)


# Reduced by a factor, and enlarged or sampled.
@pytest.mark.parametrize(("scale", "image_size"), [(1.0, 16), (0.5, 64), (2.0, 64)])
def test_both_are_cut_by_the_same_window(tmp_path, scale, image_size):
  _pairs(tmp_path, scale=scale)
  dataset = pipeline.train_dataset(
    _open(tmp_path), batch_size=6, image_size=image_size, seed=1, turns=True, area=(0.05, 1.0)
  )
  images = np.concatenate([b["image"] for b in itertools.islice(dataset.as_numpy_iterator(), 4)])
  assert images.shape == (24, image_size, image_size, 5)
  images = images.astype(float)
  steps = [np.abs(np.diff(images[..., :2], axis=axis)).max((1, 2, 3)) for axis in (1, 2)]
  step = np.maximum(*steps)[:, None, None, None]  # Of a photograph's pixel, at most.
  known = images[..., 3:] > 0
  difference = np.abs(images[..., :2] + 1 - images[..., 3:])
  # A pixel is the nearest of its neighbors where the photograph is in between.
  assert (difference <= step / 2 + 1.5 / min(scale, 1.0))[known].all()
  # Where no band has a value, at the left of the photograph as it lies, and nowhere else.
  edge = WIDTH // 4
  assert not (known[..., 0] & (images[..., 0] < edge - step[..., 0] - 2)).any()
  assert (known[..., 0] | (images[..., 0] < edge + step[..., 0] + 2)).all()
  assert 0.05 < known.mean() < 0.95
  assert len({tuple(image[0, 0, :2]) for image in images}) > 20


def test_evaluation_takes_the_central_square_of_both(tmp_path):
  _pairs(tmp_path)
  (batch,) = pipeline.evaluation_dataset(_open(tmp_path), batch_size=8, image_size=HEIGHT)
  left = (WIDTH - HEIGHT) // 2
  assert batch["index"].numpy().tolist() == list(range(COUNT))
  bands = batch["image"].numpy()[..., 3:].astype(int)
  assert bands[0, 5, :, 0].tolist() == [0] * (WIDTH // 4 - left) + list(
    range(WIDTH // 4 + 1, left + HEIGHT + 1)
  )
  np.testing.assert_array_equal(
    batch["image"][..., 0], np.broadcast_to(np.arange(left, left + HEIGHT), (COUNT, HEIGHT, HEIGHT))
  )


def test_the_same_twice_and_from_any_step(tmp_path):
  _pairs(tmp_path)

  def batches(first_step=0, **options):
    dataset = pipeline.train_dataset(
      _open(tmp_path), batch_size=3, image_size=16, seed=0, first_step=first_step, **options
    )
    return [
      batch["image"] for batch in itertools.islice(dataset.as_numpy_iterator(), 4 - first_step)
    ]

  np.testing.assert_array_equal(batches(first_step=2, parallel_calls=1), batches()[2:])


def test_pairs_that_are_none_are_skipped_with_the_reason(tmp_path):
  _pairs(tmp_path)
  bands = tmp_path / "bands"
  (bands / "0.npy").unlink()
  (bands / "1.npy").write_bytes((bands / "1.npy").read_bytes()[:-5])
  np.save(bands / "2.npy", np.ones((HEIGHT, WIDTH - 9, 2), np.uint16))
  np.save(bands / "3.npy", np.ones((HEIGHT, WIDTH), np.uint16))
  (tmp_path / "rgb" / "4.png").write_bytes(b"")
  skipped = Skipped(COUNT, limit=1.0)
  dataset = pipeline.evaluation_dataset(
    _open(tmp_path), batch_size=8, image_size=16, skipped=skipped
  )
  assert [batch["index"].numpy().tolist() for batch in dataset] == [[5]]
  entries = {pathlib.Path(name).stem: entry for name, entry in skipped.entries.items()}
  assert {stem: reason for stem, (reason, _) in entries.items()} == {
    "0": "missing",
    "1": "truncated",
    "2": "unmatched",
    "3": "unmatched",
    "4": "empty",
  }
  for stem in "0123":
    assert f"../bands/{stem}.npy" in entries[stem][1]
  assert "191 x 120 is no scale of 200 x 120" in entries["2"][1]
  assert "Expected 2 bands. Received: 1." in entries["3"][1]
  # In training another pair takes the place.
  dataset = pipeline.train_dataset(
    _open(tmp_path), batch_size=6, image_size=16, seed=0, skipped=skipped
  )
  batch = next(dataset.as_numpy_iterator())
  assert (np.round(batch["image"][..., 2]) == 5).all() and str(skipped).startswith("5 of 6 ")


def test_turned_where_both_are(tmp_path):
  """EXIF's orientation 6: seen with its left column as the upper row."""
  stored = np.zeros((40, 60, 3), np.uint8)
  stored[:, 30:] = 200
  turned = Image.Exif()
  turned[274] = 6
  for name in ("a", "b"):
    Image.fromarray(stored).save(tmp_path / f"{name}.jpg", exif=turned, quality=95)
  band = Image.fromarray(stored[..., 0] + 1)
  band.save(tmp_path / "a.png", exif=turned)
  band.save(tmp_path / "b.png")
  beside = Beside("{stem}.png", 1, lambda bands: bands)
  upright = beside.decode(
    str(tmp_path / "a.jpg"), (tmp_path / "a.jpg").read_bytes(), max_pixels=10**6
  )
  assert upright.shape == (60, 40, 4)
  np.testing.assert_allclose(upright[..., 0].astype(int) + 1, upright[..., 3], atol=5)
  source = sources.open_source(str(tmp_path / "b.jpg"), beside=beside)
  skipped = Skipped(1, limit=1.0)
  assert not list(pipeline.evaluation_dataset(source, batch_size=1, image_size=8, skipped=skipped))
  ((reason, detail),) = skipped.entries.values()
  assert reason == "unmatched" and "orientation 1, and the photograph by 6" in detail


def test_several_files_and_formats_make_one_stack(tmp_path):
  _pairs(tmp_path)
  y, x = np.mgrid[:HEIGHT, :WIDTH]
  seen = []

  def levels(bands):
    seen.append(bands)
    return bands[..., :1].astype(np.uint8)

  for i in range(COUNT):
    Image.fromarray((300 * y).astype(np.uint16)).save(tmp_path / f"{i}.png.depth.png")
    pages = np.stack([x, y, x + y]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "bands" / f"rgb_{i}.tif", pages, photometric="minisblack")
  pattern = f"../{{name}}.depth.png; {tmp_path}/bands/{{folder}}_{{stem}}.tif"
  source = _open(tmp_path, Beside(pattern, 1, levels))
  (batch,) = pipeline.evaluation_dataset(source, batch_size=8, image_size=16)
  assert batch["image"].shape == (COUNT, 16, 16, 4)
  for bands in seen:
    np.testing.assert_array_equal(bands, np.stack([300 * y, x, y, x + y], -1))


@pytest.mark.parametrize(
  ("photograph", "path"),
  [
    ("/data/rgb/x.y.jpg", "/data/rgb/../d/x.y.png"),
    ("rgb/x.jpg", "rgb/../d/x.png"),
    ("x.jpg", "../d/x.png"),
    ("gs://bucket/rgb/x.jpg", "gs://bucket/d/x.png"),
  ],
)
def test_paths_begin_at_the_photographs_folder(photograph, path):
  assert Beside("../d/{stem}.png", 1, _identity).paths(photograph) == [path]
  assert Beside("/d/{name}", 1, _identity).paths(photograph)[0].startswith("/d/x.")


def test_only_files_have_something_beside_them(tmp_path):
  _pairs(tmp_path)
  listed = tmp_path / "list.txt"
  listed.write_text("rgb/0.png\nrgb/1.png\n")
  mixed = sources.open_source(f"{listed}; {tmp_path}/rgb/5.png", beside=COORDINATES)
  assert mixed.planes == mixed.subset(np.array([2]), "one").planes == 5
  assert "2 images of the list" in mixed.description and "../bands/{stem}.npy" in mixed.description
  (batch,) = pipeline.evaluation_dataset(mixed, batch_size=3, image_size=16)
  assert batch["image"].shape == (3, 16, 16, 5)
  import zipfile

  with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
    archive.write(tmp_path / "rgb" / "0.png", "0.png")
  with pytest.raises(ValueError, match="Expected a folder, a glob or a list .*photos.zip"):
    sources.open_source(str(tmp_path / "photos.zip"), beside=COORDINATES)
