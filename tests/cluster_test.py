"""Tests of sbae_tf.cluster."""

from __future__ import annotations

import json

import pytest

from sbae_tf import cluster
from sbae_tf.cluster import Worker

_ADDRESSES = ["a:1", "b:1", "c:1"]


def _tf_config(jobs, kind, index) -> dict[str, str]:
  return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
  ("environ", "expected"),
  [
    (_tf_config({"worker": _ADDRESSES}, "worker", 0), Worker(0, 3)),
    (_tf_config({"worker": _ADDRESSES}, "worker", 2), Worker(2, 3)),
    (_tf_config({"worker": _ADDRESSES[:1]}, "worker", 0), Worker(0, 1)),
    # With a chief of its own, workers come after it.
    (_tf_config({"chief": ["z:1"], "worker": _ADDRESSES}, "chief", 0), Worker(0, 4)),
    (_tf_config({"chief": ["z:1"], "worker": _ADDRESSES}, "worker", 0), Worker(1, 4)),
    (_tf_config({"worker": _ADDRESSES}, "worker", "1"), Worker(1, 3)),
    ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"}, Worker(3, 8)),
    # TF_CONFIG wins.
    ({"SLURM_PROCID": "3", **_tf_config({"worker": _ADDRESSES}, "worker", 1)}, Worker(1, 3)),
  ],
)
def test_the_environment_says_which_worker_this_is(environ, expected):
  assert cluster.this_worker(environ) == expected
  assert cluster.this_worker(environ).is_chief == (expected.index == 0)


def test_a_worker_tells_who_it_is():
  assert str(Worker(0, 2)) == "worker 0 of 2, chief"
  assert str(Worker(1, 2)) == "worker 1 of 2"


@pytest.mark.parametrize(
  "environ",
  [
    {"TF_CONFIG": "{"},
    {"TF_CONFIG": "[]"},
    {"TF_CONFIG": "{}"},
    {"TF_CONFIG": json.dumps({"cluster": {"worker": _ADDRESSES}})},
    _tf_config({"worker": _ADDRESSES}, "worker", 3),
    _tf_config({"worker": _ADDRESSES}, "worker", -1),
    _tf_config({"worker": _ADDRESSES}, "ps", 0),
    _tf_config({"worker": "a:1"}, "worker", 0),
    _tf_config({"worker": [1]}, "worker", 0),
    _tf_config({"worker": _ADDRESSES}, "worker", "first"),
    _tf_config([], "worker", 0),
  ],
)
def test_a_wrong_description_is_shown_with_a_right_one(environ):
  with pytest.raises(ValueError, match="^Expected TF_CONFIG of the form TF_CONFIG=") as raised:
    cluster.this_worker(environ)
  assert environ["TF_CONFIG"] in str(raised.value)


def test_no_description():
  for environ in ({}, {"TF_CONFIG": ""}):
    with pytest.raises(ValueError, match="--strategy=multi_worker_mirrored .*TF_CONFIG=.* srun"):
      cluster.this_worker(environ)
  for environ in ({"SLURM_PROCID": "0"}, {"SLURM_PROCID": "a", "SLURM_STEP_NUM_TASKS": "2"}):
    with pytest.raises(ValueError, match="SLURM_STEP_NUM_TASKS"):
      cluster.this_worker(environ)
