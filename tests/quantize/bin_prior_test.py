"""The file of a prior: there and back, and refused where it is not one of the bins."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sbae_tf.quantize.bin_prior import BinPrior

PRIOR = BinPrior(
  "uniform(bins=3) of L",
  np.array([[1.0], [3.0], [5.0]]),
  np.array([6, 0, 2]),
  {"data": "photographs", "photographs": 2},
)


def test_there_and_back():
  text = PRIOR.dumps()
  assert text.endswith("}\n") and len(text.splitlines()) == 7
  read = BinPrior.loads(text, name="prior.json")
  assert read.dumps() == text
  np.testing.assert_array_equal(read.probabilities, [0.75, 0, 0.25])
  assert read.provenance == {"data": "photographs", "photographs": 2}


@pytest.mark.parametrize(
  "change",
  [
    {"format": "another"},
    {"counts": [1, 2]},
    {"counts": [0, 0, 0]},
    {"counts": [1, -2, 3]},
    {"counts": "many"},
    {"centers": [1, 2, 3]},
    {"bins": None, "provenance": None, "counts": []},
  ],
)
def test_what_is_none_is_refused(change):
  text = json.dumps({**json.loads(PRIOR.dumps()), **change})
  with pytest.raises(ValueError, match=r"^Expected prior\.json to be a prior of bins"):
    BinPrior.loads(text, name="prior.json")


@pytest.mark.parametrize("text", ["", "[]", "5", '{"format": 1}'])
def test_what_is_no_prior_at_all_is_refused(text):
  with pytest.raises(ValueError, match=r"^Expected prior\.json to be a prior of bins"):
    BinPrior.loads(text, name="prior.json")


def test_other_bins_are_named():
  PRIOR.check_bins("the same by another name", PRIOR.centers + 1e-5, name="prior.json")
  for centers in (PRIOR.centers + 0.1, PRIOR.centers[:2], np.zeros((3, 2))):
    with pytest.raises(ValueError) as error:
      PRIOR.check_bins("gamut of a,b", centers, name="prior.json")
    assert str(error.value).startswith(
      f"The prior prior.json is of other bins: 3, uniform(bins=3) of L. Expected one of the "
      f"{len(centers)}, gamut of a,b."
    )
