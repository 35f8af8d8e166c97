from __future__ import annotations

import numpy as np
import pytest

from sbae_tf.formats.difference import largest_differences


def test_is_a_part_of_the_largest_number():
  expected = {"a": np.array([[1.0, -4.0]], np.float32), "b": np.zeros((1, 2), np.float32)}
  found = {"b": np.array([[0.0, 0.5]], np.float32), "a": np.array([[1.5, -4.0]], np.float32)}
  assert largest_differences(found, expected) == {"a": 0.125, "b": 0.5}


def test_what_is_no_number_shows():
  found = {"a": np.array([1.0, np.nan], np.float32)}
  assert np.isnan(largest_differences(found, {"a": np.ones(2, np.float32)})["a"])


def test_refuses_other_features():
  ones = np.ones((2, 3), np.float32)
  with pytest.raises(ValueError, match="features.*'a'.*'b'"):
    largest_differences({"b": ones}, {"a": ones})
  with pytest.raises(ValueError, match=r"`a`.*\(2, 3\).*\(3,\)"):
    largest_differences({"a": ones[0]}, {"a": ones})
