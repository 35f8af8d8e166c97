"""Encoded images to inputs without Python: the same as the pipeline's, or an error."""

from __future__ import annotations

import contextlib
import functools
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.data import pipeline
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source
from sbae_tf.encoded_images import decode_central

_SIZE = 24
_LIMIT = 10**7


@functools.cache
def _traced(max_pixels: int):
  return tf.function(
    lambda encoded: decode_central(encoded, image_size=_SIZE, max_pixels=max_pixels),
    input_signature=[tf.TensorSpec((None,), tf.string)],
    autograph=False,
  )


def _decode(*encoded: bytes, max_pixels: int = _LIMIT) -> np.ndarray:
  return _traced(max_pixels)(tf.constant(encoded, tf.string)).numpy()


def _by_pipeline(*encoded: bytes) -> np.ndarray:
  """(B, S, S, 3) uint8, as evaluation reads them; without those that it cannot read."""
  source = Source(
    names=[str(i) for i in range(len(encoded))],
    labels=None,
    class_names=(),
    read=lambda index: tf.gather(tf.constant(encoded), index),
    description="test",
  )
  dataset = pipeline.evaluation_dataset(
    source,
    batch_size=len(encoded),
    image_size=_SIZE,
    max_pixels=_LIMIT,
    skipped=Skipped(len(source), limit=1.0),
  )
  return np.concatenate([batch["image"].numpy() for batch in dataset])


def _smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
  """(height, width, channels) uint8: slow waves."""
  y, x = np.mgrid[:height, :width] / max(height, width)
  waves = [np.sin(3 * y + 5 * x), np.cos(6 * x - y), np.sin(4 * y), np.cos(5 * y * x)]
  return np.clip(128 + 120 * np.stack(waves[:channels], 2), 0, 255).astype(np.uint8)


def _save(pixels: np.ndarray | Image.Image, name: str, **options: object) -> bytes:
  image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
  buffer = io.BytesIO()
  image.save(buffer, name, **options)
  return buffer.getvalue()


def _gray16(height: int, width: int) -> Image.Image:
  return Image.fromarray(_smooth(height, width)[..., 0].astype(np.uint16) * 257 + 100)


def _transparent_color() -> bytes:
  """A palette, one color of which is transparent."""
  return _save(Image.fromarray(_smooth(50, 40)).quantize(8), "PNG", transparency=3)


# What TensorFlow decodes once its way of doing so is checked, and how far off it may be, in levels.
_RARE = {
  "alpha.png": (_save(_smooth(60, 41, 4), "PNG"), 0),
  "gray_alpha.png": (_save(Image.fromarray(_smooth(60, 41, 4)).convert("LA"), "PNG"), 0),
  "transparent_color.png": (_transparent_color(), 0),
  "gray16.png": (_save(_gray16(60, 90), "PNG"), 1),
  "color24.bmp": (_save(_smooth(60, 91), "BMP"), 0),
  "opaque.gif": (_save(_smooth(60, 91), "GIF"), 0),
  "animated.gif": (
    _save(_smooth(60, 91), "GIF", save_all=True, append_images=[Image.new("RGB", (91, 60))]),
    0,
  ),
  "commented.gif": (_save(_smooth(30, 30), "GIF", comment=b"x" * 600), 0),
}


def test_agrees_with_evaluation():
  found = _decode(*(encoded for encoded, _ in _RARE.values()))
  assert found.shape == (len(_RARE), _SIZE, _SIZE, 3) and found.dtype == np.uint8
  expected = _by_pipeline(*(encoded for encoded, _ in _RARE.values()))
  for (name, (_, tolerance)), a, b in zip(_RARE.items(), found, expected):
    assert np.abs(a.astype(int) - b).max() <= tolerance, name


def test_each_in_its_place():
  common = [
    _save(_smooth(40, 60), kind, **o) for kind, o in (("JPEG", {"quality": 95}), ("PNG", {}))
  ]
  encoded = [common[0], *(e for e, _ in _RARE.values()), common[1], _RARE["alpha.png"][0]]
  found = _decode(*encoded)
  for one, image in zip(encoded, found):
    np.testing.assert_array_equal(image, _decode(one)[0])


def test_turned_as_exif_says():
  encoded = []
  for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded.append(_save(_smooth(72, 48), "JPEG", quality=98, subsampling=0, exif=exif))
  found = _decode(*encoded)
  np.testing.assert_array_equal(found, _by_pipeline(*encoded))
  assert all(np.abs(found[0].astype(int) - other).max() > 50 for other in found[1:])


def _exif_png() -> bytes:
  exif = Image.Exif()
  exif[0x0112] = 6
  return _save(_smooth(30, 40), "PNG", exif=exif)


_REFUSED = {
  "empty": b"",
  "text": b"Dear Sir or Madam, this is no photograph.",
  "webp": _save(_smooth(30, 40), "WEBP"),
  "tiff": _save(_smooth(30, 40), "TIFF"),
  "cmyk": _save(Image.fromarray(_smooth(30, 40)).convert("CMYK"), "JPEG"),
  "palette_bmp": _save(Image.fromarray(_smooth(30, 40)).quantize(16), "BMP"),
  "transparent_gif": _save(Image.fromarray(_smooth(30, 40)).quantize(8), "GIF", transparency=3),
  "turned_png": _exif_png(),
  "truncated_jpeg": _save(_smooth(30, 40), "JPEG")[:-100],
  "truncated_png": _save(_smooth(30, 40), "PNG")[:-100],
  "truncated_bmp": _save(_smooth(30, 40), "BMP")[:-100],
  "truncated_gif": _save(_smooth(30, 40), "GIF")[:20],
  "only_a_start_of_gif": b"GIF89a",
}


@pytest.mark.parametrize("name", _REFUSED)
def test_refuses_rather_than_guesses(name):
  fine = _save(_smooth(40, 60), "PNG")
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"Convert others.*\[1 3\]"):
    _decode(fine, _REFUSED[name], fine, _REFUSED[name])


@pytest.mark.parametrize("name", ["alpha.png", "color24.bmp", "opaque.gif"])
def test_refuses_too_many_pixels(name):
  with pytest.raises(tf.errors.InvalidArgumentError, match="at most 1000 pixels"):
    _decode(_RARE[name][0], max_pixels=1000)


def test_eager_and_of_none():
  encoded = [e for e, _ in _RARE.values()]
  eager = decode_central(tf.constant(encoded), image_size=_SIZE, max_pixels=_LIMIT)
  np.testing.assert_array_equal(eager, _decode(*encoded))
  with pytest.raises(tf.errors.InvalidArgumentError, match="Convert others"):
    decode_central(tf.constant([b""]), image_size=_SIZE, max_pixels=_LIMIT)
  assert _decode().shape == (0, _SIZE, _SIZE, 3)


def test_real_ones_are_read_alike_or_refused(test_data):
  """Of each of many difficult files: what evaluation reads, or an error."""
  paths, found = [], []
  for path in sorted((test_data / "dirty").rglob("*.*")):
    with contextlib.suppress(tf.errors.InvalidArgumentError):
      found.append(_decode(path.read_bytes())[0].astype(int))
      paths.append(path)
  expected = _by_pipeline(*(path.read_bytes() for path in paths))
  assert len(expected) == len(found) > 60
  for path, a, b in zip(paths, found, expected):
    # 16-bit gray is rounded otherwise.
    assert np.abs(a - b).max() <= ("g16" in path.name or "a16" in path.name), path
