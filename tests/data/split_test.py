"""Tests of sbae_tf.data.split."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import files
from sbae_tf.data.names import Names
from sbae_tf.data.source import Source
from sbae_tf.data.split import split_heldout


def _source(count: int, run_length: int = 1, prefix: str = "root") -> Source:
  """Image i is its number as text, and its label too."""
  return Source(
    names=Names(f"{prefix}/{i:02}.png" for i in range(count)),
    labels=np.arange(count, dtype=np.int32),
    class_names=tuple(map(str, range(count))),
    read=tf.strings.as_string,
    description=f"{count} images in {prefix}",
    run_length=run_length,
    read_run=tf.strings.as_string if run_length > 1 else None,
    root=prefix,
  )


def _numbers(source: Source) -> list[int]:
  return [int(source.read(tf.constant(i, tf.int64))) for i in range(len(source))]


def _split(source: Source, fraction: float = 0.3, seed: int = 0) -> list[set[int]]:
  return [set(_numbers(side)) for side in split_heldout(source, fraction, seed=seed)]


def test_split_is_disjoint_complete_and_about_the_fraction():
  train, heldout = _split(_source(200))
  assert not train & heldout and len(train | heldout) == 200
  assert 40 <= len(heldout) <= 80
  assert _split(_source(200)) == [train, heldout]
  assert _split(_source(200), seed=1)[1] != heldout
  assert heldout < _split(_source(200), fraction=0.6)[1]


def test_split_is_the_same_in_every_process_and_version():
  """Known value: computed once. A change would put held-out photographs into training."""
  assert _split(_source(20))[1] == {0, 5, 6, 7, 8, 12, 15}


def test_names_and_labels_stay_with_images():
  for side in split_heldout(_source(200), 0.3):
    numbers = _numbers(side)
    assert numbers == sorted(numbers) == side.labels.tolist()
    assert [int(pathlib.Path(name).stem) for name in side.names] == numbers


def test_split_stays_when_images_are_added_or_all_move():
  before, after = _split(_source(100)), _split(_source(150))
  assert all(old < new for old, new in zip(before, after))
  assert _split(_source(150, prefix="else/where")) == after


def test_files_split_by_their_path_below_the_folder(tmp_path):
  def split(folder: pathlib.Path) -> list[list[str]]:
    sides = split_heldout(files.build(str(folder)), 0.3)
    return [[os.path.relpath(name, folder) for name in side.names] for side in sides]

  for i in range(60):
    path = tmp_path / "a" / "ab"[i % 2] / f"{i}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  before = split(tmp_path / "a")
  (tmp_path / "a").rename(tmp_path / "b")
  assert split(tmp_path / "b") == before
  # A name alone does not decide: the folder below the root counts.
  (tmp_path / "b" / "a").rename(tmp_path / "b" / "c")
  assert split(tmp_path / "b") != before


def test_runs_stay_together():
  train, heldout = _split(_source(203, run_length=8))
  assert not train & heldout and len(train | heldout) == 203
  for start in range(0, 203, 8):
    run = set(range(start, min(start + 8, 203)))
    assert run <= train or run <= heldout
  # By the name of its first image alone.
  single = _split(_source(203))[1]
  assert {i // 8 for i in heldout} == {i // 8 for i in single if i % 8 == 0}


@pytest.mark.parametrize("count", [9, 16, 17, 20])
@pytest.mark.parametrize("fraction", [1e-9, 1 - 1e-9])
def test_runs_are_on_both_sides(count, fraction):
  sides = _split(_source(count, run_length=8), fraction)
  assert all(sides) and sum(map(len, sides)) == count


@pytest.mark.parametrize("run_length", [1, 8])
def test_split_has_one_image_at_least_on_each_side(run_length):
  for fraction in (1e-9, 1 - 1e-9):
    assert sorted(map(len, _split(_source(3, run_length), fraction))) == [1, 2]


def test_split_describes_itself():
  train, heldout = split_heldout(_source(200), 0.3)
  assert heldout.description == f"{len(heldout)} held-out of 200 images in root"
  assert train.description == f"{len(train)} training of 200 images in root"


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_split_refuses_other_fractions(fraction):
  with pytest.raises(ValueError, match="`fraction` between 0 and 1"):
    split_heldout(_source(10), fraction)


def test_split_refuses_a_single_image():
  with pytest.raises(ValueError, match="two images or more.*1 images in root"):
    split_heldout(_source(1), 0.5)
