"""The picture of neighbors: the right ones, in the right order, found by name or by file."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from sbae_tf import embed
from sbae_tf.embedding_manifest import read_shards
from tests import mean_color
from tools import neighbors

_COUNT = 20


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory) -> pathlib.Path:
  """`photos`, their embeddings `out`, and the encoder `model`."""
  folder = tmp_path_factory.mktemp("neighbors")
  mean_color.write_photographs(folder / "photos", _COUNT, broken=(4,))
  encoder = mean_color.save(folder / "model")
  flags = [f"--encoder={encoder}", f"--data={folder}/photos", f"--out={folder}/out"]
  flags += ["--features=color,blocks/4", "--image_size=8", "--shard_size=12", "--max_skipped=0.1"]
  assert embed.main(flags) == 0
  return folder


def _names(folder: pathlib.Path) -> list[str]:
  return [name for _, rows in read_shards(folder / "out", ["color"]) for name in rows.names]


def _by_hand(names: list[str], query: np.ndarray) -> list[str]:
  """Names by falling cosine similarity."""
  colors = mean_color.expected(names).astype(np.float64)
  cosine = colors @ query / (np.linalg.norm(colors, axis=1) * np.linalg.norm(query))
  return [names[i] for i in np.argsort(-cosine, kind="stable")]


def _run(folder: pathlib.Path, out: pathlib.Path, query: object, *more: str) -> int:
  return neighbors.main(
    [f"--embeddings={folder}/out", f"--query={query}", f"--out={out}", "--side=32", *more]
  )


def _tile(picture: np.ndarray, row: int, column: int, *, columns: int, rows: int) -> np.ndarray:
  """The middle of a photograph in the grid, as its color."""
  height = (picture.shape[0] - 30) // rows
  return picture[30 + row * height + 16, 8 + column * 40 + 16]


def test_by_name(folder, tmp_path, capsys):
  names = _names(folder)
  query = next(name for name in names if name.endswith("/005.png"))
  order = _by_hand(names, mean_color.expected([query])[0])
  assert order[0] == query
  assert _run(folder, tmp_path / "grid.png", "005.png", "--count=8") == 0
  first, *lines, last = capsys.readouterr().out.splitlines()
  assert first.split() == ["query", query] and last == f"Drawn in {tmp_path}/grid.png"
  assert [line.split()[1] for line in lines] == order[1:9]
  similarities = [float(line.split()[0]) for line in lines]
  assert similarities == sorted(similarities, reverse=True) and similarities[0] <= 1
  picture = np.asarray(Image.open(tmp_path / "grid.png"))
  assert picture.shape == (30 + 3 * (32 + 28 + 8), 3 * 40 + 8, 3)
  for place, name in enumerate([query, *order[1:9]]):
    color = _tile(picture, *divmod(place, 3), columns=3, rows=3)
    assert tuple(color) == mean_color.color(int(pathlib.Path(name).stem))
  red = (picture == (0xD6, 0x27, 0x28)).all(axis=2)
  ys, xs = np.nonzero(red)
  assert (xs.min(), xs.max(), ys.min(), ys.max()) == (5, 42, 27, 64)  # Around the query alone.


def test_by_a_file_that_is_not_among_them(folder, tmp_path, capsys):
  file = tmp_path / "new.png"
  Image.new("RGB", (16, 8), (30, 200, 90)).save(file)
  assert _run(folder, tmp_path / "grid.png", file, "--count=3") == 0
  lines = capsys.readouterr().out.splitlines()
  order = _by_hand(_names(folder), np.array([30, 200, 90]) / 255)
  assert [line.split()[1] for line in lines[1:4]] == order[:3]
  picture = np.asarray(Image.open(tmp_path / "grid.png"))
  assert tuple(_tile(picture, 0, 0, columns=2, rows=2)) == (30, 200, 90)


def test_more_neighbors_than_there_are(folder, tmp_path, capsys):
  assert _run(folder, tmp_path / "grid.png", "005.png", "--count=99", "--feature=blocks/4") == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == _COUNT  # Without the broken one, and with the last line.


def test_photographs_that_have_moved(folder, tmp_path, capsys):
  photos = mean_color.write_photographs(tmp_path / "moved", _COUNT, broken=(4,))
  (photos / "red" / "006.png").unlink()
  (photos / "red" / "006.png").write_bytes(b"broken since")
  assert _run(folder, tmp_path / "grid.png", "005.png", f"--data={photos}", "--count=99") == 0
  picture = np.asarray(Image.open(tmp_path / "grid.png"))
  place = 1 + [line.split()[1][-7:] for line in capsys.readouterr().out.splitlines()[1:]].index(
    "006.png"
  )
  color = _tile(picture, *divmod(place, 5), columns=5, rows=4)
  assert tuple(color) == (224, 224, 224)
  (photos / "red" / "000.png").unlink()
  assert _run(folder, tmp_path / "grid.png", "005.png", f"--data={photos}") == 2
  assert "no longer holds what the embeddings were made from" in capsys.readouterr().err


def _errors(capsys) -> list[str]:
  return capsys.readouterr().err.splitlines()


def test_mistakes_are_one_line(folder, tmp_path, capsys):
  out = tmp_path / "grid.png"
  for arguments, message in {
    ("nowhere.png",): "--query=nowhere.png is neither a name in .* nor an image file",
    ("005.png", "--count=0"): "Expected --count of 1 or more. Received: 0",
    ("005.png", "--feature=conv3"): "There is no feature conv3 in .*There are: color, blocks/4",
    ("005.png", f"--embeddings={tmp_path}"): "There are no embeddings in .*python -m sbae_tf.embed",
    ("005.png", f"--out={tmp_path}/grid.xyz"): "Cannot write --out=.*Give a file.png",
    (folder / "photos" / "red" / "004.png",): "Expected --query=.* to be one photograph. not_an_im",
  }.items():
    assert _run(folder, out, *arguments) == 2
    lines = _errors(capsys)
    assert len(lines) == 1 and re.match(f"neighbors: {message}", lines[0]), lines
  other = mean_color.save(tmp_path / "other", scale=1 / 256)
  photo = folder / "photos" / "red" / "004.png"
  assert _run(folder, out, photo, f"--encoder={other}") == 2
  assert "is another one than the embeddings were made with" in _errors(capsys)[-1]
  assert not out.exists()


def test_the_end_of_several_names(folder, tmp_path):
  mean_color.write_photographs(tmp_path / "a", 2)
  mean_color.write_photographs(tmp_path / "b", 2)
  flags = [f"--encoder={folder}/model", f"--data={tmp_path}/a;{tmp_path}/b", "--features=color"]
  assert embed.main([*flags, f"--out={tmp_path}/out", "--image_size=8"]) == 0
  with pytest.raises(ValueError, match="001.png is the end of 2 names, such as .*Give more of it"):
    neighbors.find(f"{tmp_path}/out", "001.png", feature="color")
  found = neighbors.find(f"{tmp_path}/out", "b/red/001.png", feature="color")
  assert found is not None and found[0].name == f"{tmp_path}/b/red/001.png"


def test_a_long_name_loses_its_beginning():
  picture = neighbors.draw_grid(
    np.zeros((1, 32, 32, 3), np.uint8), [["x" * 500 + "é"]], title="t" * 500
  )
  assert picture.size == (48, 30 + 32 + 14 + 8)
