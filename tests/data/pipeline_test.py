"""Tests of sbae_tf.data.pipeline."""

from __future__ import annotations

import itertools
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import files, pipeline
from sbae_tf.data import source as source_lib

COUNT = 22
SIZE = 8


def _memory_source(count: int = COUNT, labels: bool = True) -> source_lib.Source:
  """Random images in memory; red is the index all over the image, so it survives cropping."""
  images = np.random.default_rng(0).integers(0, 256, (count, 12, 16, 3), np.uint8)
  images[..., 0] = np.arange(count)[:, None, None] % 256
  tensor = tf.constant(images)
  return source_lib.Source(
    names=[str(i) for i in range(count)],
    labels=np.arange(count, dtype=np.int32) * 7 % 5 if labels else None,
    class_names=tuple("abcde") if labels else (),
    load=lambda index: tf.ensure_shape(tf.gather(tensor, index), (None, None, 3)),
    description="random images",
  )


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


@pytest.mark.parametrize("seed", [1, 256, 2**33, -1])
def test_another_seed_changes_order_and_crops(seed):
  # 256: the shuffle alone uses a few bits of its key.
  first, second = (_batches(_train(seed=s), 5) for s in (0, seed))
  assert _order(first).tolist() != _order(second).tolist()
  by_index = [
    {int(image[0, 0, 0]): image for batch in batches for image in batch["image"]}
    for batches in (first, second)
  ]
  common = set(by_index[0]) & set(by_index[1])
  assert common and not any(np.array_equal(by_index[0][i], by_index[1][i]) for i in common)


@pytest.mark.parametrize("first_step", [1, 3, 5, 12])  # An epoch has five steps.
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


def test_batch_indices_are_those_of_the_dataset():
  source = _memory_source()
  for step, batch in enumerate(_batches(_train(source, seed=3), 12)):
    indices = pipeline.batch_indices(source, step, batch_size=4, seed=3)
    assert indices.dtype == np.int64
    assert indices.tolist() == batch["image"][:, 0, 0, 0].tolist()


def test_the_order_is_well_shuffled():
  """A random permutation has one pair of neighbors that stay so, with a variance of one.

  Four rounds of the shuffle's cipher give a variance above 10; epochs as keys repeat after 256.
  """
  source = _memory_source(300)
  orders = np.stack(
    [pipeline.batch_indices(source, epoch, batch_size=300, seed=0) for epoch in range(300)]
  )
  assert (np.sort(orders) == np.arange(300)).all()
  neighbors = (np.diff(orders) == 1).sum(axis=1)
  assert 0.7 < neighbors.mean() < 1.3 and neighbors.var() < 2
  assert len({order.tobytes() for order in orders}) == 300
  # Every image is as often in the first half of an epoch as in the second.
  assert abs((orders[:, :150] < 150).mean() - 0.5) < 0.02


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
  ("limit", "sizes"), [(None, [8, 8, 6]), (10, [8, 2]), (8, [8]), (99, [8, 8, 6])]
)
def test_evaluation_shows_all_in_order_once(limit, sizes):
  dataset = pipeline.evaluation_dataset(
    _memory_source(), batch_size=8, image_size=SIZE, limit=limit
  )
  batches = list(dataset.as_numpy_iterator())
  assert [len(batch["label"]) for batch in batches] == sizes
  assert _order(batches).tolist() == list(range(sum(sizes)))
  assert dataset.cardinality() == len(sizes)
  assert dataset.element_spec["image"] == tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8)
  _assert_equal(batches, list(dataset.as_numpy_iterator()))


def test_an_unreadable_image_is_found_by_its_step(tmp_path):
  for i in range(12):
    path = tmp_path / f"{i:02}.png"
    path.write_bytes(b"x" if i == 5 else tf.io.encode_png(np.zeros((9, 9, 3), np.uint8)).numpy())
  source = files.build(str(tmp_path))
  iterator = iter(_train(source, seed=1))
  step = 0
  with pytest.raises(tf.errors.InvalidArgumentError):
    while step < 3:  # One epoch, so image 5 must come.
      next(iterator)
      step += 1
  indices = pipeline.batch_indices(source, step, batch_size=4, seed=1)
  assert [name for name, _ in source_lib.unreadable(source, indices)] == [f"{tmp_path}/05.png"]


def test_steps_per_epoch():
  assert [pipeline.steps_per_epoch(_memory_source(), size) for size in (1, 4, 22)] == [22, 5, 1]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"batch_size": 23}, "22 images and a batch of 23. Lower --batch_size"),
    ({"batch_size": 0}, "`batch_size` of 1 or more. Received: 0"),
    ({"image_size": 0}, "`image_size` of 1 or more. Received: 0"),
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


def test_two_replicas_share_each_batch_and_determinism_may_be_asked_for():
  """In a process of its own: virtual devices must be set before TensorFlow starts."""
  script = """
    import numpy as np
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.experimental.enable_op_determinism()
    import pipeline_test
    strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    with strategy.scope():
      train = pipeline_test._train()
      evaluation = pipeline_test.pipeline.evaluation_dataset(
        pipeline_test._memory_source(), batch_size=4, image_size=8)
    for dataset in (train.take(7), evaluation):
      replicas = iter(strategy.experimental_distribute_dataset(dataset))
      for batch in dataset:
        parts = next(replicas)
        for name in ("image", "label"):
          locals_ = strategy.experimental_local_results(parts[name])
          assert len(locals_) == 2
          np.testing.assert_array_equal(tf.concat(locals_, 0), batch[name])
          assert len(locals_[0]) == (len(batch[name]) + 1) // 2
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
  for line in result.stderr.lower().splitlines():
    assert "shard" not in line, line


def _python_path() -> str:
  """The repository, wherever this process found it."""
  return str(pathlib.Path(pipeline.__file__).parents[2])
