"""Numbers of masks to labels of classes."""

from __future__ import annotations

import numpy as np
import pytest

from sbae_tf.evaluation.label_classes import (
  IGNORED,
  choose_classes,
  parse_names,
  parse_numbers,
)

_FOUND = {0: "a.png", 7: "b.png", 2: "c.png", 255: "d.png"}


def test_what_is_found_or_named():
  found = choose_classes(_FOUND, names=(), ignored={255})
  assert (found.numbers, found.names) == ((0, 2, 7), ("0", "2", "7"))
  expected = np.full(256, IGNORED)
  expected[[0, 2, 7]] = 0, 1, 2
  np.testing.assert_array_equal(found.table, expected)
  # Named ones count although no mask has them, and ignored ones do not although they are named.
  named = choose_classes({2: "c.png", 3: "e.png"}, names=("void", "sky", "car"), ignored={0, 3})
  assert (named.numbers, named.names, len(named)) == ((1, 2), ("sky", "car"), 2)
  assert named.table[:4].tolist() == [IGNORED, 0, 1, IGNORED]


@pytest.mark.parametrize(
  ("names", "ignored", "message"),
  [
    (("a", "b", "c"), {255}, "numbers below 3 in masks.*Received: 7 in b.png.*`ignore`"),
    ((), {0, 2, 255}, "2 to 255 classes. Received 1: 7"),
    ((), set(_FOUND), "Received 0: none"),
  ],
)
def test_wrong_classes(names, ignored, message):
  with pytest.raises(ValueError, match=message):
    choose_classes(_FOUND, names=names, ignored=ignored)


def test_texts(tmp_path):
  assert parse_names(" ") == () and parse_names("Sky, Road side") == ("Sky", "Road side")
  file = tmp_path / "names.txt"
  file.write_text("Sky\nSign, symbol \n\n")
  assert parse_names(str(file)) == ("Sky", "Sign, symbol")
  assert parse_numbers("") == set() and parse_numbers("0, 255,") == {0, 255}
  for text, message in (
    ("a,,b", "Received: '' 1 times"),
    ("a,b,a", "Received: 'a' 2 times"),
    (f"{tmp_path}/none.txt", "Cannot read the names of `classes` in .*none.txt: No such file"),
    (",".join(map(str, range(257))), "Received: 257 names"),
  ):
    with pytest.raises(ValueError, match=message):
      parse_names(text)
  for text in ("256", "-1", "1.5", "x"):
    with pytest.raises(ValueError, match=f"`ignore` of numbers from 0 to 255. Received: '{text}'"):
      parse_numbers(text)
