"""Tests of sbae_tf.data.names."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import names as names_lib
from sbae_tf.data.names import Names, Taken

# Characters of one to four bytes; empty ones; lengths that do not repeat within a block.
CHARACTERS = ("a", "ä", "語", "🦀", "")


def _name(number: int) -> str:
  return f"{number}/" + CHARACTERS[number % 5] * (number % 71)


@pytest.mark.parametrize("piece", [1, 4, 16384])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 256, 1000])
def test_names_are_what_was_given(count, piece, monkeypatch):
  monkeypatch.setattr(names_lib, "_PIECE", piece)
  expected = [_name(i) for i in range(count)]
  names = Names(iter(expected))
  assert len(names) == count and list(names) == expected
  assert [names[i] for i in range(count)] == expected
  assert list(Names(name.encode() for name in expected)) == expected
  assert names[3:70:7] == expected[3:70:7] and names[::-1] == expected[::-1]
  assert [names[i - count] for i in range(count)] == expected
  for index in (count, -count - 1):
    with pytest.raises(IndexError, match=f"below {count}. Received: {index}"):
      names[index]


@pytest.mark.parametrize("piece", [1, 2, 16384])
def test_lookup_works_eagerly_in_a_function_and_in_parallel(piece, monkeypatch):
  monkeypatch.setattr(names_lib, "_PIECE", piece)
  expected = [_name(i).encode() for i in range(200)]
  names = Names(expected)
  indices = [tf.constant(i, tf.int64) for i in range(200)]
  function = tf.function(names.lookup)
  dataset = tf.data.Dataset.range(200).map(names.lookup, num_parallel_calls=4)
  assert [names.lookup(index).numpy() for index in indices] == expected
  assert [function(index).numpy() for index in indices] == expected
  assert list(dataset.as_numpy_iterator()) == expected


def test_empty_names():
  names = Names(["", "a", ""])
  assert list(names) == ["", "a", ""] and names.lookup(tf.constant(2)).numpy() == b""


def test_names_are_consumed_once():
  taken = []
  Names(taken.append(i) or str(i) for i in range(100))
  assert taken == list(range(100))


def test_taken_chooses_without_a_copy():
  names = Names(_name(i) for i in range(300))
  taken = Taken(names, np.array([299, 0, 5, 5]))
  expected = [_name(i) for i in (299, 0, 5, 5)]
  assert len(taken) == 4 and list(taken) == expected
  assert taken[1:3] == expected[1:3] and taken[-1] == expected[-1]
  assert list(Taken(taken, np.array([2, 0]))) == [expected[2], expected[0]]
  with pytest.raises(IndexError):
    taken[4]


# Not getrusage: a new process begins there with its parent's peak.
_MEASURE = """
import re
import tensorflow as tf
from sbae_tf.data import {module}
def peak():
  with open("/proc/self/status") as file:
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", file.read())[1]) * 1024
tf.constant(0)
before = peak()
{code}
print(peak() - before)
"""


def _peak(module: str, code: str) -> int:
  """Bytes by which a process's memory grows at most."""
  process = subprocess.run(
    [sys.executable, "-c", _MEASURE.format(module=module, code=code)],
    env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
    capture_output=True,
    check=True,
    text=True,
  )
  return int(process.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Memory is counted otherwise")
def test_millions_of_names_take_little_more_than_their_characters(tmp_path):
  count, length = 3_000_000, 60
  code = f"names.Names(b'%0{length}d' % i for i in range({count}))"
  assert count * length < _peak("names", code) < count * (length + 75)

  path = tmp_path / "list.txt"
  path.write_text("\n".join(f"/{i:0{length - 1}}" for i in range(count)))
  assert count * length < _peak("lists", f"lists.build({str(path)!r})") < count * (length + 85)
