"""Masks are found by their photographs' names, and give numbers as they were written."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sbae_tf.evaluation.masks import MaskRule, UnusableMaskError, read_mask

_NUMBERS = np.array([[0, 1, 255], [2, 3, 3]], np.uint8)
_CITYSCAPES = "{a}/leftImg8bit/{b}_leftImg8bit.png -> {a}/gtFine/{b}_gtFine_labelTrainIds.png"


@pytest.mark.parametrize(
  ("rule", "photograph", "mask"),
  [
    ("{folder}annot/{stem}.png", "d/c/train/0001TP_1.x.jpg", "d/c/trainannot/0001TP_1.x.png"),
    ("{folder}/../Masks/{stem}.png", "V/JPEGImages/a.jpg", "V/JPEGImages/../Masks/a.png"),
    ("V/SegmentationClass/", "V/JPEGImages/a.jpg", "V/SegmentationClass/a.png"),
    (
      _CITYSCAPES,
      "/c/leftImg8bit/train/aachen/aachen_0_1_leftImg8bit.png",
      "/c/gtFine/train/aachen/aachen_0_1_gtFine_labelTrainIds.png",
    ),
    ("{x}/{x}.jpg->{x}.png", "ab/ab.jpg", "ab.png"),
    ("{stem}_{extension}.png", "a.JPG", "a_JPG.png"),
  ],
)
def test_rules(rule, photograph, mask):
  assert MaskRule(rule).path_of(photograph) == mask


def test_a_name_that_does_not_fit():
  for rule, name in ((_CITYSCAPES, "c/train/a.png"), ("{x}/{x}.jpg->{x}.png", "ab/cd.jpg")):
    with pytest.raises(UnusableMaskError, match="no_mask: .* does not fit this name"):
      MaskRule(rule).path_of(name)


@pytest.mark.parametrize("rule", ["", "{folder}/{name}.png", "->{a}.png", "{a}.jpg->", "{}/a.png"])
def test_wrong_rules(rule):
  with pytest.raises(ValueError, match="Expected `masks` a folder, a pattern .*Received: '"):
    MaskRule(rule)


def _gray(numbers, *, bits: int) -> bytes:
  """A PNG of few bits, as Pillow writes it; Pillow itself reads it scaled to 255."""
  content = io.BytesIO()
  image = Image.fromarray(numbers).convert("P")
  image.putpalette(numbers.size * [9])
  image.save(content, "PNG", bits=bits)
  data = bytearray(content.getvalue())
  data[25] = 0  # Of a palette to gray.
  return bytes(data)


def test_numbers_as_they_are(tmp_path):
  path = tmp_path / "mask.png"
  Image.fromarray(_NUMBERS).save(path)
  np.testing.assert_array_equal(read_mask(str(path), size=(2, 3)), _NUMBERS)
  palette = Image.fromarray(_NUMBERS).convert("P")
  palette.putpalette([255 - i // 3 for i in range(768)])  # Colors that are not the numbers.
  palette.save(path)
  assert Image.open(path).mode == "P"
  np.testing.assert_array_equal(read_mask(str(path), size=(2, 3)), _NUMBERS)
  few = Image.fromarray(np.minimum(_NUMBERS, 3)).convert("P")
  few.putpalette(12 * [7])
  few.save(path, bits=2)
  assert path.read_bytes()[24] == 2
  np.testing.assert_array_equal(read_mask(str(path), size=(2, 3)), np.minimum(_NUMBERS, 3))


def test_unusable_masks(tmp_path):
  path = tmp_path / "mask.png"

  def refused(size=(2, 3)) -> str:
    with pytest.raises(UnusableMaskError) as caught:
      read_mask(str(path), size=size)
    assert str(path) in caught.value.detail
    return caught.value.reason

  assert refused() == "no_mask"
  path.mkdir()
  assert refused() == "no_mask"
  path.rmdir()
  path.write_bytes(b"\xff\xd8\xff nothing")
  assert refused() == "broken"
  for image in (Image.new("RGB", (3, 2)), Image.new("I;16", (3, 2)), Image.new("1", (3, 2))):
    image.save(path)
    assert refused() == "no_class_numbers"
  path.write_bytes(_gray(np.minimum(_NUMBERS, 3), bits=2))
  assert refused() == "no_class_numbers"
  Image.fromarray(np.random.default_rng(0).integers(0, 9, (90, 80), np.uint8)).save(path)
  assert refused((80, 90)) == "other_size"
  path.write_bytes(path.read_bytes()[:2000])
  assert refused((90, 80)) == "broken"
