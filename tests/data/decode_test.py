"""Tests of sbae_tf.data.decode and sbae_tf.data.mend: what comes out for every kind of file."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from sbae_tf.data import augmentation, decode, pipeline
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source
from tests.data import dirty_table

SIZE = 16
_FINE = {"JPEG": {"quality": 99, "subsampling": 0}, "PNG": {}}


def _central(slots: tf.Tensor, sizes: tf.Tensor, orientations: tf.Tensor, ratios: tf.Tensor):
  del slots
  return augmentation.central_cut(sizes, orientations, image_size=SIZE, largest_ratio=ratios)


def _decode(*encoded: bytes, max_pixels: int = 10**8) -> tuple[np.ndarray, np.ndarray]:
  slots = tf.range(len(encoded), dtype=tf.int64)
  arguments = {"image_size": SIZE, "max_pixels": max_pixels, "cut": _central}
  count = tf.constant(len(encoded), tf.int64)
  images, ok = decode.decode(slots, tf.constant(encoded), count=count, **arguments)
  return images.numpy(), ok.numpy()


def _smooth(height: int, width: int) -> np.ndarray:
  """(height, width, 3) uint8: slow waves, which no resampling changes much."""
  y, x = np.mgrid[:height, :width] / max(height, width)
  waves = [np.sin(3 * y + 5 * x), np.cos(6 * x - y), np.sin(4 * y)]
  return np.clip(128 + 100 * np.stack(waves, axis=2), 0, 255).astype(np.uint8)


def _save(pixels: np.ndarray, name: str, **options: object) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, name, **options)
  return buffer.getvalue()


def _square(image: Image.Image) -> np.ndarray:
  """The plain reading: the central square, upright, reduced by averaging."""
  image = ImageOps.exif_transpose(image).convert("RGB")
  return np.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BILINEAR)).astype(float)


@pytest.mark.parametrize("size", [(16, 16), (40, 33), (90, 120), (300, 200), (17, 400)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_agrees_with_a_plain_reading(size, kind):
  pixels = _smooth(*size)
  images, ok = _decode(_save(pixels, kind, **_FINE[kind]))
  assert ok.tolist() == [True]
  # The part is rounded to whole pixels after reduction, half of one of these few.
  assert abs(images[0] - _square(Image.fromarray(pixels))).mean() < (4 if size == (40, 33) else 2.5)


@pytest.mark.parametrize("side", [16, 40, 72, 144, 304])  # Whole pixels after reduction.
def test_reducing_while_decoding_gives_what_reducing_afterwards_does(side):
  """Ratios 1 to 8 of JPEG against PNG of the same pixels."""
  pixels = _smooth(side, side)
  images, _ = _decode(_save(pixels, "JPEG", **_FINE["JPEG"]), _save(pixels, "PNG"))
  assert abs(images[0].astype(float) - images[1]).mean() < 1.5


def test_what_cannot_be_decoded_leaves_its_slot_black():
  good = _save(_smooth(20, 30), "PNG")
  jpeg = _save(_smooth(200, 200), "JPEG")
  images, ok = _decode(good, b"", good, jpeg[: len(jpeg) // 2], b"GIF89a", good, good[:40])
  assert ok.tolist() == [True, False, True, False, False, True, False]
  assert not images[~ok].any() and (images[ok] == images[0]).all() and images[0].any()


def test_nothing_but_what_cannot_be_decoded():
  images, ok = _decode(b"", b"x")
  assert not ok.any() and images.shape == (2, SIZE, SIZE, 3) and not images.any()


def test_a_truncated_jpeg_is_refused_even_if_its_part_is_there():
  """A crop of the upper part needs none of the lines that are missing."""
  jpeg = _save(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8), "JPEG")

  def upper(slots: tf.Tensor, sizes: tf.Tensor, orientations: tf.Tensor, ratios: tf.Tensor):
    del orientations
    one = tf.ones_like(ratios)
    return augmentation.Cut(one, tf.constant([[0, 0, 16, 16]]), one, tf.zeros((1, 3), tf.bool))

  for share, expected in ((0.9, False), (1.0, True)):
    encoded = tf.constant([jpeg[: int(share * len(jpeg))]])
    slots, count = tf.zeros((1,), tf.int64), tf.constant(1, tf.int64)
    _, ok = decode.decode(
      *(slots, encoded), count=count, image_size=SIZE, max_pixels=10**6, cut=upper
    )
    assert bool(ok[0]) == expected


def test_bytes_after_the_end_do_no_harm():
  """As cameras append them."""
  jpeg = _save(_smooth(60, 80), "JPEG")
  images, ok = _decode(jpeg, jpeg + b"SEFT" * 9)
  assert ok.all() and (images[0] == images[1]).all()


def test_too_many_pixels_are_left_out():
  encoded = _save(_smooth(30, 40), "JPEG")
  assert _decode(encoded, max_pixels=1199)[1].tolist() == [False]
  assert _decode(encoded, max_pixels=1200)[1].tolist() == [True]


def _reduced(image: Image.Image) -> np.ndarray:
  """The upright picture over white, as the pipeline's central cut sees it, from full pixels."""
  if image.mode.startswith("I"):
    image = Image.fromarray((np.asarray(image).astype(float) / 257).round().astype(np.uint8))
  image = ImageOps.exif_transpose(image)
  if image.mode in ("RGBA", "LA", "P") or "transparency" in image.info:
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
  pixels = np.asarray(image.convert("RGB"))
  size = tf.constant([pixels.shape[:2]])
  one = tf.ones((1,), tf.int32)
  cut = augmentation.central_cut(size, one, image_size=64, largest_ratio=one)
  top, left, height, width = cut.window[0].numpy()
  window = tf.constant(pixels[top : top + height, left : left + width])
  return augmentation.resample(window, image_size=64, factor=cut.factor[0]).numpy()


def test_every_dirty_file_is_right_or_named(test_data: pathlib.Path):
  """All 91, through the whole pipeline, against Pillow's reading."""
  root = test_data / "dirty"
  names = sorted(dirty_table.EXPECTED)
  assert len(names) == 91
  encoded = tf.constant([(root / name).read_bytes() for name in names])
  source = Source(
    names=names,
    labels=np.arange(91, dtype=np.int32),
    class_names=tuple(names),
    read=lambda index: tf.gather(encoded, index),
    description="dirty",
  )
  skipped = Skipped(91, limit=1.0)
  dataset = pipeline.evaluation_dataset(
    source, batch_size=32, image_size=64, skipped=skipped, max_pixels=dirty_table.MAX_PIXELS
  )
  seen = {}
  for batch in dataset.as_numpy_iterator():
    seen.update((names[label], image) for label, image in zip(batch["label"], batch["image"]))
  reasons = {name: reason for name, (reason, _) in skipped.entries.items()}
  assert {**dict.fromkeys(seen, "read"), **reasons} == {
    name: expected if isinstance(expected, str) else "read"
    for name, expected in dirty_table.EXPECTED.items()
  }
  for name, image in seen.items():
    with Image.open(root / name) as plain:
      plain.seek(0)
      expected = _reduced(plain)
    # Of sixteenths, for filters differ in fine detail: a wrong turn or color is theirs, too.
    parts = [x.astype(float).reshape(4, 16, 4, 16, 3).mean((1, 3)) for x in (image, expected)]
    difference = abs(parts[0] - parts[1]).mean()
    assert difference <= 2, (name, difference)


def test_pixels_agree_with_pillow_s(test_data: pathlib.Path):
  """The fast path without any resampling: a window of as many pixels as the input has."""

  def corner(slots: tf.Tensor, sizes: tf.Tensor, orientations: tf.Tensor, ratios: tf.Tensor):
    del orientations, slots
    one = tf.ones_like(ratios)
    window = tf.concat([sizes // 4, tf.ones_like(sizes) * SIZE], axis=1)
    return augmentation.Cut(one, window, one, tf.zeros((tf.size(one), 3), tf.bool))

  photographs = sorted((test_data / "photos500").rglob("*.jp*g"))[:60]
  readable = [name for name, value in dirty_table.EXPECTED.items() if not isinstance(value, str)]
  names = [test_data / "dirty" / name for name in readable] + photographs
  differences = []

  @tf.function(input_signature=[tf.TensorSpec((1,), tf.string)], autograph=False)
  def decoded(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return decode.decode(
      *(tf.zeros((1,), tf.int64), encoded),
      count=tf.constant(1, tf.int64),
      image_size=SIZE,
      max_pixels=10**7,
      cut=corner,
    )

  for name in names:
    image, ok = decoded(tf.constant([name.read_bytes()]))
    if ok[0]:
      pixels = np.asarray(Image.open(name).convert("RGB")).astype(float)
      top, left = pixels.shape[0] // 4, pixels.shape[1] // 4
      expected = pixels[top : top + SIZE, left : left + SIZE]
      differences.append(abs(image[0].numpy() - expected).mean())
      # Colors between the window's edge and the next pixel are interpolated with less knowledge.
      assert differences[-1] < 0.5, (name, differences[-1])
  assert len(differences) > 90
