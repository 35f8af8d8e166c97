"""Tests of sbae_tf.data.data_service, with servers in this process."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
import types

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import data_service

CHUNK, SIDE = 4, 8


@pytest.fixture(name="start")
def _start(keep_server):
  """Starts a dispatcher and workers; all stop at the end."""
  with contextlib.ExitStack() as stack:

    def start(workers: int) -> types.SimpleNamespace:
      dispatcher = tf.data.experimental.service.DispatchServer()
      stack.callback(dispatcher.stop)
      keep_server(dispatcher)
      service = types.SimpleNamespace(address=dispatcher.target, dispatcher=dispatcher, workers=[])

      def add_worker():
        config = tf.data.experimental.service.WorkerConfig(
          dispatcher.target.split("://")[1], heartbeat_interval_ms=50
        )
        service.workers.append(tf.data.experimental.service.WorkerServer(config))
        stack.callback(service.workers[-1].stop)
        keep_server(service.workers[-1])

      service.add_worker = add_worker
      for _ in range(workers):
        add_worker()
      return service

    yield start


@pytest.fixture(name="make_chunk")
def _make_chunk():
  return _chunks(seed=0)


def _chunks(seed: int, make: int = 1):
  """A chunk's function: random crops of JPEGs that it captures, some chunks ten times slower."""
  pictures = np.random.default_rng(seed).integers(0, 256, (7, SIDE * 2, SIDE * 2, 3), np.uint8)
  jpegs = tf.stack([tf.io.encode_jpeg(picture) for picture in pictures])

  def image(position):
    pixels = tf.io.decode_jpeg(jpegs[position % 7], channels=3)
    return tf.image.stateless_random_crop(pixels, (SIDE, SIDE, 3), tf.stack([seed, position]))

  def make_chunk(number):
    tf.debugging.assert_type(number, tf.int64)
    positions = number * CHUNK + tf.range(CHUNK, dtype=tf.int64)
    rounds = tf.where(number % 5 == 2, 30, 3)  # Time that the chunk takes.
    waste = tf.while_loop(
      lambda i, _: i < rounds,
      lambda i, x: (i + 1, tf.linalg.l2_normalize(x @ x)),
      (0, tf.ones((150, 150))),
    )[1]
    with tf.control_dependencies([waste]):
      images = tf.map_fn(image, positions, fn_output_signature=tf.TensorSpec(None, tf.uint8))
    return {
      "image": tf.ensure_shape(images, (CHUNK, SIDE, SIDE, 3)),
      "ok": positions % 3 > 0,
      "position": positions,
    }

  return make_chunk


def _local(make_chunk, count, first_chunk=0):
  dataset = tf.data.Dataset.counter(tf.constant(first_chunk, tf.int64)).map(make_chunk)
  return list(dataset.take(count).as_numpy_iterator())


def _assert_same(chunks, others):
  chunks, others = list(chunks), list(others)
  assert len(chunks) == len(others)
  for chunk, other in zip(chunks, others):
    assert chunk.keys() == other.keys()
    for name, values in chunk.items():
      assert np.asarray(values).dtype == np.asarray(other[name]).dtype
      np.testing.assert_array_equal(values, other[name])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_chunks_are_those_of_a_local_map_in_the_same_order(start, make_chunk, workers):
  dataset = data_service.distribute(make_chunk, start(workers).address, parallel_calls=2)
  local = tf.data.Dataset.counter(tf.constant(0, tf.int64)).map(make_chunk)
  assert dataset.element_spec == local.element_spec
  assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
  _assert_same(dataset.take(40), _local(make_chunk, 40))
  _assert_same(dataset.take(3), _local(make_chunk, 3))  # From the first again.


def test_every_worker_makes_chunks_and_none_is_made_twice(start, tmp_path):
  """Each leaves a file. The first two wait for that of the other: a worker makes one at a time."""

  def make_chunk(number):
    name = tf.strings.join([str(tmp_path), "/", tf.strings.as_string(number), "-"])
    unique = tf.strings.as_string(tf.random.uniform((), maxval=2**31 - 1, dtype=tf.int32))
    with tf.control_dependencies([tf.io.write_file(name + unique, "")]):
      other = tf.strings.as_string(tf.where(number < 7, 11 - number, number))

    def found():
      return tf.size(tf.io.matching_files(tf.strings.join([str(tmp_path), "/", other, "-*"]))) > 0

    tries = tf.while_loop(lambda i: (i < 20_000) & ~found(), lambda i: [i + 1], [0])[0]
    return number, tries < 20_000

  service = start(2)
  dataset = data_service.distribute(make_chunk, service.address, first_chunk=5, parallel_calls=1)
  chunks = list(dataset.take(6).as_numpy_iterator())
  assert chunks == [(number, True) for number in range(5, 11)]
  made = sorted(int(path.name.split("-")[0]) for path in tmp_path.iterdir())
  assert made == list(range(5, 5 + len(made)))


def test_a_resumed_run_goes_on_anywhere(start, make_chunk):
  """Also while the iterator of the first one is still there."""
  address = start(2).address
  first = iter(data_service.distribute(make_chunk, address))
  _assert_same(itertools.islice(first, 9), _local(make_chunk, 9))
  resumed = data_service.distribute(make_chunk, address, first_chunk=5)
  _assert_same(resumed.take(10), _local(make_chunk, 10, first_chunk=5))
  _assert_same(itertools.islice(first, 3), _local(make_chunk, 3, first_chunk=9))


def test_runs_at_the_same_time_take_nothing_from_each_other(start):
  address = start(2).address
  functions = [_chunks(seed=0), _chunks(seed=1), _chunks(seed=0)]
  datasets = [data_service.distribute(function, address) for function in functions]
  together = list(tf.data.Dataset.zip(tuple(datasets)).take(15).as_numpy_iterator())
  for function, chunks in zip(functions, zip(*together)):
    _assert_same(chunks, _local(function, 15))


def test_a_worker_may_join(start, make_chunk):
  service = start(1)
  iterator = iter(data_service.distribute(make_chunk, service.address))
  chunks = list(itertools.islice(iterator, 10))
  service.add_worker()
  chunks += itertools.islice(iterator, 30)
  _assert_same(chunks, _local(make_chunk, 40))


def test_batches_across_chunks_are_the_same(start, make_chunk):
  dataset = data_service.distribute(make_chunk, start(2).address, first_chunk=1)
  local = tf.data.Dataset.counter(tf.constant(1, tf.int64)).map(make_chunk)
  batches, expected = (d.unbatch().batch(6, drop_remainder=True) for d in (dataset, local))
  _assert_same(batches.take(8), expected.take(8))


def test_an_iterator_ends_its_thread(start, make_chunk):
  dataset = data_service.distribute(make_chunk, start(1).address).prefetch(2)
  before = threading.active_count()
  iterator = iter(dataset)
  next(iterator)
  assert threading.active_count() > before
  del iterator
  assert _becomes_true(lambda: threading.active_count() <= before)


def test_a_stopped_worker_is_an_error(start, make_chunk):
  service = start(1)
  iterator = iter(data_service.distribute(make_chunk, service.address, patience=1.5))
  next(iterator)
  service.workers[0].stop()
  begin = time.monotonic()
  with pytest.raises(tf.errors.OpError, match="service|[Ww]orker"):
    list(iterator)
  assert time.monotonic() - begin < 10


def test_without_workers_it_is_an_error(start, make_chunk):
  address = start(0).address
  iterator = iter(data_service.distribute(make_chunk, address, first_chunk=3, patience=1.0))
  message = f"TimeoutError: Chunk 3 did not come from the data service at {address} within 1 s"
  with pytest.raises(tf.errors.UnknownError, match=message):
    next(iterator)


def test_a_chunk_that_fails_is_an_error(start):
  def make_chunk(number):
    with tf.control_dependencies(
      [tf.debugging.assert_less(number, tf.constant(3, tf.int64), "3!")]
    ):
      return tf.identity(number)

  iterator = iter(data_service.distribute(make_chunk, start(2).address))
  with pytest.raises(tf.errors.OpError, match="3!"):
    list(iterator)


@pytest.mark.parametrize(
  "address",
  [
    "",
    "localhost:5050",
    "localhost",
    "http://localhost:5050",
    "grpc://localhost",
    "grpc://:5050",
    "grpc://localhost:0",
    "grpc://localhost:port",
    "grpc://localhost:99999",
    "grpc://localhost:5050/",
    "grpc://me@localhost:5050",
    "grpc://[::1:5050",
    "grpc://a:5050,grpc://b:5050",
  ],
)
def test_wrong_addresses_are_refused(make_chunk, address):
  with pytest.raises(ValueError, match=r"--data_service=grpc://host:port") as caught:
    data_service.distribute(make_chunk, address)
  assert str(caught.value).endswith(f"Received: {address}")
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("listens", [False, True])
def test_an_address_that_does_not_answer_is_refused(listens):
  with socket.create_server(("localhost", 0)) as server:
    port = server.getsockname()[1]
    if not listens:
      server.close()
    with pytest.raises(ValueError, match=f"--flag=grpc://localhost:{port}.*tools.data_service"):
      data_service.check_address(f"grpc://localhost:{port}", flag="--flag", wait=0.5)


def test_the_address_of_a_worker_is_refused(start, make_chunk):
  worker = start(1).workers[0]
  with pytest.raises(ValueError, match="Expected the dispatcher .*--data_service=grpc://localhost"):
    data_service.distribute(make_chunk, f"grpc://{worker._address}")


def test_wrong_arguments_are_refused(make_chunk):
  with pytest.raises(ValueError, match="`first_chunk` of 0 or more. Received: -1"):
    data_service.distribute(make_chunk, "grpc://localhost:5050", first_chunk=-1)
  with pytest.raises(ValueError, match="`patience` of more than 0 s. Received: 0"):
    data_service.distribute(make_chunk, "grpc://localhost:5050", patience=0)


def _ordered(numbers, *, first_chunk=0, mark=1, patience=1.0):
  """What becomes of chunks that arrive with these numbers; each is ten times its number."""
  arriving = tf.data.Dataset.from_tensor_slices(tf.constant(numbers, tf.int64))
  return data_service._in_order(
    arriving.map(lambda number: (1, number, number * 10)),
    first_chunk,
    mark=mark,
    patience=patience,
    address="grpc://a:1",
  )


def test_chunks_that_come_early_wait():
  chunks = _ordered([7, 3, 6, 4, 5, 9, 8], first_chunk=3)
  assert [int(chunk) for chunk in itertools.islice(chunks, 7)] == [30, 40, 50, 60, 70, 80, 90]


def test_a_lost_chunk_does_not_fill_the_memory(monkeypatch):
  monkeypatch.setattr(data_service, "_MOST_EARLY", 5)
  monkeypatch.setattr(data_service, "_SLOWLY", 0.1)
  taken = []

  class Queue(data_service.queue.Queue):
    def get(self, *args, **kwargs):
      taken.append(super().get(*args, **kwargs))
      return taken[-1]

  monkeypatch.setattr(data_service.queue, "Queue", Queue)
  with pytest.raises(TimeoutError, match="Chunk 0 did not come .* grpc://a:1 within 1 s"):
    next(_ordered(range(1, 10_000)))
  assert 5 <= len(taken) <= 5 + 11  # Ten a second once five wait.


def test_chunks_of_another_run_are_an_error():
  with pytest.raises(RuntimeError, match="a chunk of another run"):
    next(_ordered([0, 1], mark=2))


def _becomes_true(condition, within=10.0) -> bool:
  end = time.monotonic() + within
  while not condition() and time.monotonic() < end:
    time.sleep(0.02)
  return condition()
