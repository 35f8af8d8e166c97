"""Bands as files store them: what comes back, and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from sbae_tf.data import band_decoder, pillow_decoder
from sbae_tf.data.unreadable import UnreadableImage

BANDS = np.random.default_rng(0).integers(0, 60_000, (5, 7, 4)).astype(np.uint16)  # (H, W, N)


def _npy(values: np.ndarray) -> bytes:
  stream = io.BytesIO()
  np.save(stream, values)
  return stream.getvalue()


def _tiff(values: np.ndarray, **options: object) -> bytes:
  stream = io.BytesIO()
  tifffile.imwrite(stream, values, photometric="minisblack", **options)
  return stream.getvalue()


def _picture(image: Image.Image, kind: str, **options: object) -> bytes:
  stream = io.BytesIO()
  image.save(stream, kind, **options)
  return stream.getvalue()


@pytest.mark.parametrize(
  ("encoded", "expected"),
  [
    (_npy(BANDS), BANDS),
    (_npy(np.asfortranarray(BANDS).astype(">f4")), BANDS.astype(np.float32)),
    (_npy(BANDS[..., 0].astype(np.int16)), BANDS[..., :1].astype(np.int16)),
    (_tiff(BANDS, planarconfig="contig"), BANDS),
    (_tiff(np.moveaxis(BANDS, 2, 0), planarconfig="separate"), BANDS),
    (_tiff(np.moveaxis(BANDS, 2, 0)), BANDS),  # Pages.
    (_tiff(BANDS[..., 0].astype(np.float32), compression="zlib"), BANDS[..., :1]),
    (_picture(Image.fromarray(BANDS[..., 0]), "TIFF", compression="tiff_lzw"), BANDS[..., :1]),
    (_picture(Image.fromarray(BANDS[..., 0]), "PNG"), BANDS[..., :1]),
    (_picture(Image.fromarray((BANDS >> 8).astype(np.uint8)), "PNG"), BANDS >> 8),
    (_picture(Image.fromarray((BANDS[..., 0] >> 8).astype(np.uint8)), "PNG"), BANDS[..., :1] >> 8),
  ],
)
def test_the_numbers_that_were_stored(encoded, expected):
  values = band_decoder.decode(encoded, max_pixels=35)
  assert values.shape == expected.shape
  np.testing.assert_array_equal(values, expected)
  with pytest.raises(UnreadableImage) as error:
    band_decoder.decode(encoded, max_pixels=34)
  assert str(error.value) == "too_large: 7 x 5 is more than 34 pixels"


@pytest.mark.parametrize(
  ("encoded", "reason"),
  [
    (b"", "empty"),
    (b"nothing that is known", "not_an_image"),
    (_npy(BANDS)[:-1], "truncated"),
    (_npy(BANDS)[:20], "corrupt"),
    (_npy(np.array([[{}]], dtype=object)), "corrupt"),  # It would run code.
    (_npy(np.zeros((2, 2, 2, 2))), "corrupt"),
    (_npy(np.zeros((2, 2), complex)), "corrupt"),
    (_npy(np.zeros((0, 3))), "corrupt"),
    (_tiff(BANDS, planarconfig="contig")[:-100], "corrupt"),
    (_tiff(BANDS[..., 0], extratags=[(274, "H", 1, 6, True)]), "corrupt"),
    (_picture(Image.fromarray(BANDS[..., 0]), "PNG")[:60], "truncated"),
    (_picture(Image.fromarray(BANDS[..., 0] > 9), "PNG"), "not_an_image"),
    (_picture(Image.new("P", (4, 4)), "PNG"), "not_an_image"),
  ],
)
def test_what_is_not_read_says_why(encoded, reason):
  with pytest.raises(UnreadableImage) as error:
    band_decoder.decode(encoded, max_pixels=10**6)
  assert error.value.reason == reason and error.value.detail


def test_colors_of_16_bits_are_refused_and_not_narrowed():
  import struct
  import zlib

  def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

  rows = b"".join(b"\0" + row.tobytes() for row in BANDS[..., :3].astype(">u2"))
  png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0))
  png += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
  with pytest.raises(UnreadableImage, match="16 bits of several bands"):
    band_decoder.decode(png, max_pixels=100)
  assert pillow_decoder.decode(png, max_pixels=100).shape == (5, 7, 3)
