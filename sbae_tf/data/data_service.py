"""Chunks of images that the workers of a tf.data service make, in the order of their numbers.

A chunk is a pure function of its number, so it does not matter which worker makes it. What matters
is that every chunk comes once and in its turn. No mode of the service gives both:

* `ShardingPolicy.DYNAMIC` deals each number out once, to the worker that asks first. What the
  workers make arrives in any order.
* Coordinated reads take the workers in turn, but pass over one that is not ready within 0.1 s, so
  the order depends on time after all. A slow worker falls behind by more than one round, so that
  sorting within a round does not mend it.
* The static policies deal numbers out in turn, but to a list of workers that never changes.

So numbers are dealt out dynamically, each chunk carries its own, and this process lets those that
come early wait. Workers may be many or few, of any speed, and may join at any time. Every iterator
is a job of its own: runs that share a service take nothing from each other, and a resumed run finds
nothing of the one before.

The service sends the map function with all that it captures, such as a list of paths, to the
dispatcher and to every worker, as a protocol buffer of at most 2 GB. With two workers on one
machine, the first chunk came after 1 s for 45 MB of paths, and after 9 s for 270 MB. The dispatcher
keeps them until it stops.

The chunks that a worker is making are lost when it stops; all are when the dispatcher stops. The
dataset then raises an error within `patience` seconds and never leaves a chunk out.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import grpc  # TensorFlow requires it, too.
import tensorflow as tf

_START = "To start one: python -m tools.data_service --port=5050 --workers=2"

# So many chunks may wait for one that is late, about as many as strong workers make at a time.
# From then on they are taken slowly, for the late one may be lost, and they would fill the memory.
_MOST_EARLY = 128
_SLOWLY = 0.25  # Seconds a chunk.


def distribute(
  make_chunk: Callable[[tf.Tensor], Any],
  address: str,
  *,
  first_chunk: int = 0,
  parallel_calls: int | None = None,
  patience: float = 120.0,
) -> tf.data.Dataset:
  """Makes chunks on the workers of a tf.data service: those of a local map, in the same order.

  Args:
    make_chunk: takes a () int64 tensor, a chunk's number, and returns the chunk, a structure of
      tensors. A pure function of the number, in TensorFlow operations only: Python functions
      (`tf.numpy_function`) do not reach the workers. Files that it reads must be there under the
      same paths.
    address: the dispatcher's, `grpc://host:port`.
    first_chunk: the number of the first chunk, 0 or more.
    parallel_calls: chunks that a worker makes at a time; None leaves it to `tf.data`.
    patience: seconds to wait for the chunk that is due before it counts as lost.

  Returns:
    An endless dataset of `make_chunk(first_chunk)`, `make_chunk(first_chunk + 1)` and so on. Its
    iterator raises `tf.errors.UnknownError` if a chunk is lost, if there is no worker, and if
    `make_chunk` fails; the message begins with the reason.

  Raises:
    ValueError: an argument is out of range, the address has another form, or no dispatcher answers
      there.
  """
  if first_chunk < 0:
    raise ValueError(f"Expected `first_chunk` of 0 or more. Received: {first_chunk}")
  if patience <= 0:
    raise ValueError(f"Expected `patience` of more than 0 s. Received: {patience}")
  check_address(address)
  # A restarted dispatcher gives out the same ids again. A job that outlives the old one could then
  # be taken for another; the mark makes that an error.
  mark = secrets.randbits(63)
  # Not `Dataset.counter`: every worker would count by itself. A range is dealt out.
  chunks = tf.data.Dataset.range(first_chunk, tf.int64.max).map(
    lambda number: (tf.constant(mark, tf.int64), number, make_chunk(number)),
    num_parallel_calls=tf.data.AUTOTUNE if parallel_calls is None else parallel_calls,
  )
  service = tf.data.experimental.service
  try:
    arriving = chunks.apply(
      # Compression takes time and hardly makes pixels of photographs any smaller.
      service.distribute(service.ShardingPolicy.DYNAMIC, address, compression=None)
    )
  except tf.errors.UnimplementedError as error:
    raise ValueError(
      f"Expected the dispatcher of a tf.data service at --data_service={address}. Something else "
      f"answers there, such as one of its workers. {_START}"
    ) from error
  dataset = tf.data.Dataset.from_generator(
    lambda: _in_order(arriving, first_chunk, mark=mark, patience=patience, address=address),
    output_signature=arriving.element_spec[2],
  )
  return dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def check_address(address: str, *, flag: str = "--data_service", wait: float = 10.0) -> None:
  """Checks that an address can be that of a tf.data service. TensorFlow would wait there forever.

  Args:
    address: the dispatcher's, `grpc://host:port`.
    flag: what the address was given by, for the message.
    wait: seconds that it may take to answer; it may be starting just now.

  Raises:
    ValueError: the address has another form, or nothing that speaks gRPC answers there.
  """
  try:
    parts = urllib.parse.urlsplit(address)
    right = bool(parts.hostname and parts.port) and address == f"grpc://{parts.netloc}"
  except ValueError:  # Of the port, or of an IPv6 address.
    right = False
  if not right or "@" in address:
    raise ValueError(
      f"Expected {flag}=grpc://host:port, such as grpc://localhost:5050. Received: {address}"
    )
  with grpc.insecure_channel(parts.netloc) as channel:
    try:
      grpc.channel_ready_future(channel).result(timeout=wait)
    except grpc.FutureTimeoutError:
      raise ValueError(
        f"Expected a tf.data service at {flag}={address}. None answered within {wait:g} s. {_START}"
      ) from None


def _in_order(
  arriving: tf.data.Dataset, first_chunk: int, *, mark: int, patience: float, address: str
) -> Iterator[Any]:
  """The chunks of `arriving`, (mark, number, chunk) in any order, in the order of the numbers."""
  arrivals: queue.Queue[Any] = queue.Queue(maxsize=2)
  stop = threading.Event()
  # A thread, for a wait inside TensorFlow cannot be ended: the service may be gone. A daemon, for
  # such a wait must not hold up the end of the process either.
  threading.Thread(target=_receive, args=(arriving, mark, arrivals, stop), daemon=True).start()
  early: dict[int, Any] = {}
  try:
    for due in itertools.count(first_chunk):
      deadline = time.monotonic() + patience
      while due not in early:
        if len(early) >= _MOST_EARLY:
          time.sleep(_SLOWLY)
        remaining = deadline - time.monotonic()
        if remaining <= 0:
          raise TimeoutError(
            f"Chunk {due} did not come from the data service at {address} within {patience:g} s. "
            "Either it has no worker, or one of its processes has stopped."
          )
        with contextlib.suppress(queue.Empty):
          arrival = arrivals.get(timeout=remaining)
          if isinstance(arrival, Exception):
            raise arrival
          number, chunk = arrival
          early[number] = chunk
      yield early.pop(due)
  finally:
    stop.set()
    while not arrivals.empty():  # The thread may wait for room.
      arrivals.get()


def _receive(
  arriving: tf.data.Dataset, mark: int, arrivals: queue.Queue[Any], stop: threading.Event
) -> None:
  """Puts numbers and chunks into the queue as they arrive, until `stop` or an error; that, too."""
  try:
    for of, number, chunk in arriving:
      if stop.is_set():
        return
      if of != mark:
        raise RuntimeError("The data service sent a chunk of another run: it has been restarted.")
      arrivals.put((int(number), chunk))
  except Exception as error:  # Of any kind: it is raised where the chunks are read.
    arrivals.put(error)
