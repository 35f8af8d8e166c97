"""Tests of sbae_tf.data.pipeline."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import pathlib
import re
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.data import files, pipeline
from sbae_tf.data import source as source_lib
from sbae_tf.data.shard import Shard
from sbae_tf.data.skipped import Skipped, TooManySkippedError

COUNT = 22
SIZE = 8


def _slow(*values: Any) -> list[Any]:
  """Parameters of a test that one more of is enough for every day; a tuple for several names."""
  rows = (value if isinstance(value, tuple) else (value,) for value in values)
  return [pytest.param(*row, marks=pytest.mark.slow) for row in rows]


def _memory_source(count: int = COUNT, labels: bool = True) -> source_lib.Source:
  """Random images in memory; red is the index all over the image, so it survives cropping."""
  images = np.random.default_rng(0).integers(0, 256, (count, 12, 16, 3), np.uint8)
  images[..., 0] = np.arange(count)[:, None, None] % 256
  encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
  return source_lib.Source(
    names=[str(i) for i in range(count)],
    labels=np.arange(count, dtype=np.int32) * 7 % 5 if labels else None,
    class_names=tuple("abcde") if labels else (),
    read=lambda index: tf.gather(encoded, index),
    description="random images",
  )


def _folder_source(folder: pathlib.Path, broken: dict[int, bytes]) -> source_lib.Source:
  """30 files, red as above, of which some hold other bytes."""
  for i in range(30):
    pixels = np.full((11, 9, 3), (i, 0, 0), np.uint8)
    content = broken.get(i, tf.io.encode_png(pixels).numpy())
    (folder / f"{i:02}.png").write_bytes(content)
  return files.build(str(folder))


def _train(source: source_lib.Source | None = None, **changes: object) -> tf.data.Dataset:
  arguments = {"batch_size": 4, "image_size": SIZE, "seed": 0, **changes}
  return pipeline.train_dataset(source or _memory_source(), **arguments)


def _batches(dataset: tf.data.Dataset, count: int) -> list[dict[str, np.ndarray]]:
  return list(itertools.islice(dataset.as_numpy_iterator(), count))


def _assert_equal(first, second) -> None:
  assert len(first) == len(second)
  for a, b in zip(first, second):
    for name in ("image", "label"):
      np.testing.assert_array_equal(a[name], b[name])


def _order(batches) -> np.ndarray:
  """The indices of the images, which their red pixels tell."""
  return np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches])


def test_batches_have_static_shapes():
  assert _train().element_spec == {
    "image": tf.TensorSpec((4, SIZE, SIZE, 3), tf.uint8),
    "label": tf.TensorSpec((4,), tf.int32),
  }


def test_training_is_endless_and_says_so():
  assert _train().cardinality() == tf.data.INFINITE_CARDINALITY


def test_threads_do_not_change_the_batches():
  expected = _batches(_train(parallel_calls=1, prefetch=1), 12)
  _assert_equal(_batches(_train(parallel_calls=1, prefetch=1), 12), expected)
  _assert_equal(_batches(_train(parallel_calls=4), 12), expected)
  _assert_equal(_batches(_train(), 12), expected)


@pytest.mark.parametrize("seed", [*_slow(1, 256, 2**33), -1])
def test_another_seed_changes_order_and_crops(seed):
  # 256: the shuffle alone uses a few bits of its key.
  first, second = (_batches(_train(seed=s), 5) for s in (0, seed))
  assert _order(first).tolist() != _order(second).tolist()
  by_index = [
    {int(image[0, 0, 0]): image for batch in batches for image in batch["image"]}
    for batches in (first, second)
  ]
  common = set(by_index[0]) & set(by_index[1])
  same = [np.array_equal(by_index[0][i], by_index[1][i]) for i in common]
  assert len(same) > 10 and sum(same) <= 1  # The images are small: two crops may be one by chance.


@pytest.mark.parametrize("first_step", [*_slow(1, 5, 12), 3])  # An epoch has five steps.
def test_starting_at_a_step_is_leaving_out_those_before(first_step):
  expected = _batches(_train(), first_step + 4)[first_step:]
  _assert_equal(_batches(_train(first_step=first_step), 4), expected)


def test_an_epoch_shows_every_image_once_at_most():
  batches = _batches(_train(), 5 * 20)
  orders = _order(batches).reshape(20, 20)
  assert all(len(set(order)) == 20 for order in orders)
  assert len({tuple(order) for order in orders}) == 20
  # Two of the 22 are left out, other ones every time.
  assert set(orders.ravel()) == set(range(COUNT))
  assert len({frozenset(order) for order in orders}) > 10


def test_crops_of_an_image_differ_from_epoch_to_epoch():
  crops = [image.tobytes() for b in _batches(_train(), 25) for image in b["image"]]
  assert len(set(crops)) > 0.95 * len(crops)


def test_one_image_is_enough():
  batches = _batches(_train(_memory_source(1), batch_size=1), 5)
  assert _order(batches).tolist() == [0] * 5


def test_labels_stay_with_their_images(tmp_path):
  """Against a plain reader: the folder and the file's name say what the pixels must be."""
  for i in range(30):
    folder = tmp_path / "rgbcd"[i % 5]
    folder.mkdir(exist_ok=True)
    pixels = np.full((10, 13, 3), (i, ord("rgbcd"[i % 5]), 0), np.uint8)
    (folder / f"{i * 17 % 30:02}.png").write_bytes(tf.io.encode_png(pixels).numpy())
  plain = {}
  for label, name in enumerate(sorted("rgbcd")):
    for path in (tmp_path / name).iterdir():
      red, green, _ = tf.io.decode_png(path.read_bytes()).numpy()[0, 0]
      assert chr(green) == name
      plain[red] = label
  source = files.build(str(tmp_path))
  train = _batches(_train(source, batch_size=8), 9)
  evaluation = list(
    pipeline.evaluation_dataset(source, batch_size=8, image_size=SIZE).as_numpy_iterator()
  )
  for batch in train + evaluation:
    assert [plain[red] for red in batch["image"][:, 0, 0, 0]] == batch["label"].tolist()
  expected = [tf.io.decode_png(pathlib.Path(name).read_bytes())[0, 0, 0] for name in source.names]
  assert _order(evaluation).tolist() == [int(red) for red in expected]


def test_without_labels_they_are_minus_one():
  source = _memory_source(labels=False)
  batch = _batches(_train(source), 1)[0]
  assert batch["label"].tolist() == [-1] * 4 and batch["label"].dtype == np.int32
  evaluation = pipeline.evaluation_dataset(source, batch_size=4, image_size=SIZE)
  assert {int(label) for batch in evaluation for label in batch["label"]} == {-1}


def test_flip_and_ranges_are_passed_on():
  whole = {"area": (1.0, 1.0), "aspect": (4 / 3, 4 / 3), "image_size": 12}
  source = _memory_source()
  plain = _batches(_train(source, flip=False, **whole), 3)
  flipped = _batches(_train(source, flip=True, **whole), 3)
  same = [
    np.array_equal(a, b) for x, y in zip(plain, flipped) for a, b in zip(x["image"], y["image"])
  ]
  assert 0 < sum(same) < len(same)
  small = _batches(_train(source, area=(0.25, 0.3)), 3)
  assert any((a["image"] != b["image"]).any() for a, b in zip(small, _batches(_train(source), 3)))


def test_no_random_op_in_the_graph_has_a_state():
  serialized = _train()._as_serialized_graph()  # pylint: disable=protected-access
  graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
  ops = set(re.findall(r'\bop: "(\w+)"', str(graph)))  # Those of the functions, too.
  random_ops = {op for op in ops if "Random" in op or "Shuffle" in op}
  assert random_ops and all(
    op.startswith("StatelessRandom") or op == "RandomIndexShuffle" for op in random_ops
  )
  assert "VarHandleOp" not in str(graph)


@pytest.mark.parametrize(
  ("limit", "sizes"), [(None, [8, 8, 6]), (10, [8, 2]), *_slow((8, [8]), (99, [8, 8, 6]))]
)
def test_evaluation_shows_all_in_order_once(limit, sizes):
  dataset = pipeline.evaluation_dataset(
    _memory_source(), batch_size=8, image_size=SIZE, limit=limit
  )
  batches = list(dataset.as_numpy_iterator())
  assert [len(batch["label"]) for batch in batches] == sizes
  assert _order(batches).tolist() == list(range(sum(sizes)))
  assert dataset.element_spec["image"] == tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8)
  _assert_equal(batches, list(dataset.as_numpy_iterator()))


def test_a_broken_image_is_replaced_and_the_others_keep_their_place(tmp_path):
  whole = [_order(_batches(_train(_folder_source(tmp_path, {}), batch_size=6), 10))]
  source = _folder_source(tmp_path, {5: b"x", 17: b""})
  for threads in (1, 4):
    skipped = Skipped(30, limit=0.1, file=tmp_path / f"{threads}.tsv")
    dataset = _train(source, batch_size=6, skipped=skipped, parallel_calls=threads)
    whole.append(_order(_batches(dataset, 10)))
    assert str(skipped) == "2 of 30 images skipped (1 empty, 1 not_an_image)"
    lines = (tmp_path / f"{threads}.tsv").read_text().splitlines()
    assert lines[0] == "reason\tname\tdetail"
    assert {tuple(line.split("\t")[:2]) for line in lines[1:]} == {
      ("not_an_image", f"{tmp_path}/05.png"),
      ("empty", f"{tmp_path}/17.png"),
    }
  expected, first, second = whole
  assert first.tolist() == second.tolist()
  broken = np.isin(expected, [5, 17])
  assert broken.sum() == 4  # Twice in two epochs each.
  assert first[~broken].tolist() == expected[~broken].tolist()
  # The next one in the order.
  assert first[:-1][broken[:-1]].tolist() == expected[1:][broken[:-1]].tolist()


def test_evaluation_leaves_broken_images_out(tmp_path):
  source = _folder_source(tmp_path, {0: b"x", 6: b"", 29: b"y"})
  skipped = Skipped(30, limit=0.1)
  dataset = pipeline.evaluation_dataset(source, batch_size=6, image_size=SIZE, skipped=skipped)
  for _ in range(2):
    batches = list(dataset.as_numpy_iterator())
    assert [len(batch["image"]) for batch in batches] == [6, 6, 6, 6, 3]
    assert _order(batches).tolist() == [i for i in range(30) if i not in (0, 6, 29)]
    assert np.concatenate([b["index"] for b in batches]).tolist() == _order(batches).tolist()
    assert len(skipped) == 3


def test_a_file_that_is_gone_is_skipped(tmp_path):
  source = _folder_source(tmp_path, {})
  (tmp_path / "03.png").unlink()
  skipped = Skipped(30, limit=0.1, file=tmp_path / "skipped.tsv")
  assert 3 not in _order(_batches(_train(source, batch_size=6, skipped=skipped), 5))
  assert (tmp_path / "skipped.tsv").read_text().splitlines()[1].startswith("missing\t")


def test_too_many_broken_images_end_the_data(tmp_path):
  source = _folder_source(tmp_path, dict.fromkeys(range(0, 30, 2), b"x"))
  skipped = Skipped(30, limit=0.2)
  with pytest.raises(tf.errors.OpError):
    _batches(_train(source, skipped=skipped), 100)
  with pytest.raises(TooManySkippedError, match="max_skipped=0.2 accepts"):
    skipped.check()


def test_images_of_too_many_pixels_are_skipped():
  skipped = Skipped(COUNT, limit=1)
  dataset = pipeline.evaluation_dataset(
    _memory_source(), batch_size=4, image_size=SIZE, skipped=skipped, max_pixels=12 * 16 - 1
  )
  assert not list(dataset)
  assert str(skipped) == "22 of 22 images skipped (22 too_large)"
  assert len(_order(_batches(_train(max_pixels=12 * 16), 1))) == 4


def test_what_tensorflow_does_not_read_is_in_its_place(tmp_path):
  """WebP and PNG with alpha among plain PNG: the same order, crops and flips."""
  plain = _memory_source(16)
  images = [tf.io.decode_png(plain.read(tf.constant(i))).numpy() for i in range(16)]
  encoded = [plain.read(tf.constant(i)).numpy() for i in range(16)]
  for i in (2, 3, 9):
    buffer = io.BytesIO()
    Image.fromarray(images[i]).save(buffer, "WEBP", lossless=True)
    encoded[i] = buffer.getvalue()
  alpha = np.full((12, 16, 1), 255, np.uint8)
  encoded[4] = tf.io.encode_png(np.concatenate([images[4], alpha], axis=2)).numpy()
  tensor = tf.constant(encoded)
  mixed = dataclasses.replace(plain, read=lambda index: tf.gather(tensor, index))
  skipped = Skipped(16)
  _assert_equal(_batches(_train(mixed, skipped=skipped), 9), _batches(_train(plain), 9))
  assert not len(skipped)


@pytest.mark.parametrize("batch_size", [*_slow(3, 7, 64, 100), 130])
def test_batches_are_the_same_images_whatever_their_size(batch_size):
  """Chunks are not seen: batches of any size are cut from one sequence."""
  count = 260
  source = _memory_source(count)
  expected = np.concatenate([b["image"] for b in _batches(_train(source, batch_size=4), 65)])
  batches = _batches(_train(source, batch_size=batch_size), count // batch_size)
  images = np.concatenate([batch["image"] for batch in batches])
  np.testing.assert_array_equal(images, expected[: len(images)])


@pytest.mark.slow
@pytest.mark.parametrize("run_length", [4, 8])
def test_runs_are_read_together_and_break_up_where_one_fails(tmp_path, run_length):
  single = _memory_source(40)
  asked = []

  def read_run(indices: tf.Tensor) -> tf.Tensor:
    def note(indices: np.ndarray) -> np.int64:
      asked.append(indices.tolist())
      return np.int64(0)

    noted = tf.numpy_function(note, [indices], tf.int64)
    with tf.control_dependencies([noted]):
      return tf.map_fn(single.read, indices, fn_output_signature=tf.string)

  def is_run(indices: tf.Tensor) -> tf.Tensor:
    steps = indices[:, 1:] - indices[:, :-1]
    return tf.reduce_all(steps == 1, axis=1)

  source = dataclasses.replace(single, run_length=run_length, read_run=read_run, is_run=is_run)
  batches = _batches(_train(source, batch_size=8), 5)
  assert sorted(_order(batches)) == list(range(40))
  assert all(run == list(range(run[0], run[0] + run_length)) for run in asked)
  assert len(asked) >= 40 // run_length
  for batch in batches:
    assert (batch["label"] == batch["image"][:, 0, 0, 0].astype(int) * 7 % 5).all()

  def fails(indices: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(indices[0] != 8, ["broken"])]):
      return tf.map_fn(single.read, indices, fn_output_signature=tf.string)

  broken = dataclasses.replace(source, read_run=fails)
  _assert_equal(_batches(_train(broken, batch_size=8), 5), batches)

  # An order that breaks runs up, and chunks that no run fills.
  asked.clear()
  apart = dataclasses.replace(source, is_run=lambda runs: runs[:, 0] < 0)
  _assert_equal(_batches(_train(apart, batch_size=8), 5), batches)
  assert not asked


@pytest.mark.slow
def test_a_data_service_gives_the_same_batches(tmp_path, keep_server):
  """With broken images, which this process replaces, and from a step in the middle."""
  service = tf.data.experimental.service
  source = _folder_source(tmp_path, {5: b"x", 17: b""})
  dispatcher = service.DispatchServer()
  config = service.WorkerConfig(dispatcher.target.split("://")[1], heartbeat_interval_ms=50)
  servers = [*(service.WorkerServer(config) for _ in range(2)), dispatcher]
  for server in servers:
    keep_server(server)
  for first_step in (0, 7):
    arguments = {"batch_size": 6, "first_step": first_step}
    here = _train(source, skipped=Skipped(30, limit=0.1), **arguments)
    skipped = Skipped(30, limit=0.1)
    there = _train(source, skipped=skipped, service=dispatcher.target, **arguments)
    _assert_equal(_batches(there, 8), _batches(here, 8))
    assert len(skipped) == 2
    assert there.element_spec == here.element_spec
  for server in servers:  # The dispatcher last: workers would wait for it.
    server.stop()


def test_other_processes_cannot_read_every_source():
  source = dataclasses.replace(_memory_source(), portable=False)
  with pytest.raises(ValueError, match="Expected no --data_service with random images: .*Unpack"):
    _train(source, service="grpc://localhost:1")


def test_steps_per_epoch():
  assert [pipeline.steps_per_epoch(_memory_source(), size) for size in (1, 4, 22)] == [22, 5, 1]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"batch_size": 23}, "22 images and a batch of 23. Lower --batch_size"),
    ({"batch_size": 0}, "`batch_size` of 1 or more. Received: 0"),
    ({"image_size": 0}, "`image_size` of 1 or more. Received: 0"),
    ({"max_pixels": 0}, "`max_pixels` of 1 or more. Received: 0"),
    ({"first_step": -1}, "`first_step` of 0 or more. Received: -1"),
    ({"area": (0.0, 1.0)}, "`area`"),
    ({"aspect": (2.0, 1.0)}, "`aspect`"),
  ],
)
def test_wrong_training_arguments_are_one_line(changes, message):
  with pytest.raises(ValueError, match=message) as caught:
    _train(**changes)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["batch_size", "image_size", "limit"])
def test_wrong_evaluation_arguments(name):
  arguments = {"batch_size": 4, "image_size": 8, name: 0}
  with pytest.raises(ValueError, match=f"`{name}` of 1 or more"):
    pipeline.evaluation_dataset(_memory_source(), **arguments)


@pytest.mark.parametrize(
  ("batch_size", "workers", "pieces", "first_step"),
  [
    (8, 2, 2, 3),
    *_slow((4, 1, 2, 0), (4, 1, 2, 3), (4, 2, 1, 0), (4, 2, 1, 3), (6, 3, 2, 0), (6, 3, 2, 3)),
    *_slow((8, 2, 2, 0), (18, 2, 3, 0), (18, 2, 3, 3)),
  ],
)
def test_the_shards_of_a_batch_are_the_batch(batch_size, workers, pieces, first_step):
  whole = _batches(_train(batch_size=batch_size, first_step=first_step), 5)
  shards = [
    _batches(
      _train(
        batch_size=batch_size,
        first_step=first_step,
        shard=Shard(worker, workers, pieces),
      ),
      5 * pieces,
    )
    for worker in range(workers)
  ]
  for step, batch in enumerate(whole):
    parts = [part for shard in shards for part in shard[step * pieces : (step + 1) * pieces]]
    assert {len(part["label"]) for part in parts} == {batch_size // workers // pieces}
    for name in ("image", "label"):
      np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), batch[name])


@pytest.mark.parametrize("workers", [2, *_slow(1, 5)])
def test_the_shards_of_the_evaluation_are_all_images_once(workers):
  found = [
    _order(batches) if batches else np.zeros(0)
    for batches in (
      list(
        pipeline.evaluation_dataset(
          _memory_source(),
          batch_size=20,
          image_size=SIZE,
          shard=Shard(worker, workers, 2),
        ).as_numpy_iterator()
      )
      for worker in range(workers)
    )
  ]
  assert np.concatenate(found).tolist() == list(range(22))


@pytest.mark.parametrize(
  ("part", "expected"), [(64, 64), (100, 50), (128, 64), (67, 67), (1, 1), (48, 48), (129, 43)]
)
def test_a_chunk_does_not_reach_from_a_shard_into_the_next(part, expected):
  assert pipeline._chunk_size(part, whole=False, run_length=16) == expected


@pytest.mark.parametrize("shard", [(0, 3, 1), (0, 2, 4), (2, 2, 1), (0, 1, 0)])
def test_wrong_shards(shard):
  with pytest.raises(ValueError, match="Expected"):
    _train(shard=Shard(*shard))


@pytest.mark.parametrize("step", [7, *_slow(0)])
def test_the_names_of_a_batch(step):
  source = _memory_source()
  (batch,) = _batches(_train(source, first_step=step), 1)
  names = pipeline.batch_names(source, step, batch_size=4, seed=0)
  assert [int(name) for name in names] == _order([batch]).tolist()


@pytest.mark.slow
def test_determinism_may_be_asked_for():
  """In a process of its own, for it cannot be taken back."""
  script = """
    import tensorflow as tf
    tf.config.experimental.enable_op_determinism()
    import pipeline_test
    batches = [pipeline_test._batches(pipeline_test._train(), 3) for _ in range(2)]
    pipeline_test._assert_equal(*batches)
    print("equal")
  """
  result = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(script)],
    cwd=pathlib.Path(__file__).parent,
    env={**os.environ, "PYTHONPATH": _python_path()},
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0 and result.stdout.strip() == "equal", result.stderr


def _python_path() -> str:
  """The repository, wherever this process found it."""
  return str(pathlib.Path(pipeline.__file__).parents[2])


def test_turns_show_all_eight_views():
  pixels = np.zeros((8, 8, 3), np.uint8)
  pixels[:4, :4], pixels[:4, 4:], pixels[4:, :4] = 255, 128, 64  # No view is like another.
  encoded = tf.io.encode_png(pixels)
  source = dataclasses.replace(_memory_source(1), read=lambda index: encoded)
  whole = {"batch_size": 1, "image_size": 8, "area": (1.0, 1.0), "aspect": (1.0, 1.0)}
  expected = {np.rot90(p, k).tobytes() for p in (pixels, pixels[:, ::-1]) for k in range(4)}
  seen = [b["image"][0].tobytes() for b in _batches(_train(source, turns=True, **whole), 240)]
  assert set(seen) == expected and len(expected) == 8
  assert all(15 <= seen.count(view) <= 50 for view in expected)  # Of 30, give or take 5.
  seen = {b["image"][0].tobytes() for b in _batches(_train(source, **whole), 40)}
  assert seen == {pixels.tobytes(), pixels[:, ::-1].tobytes()}
