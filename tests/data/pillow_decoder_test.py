"""Tests of sbae_tf.data.pillow_decoder and of sbae_tf.data.unreadable."""

from __future__ import annotations

import concurrent.futures
import io
import pathlib
import pickle
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps, features

from sbae_tf.data import pillow_decoder, unreadable
from sbae_tf.data.unreadable import UnreadableImage
from tests.data import dirty_table
from tests.data.exif import STORED

ORIENTATION = 0x0112  # EXIF's tag.


CODECS = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # Not in every Pillow.


def _decode(encoded: bytes, max_pixels: int = 10**6) -> np.ndarray:
  pixels = pillow_decoder.decode(encoded, max_pixels=max_pixels)
  assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
  assert pixels.flags.c_contiguous
  return pixels


def _reason(encoded: bytes, max_pixels: int = 10**6) -> str:
  with pytest.raises(UnreadableImage) as caught:
    pillow_decoder.decode(encoded, max_pixels=max_pixels)
  assert caught.value.detail and "\n" not in caught.value.detail
  return caught.value.reason


def _encode(image: Image.Image | np.ndarray, name: str, **options: object) -> bytes:
  if name in CODECS and not features.check(CODECS[name]):
    pytest.skip(f"This Pillow has no {name}")
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  stream = io.BytesIO()
  image.save(stream, name, **options)
  return stream.getvalue()


def _picture(height: int = 48, width: int = 64) -> np.ndarray:
  """(H, W, 3) uint8: smooth, and no symmetry."""
  rows, columns = np.mgrid[:height, :width]
  red, green = rows * 255 // height, columns * 255 // width
  return np.stack([red, green, 255 - (red + green) // 2], axis=-1).astype(np.uint8)


def _exif(orientation: int) -> Image.Exif:
  exif = Image.Exif()
  exif[ORIENTATION] = orientation
  return exif


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
  """A PNG of these chunks (name, data), each with its length and checksum."""
  return b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    for name, data in chunks
  )


def _png_header(height: int, width: int, *, bits: int = 8) -> tuple[bytes, bytes]:
  return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)


# Formats, modes and transparency.


@pytest.mark.parametrize(
  ("name", "options", "atol"),
  [
    ("PNG", {}, 0),
    ("BMP", {}, 0),
    ("PPM", {}, 0),
    ("TIFF", {}, 0),
    ("TIFF", {"compression": "tiff_lzw"}, 0),
    ("WEBP", {"lossless": True}, 0),
    ("WEBP", {"quality": 95}, 8),
    ("JPEG2000", {}, 0),
    ("JPEG", {"quality": 98, "subsampling": 0}, 6),
    ("JPEG", {"quality": 98, "subsampling": 0, "progressive": True}, 6),
    ("MPO", {"quality": 98, "subsampling": 0}, 6),
    ("AVIF", {"quality": 95}, 8),
  ],
)
def test_every_format_keeps_its_pixels(name, options, atol):
  picture = _picture()
  np.testing.assert_allclose(
    _decode(_encode(picture, name, **options)).astype(int), picture, atol=atol
  )


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LAB"])
def test_every_mode_becomes_rgb(mode):
  picture = Image.fromarray(_picture() // 2 + 64)  # Pale enough for Lab's way through sRGB.
  if mode == "P":
    picture = picture.quantize(16)
  converted = picture.convert(mode)
  expected = np.asarray(converted.convert("RGB")).astype(int)
  np.testing.assert_allclose(_decode(_encode(converted, "TIFF")), expected, atol=1)
  if mode not in ("1", "L"):
    assert np.abs(expected - picture.convert("RGB")).mean() < 2


@pytest.mark.parametrize("color", [(200, 30, 40), (20, 160, 90), (0, 0, 0), (255, 255, 255)])
def test_cmyk_photographs_are_not_inverted(color):
  """Adobe's programs store the inverted inks, and so does Pillow."""
  jpeg = _encode(Image.new("RGB", (16, 16), color).convert("CMYK"), "JPEG", quality=98)
  assert b"Adobe" in jpeg
  np.testing.assert_allclose(_decode(jpeg).mean((0, 1)), color, atol=3)


def test_alpha_is_laid_over_white():
  picture, alpha = _picture(), np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
  rgba = np.dstack([picture, alpha])
  weight = alpha[..., np.newaxis] / 255
  expected = picture * weight + 255 * (1 - weight)
  for encoded in (
    _encode(rgba, "PNG"),
    _encode(rgba, "TIFF"),
    _encode(rgba, "WEBP", lossless=True, exact=True),
  ):
    np.testing.assert_allclose(_decode(encoded), expected, atol=1)
  gray_alpha = Image.merge("LA", [Image.fromarray(picture[..., 0]), Image.fromarray(alpha)])
  over_white = _decode(_encode(gray_alpha, "PNG"))
  np.testing.assert_allclose(over_white, np.repeat(expected[..., :1], 3, axis=-1), atol=1)


@pytest.mark.parametrize(
  ("name", "transparency", "expected"),
  [
    ("GIF", 1, 255),
    ("PNG", 1, 255),
    ("PNG", bytes([255, 0, 255]), 255),
    ("PNG", bytes([255, 128, 255]), 127),
  ],
)
def test_transparent_colors_of_a_palette_are_laid_over_white(name, transparency, expected):
  indexed = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
  indexed.putpalette([10, 20, 30, 0, 0, 0, 70, 80, 90])
  pixels = _decode(_encode(indexed, name, transparency=transparency))
  assert pixels.tolist() == [[[10, 20, 30], [expected] * 3, [70, 80, 90]]]


def test_a_transparent_color_without_a_palette_is_laid_over_white():
  picture = np.array([[[10, 20, 30], [1, 2, 3]]], np.uint8)
  pixels = _decode(_encode(picture, "PNG", transparency=(1, 2, 3)))
  assert pixels.tolist() == [[[10, 20, 30], [255, 255, 255]]]
  pixels = _decode(_encode(picture[..., 0], "PNG", transparency=1))
  assert pixels.tolist() == [[[10, 10, 10], [255, 255, 255]]]
  # 16 bits: black, 256, the transparent 257, white.
  rows = b"\0" + np.array([0, 256, 257, 65535], ">u2").tobytes()
  chunks = (b"tRNS", struct.pack(">H", 257)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
  pixels = _decode(_png(_png_header(1, 4, bits=16), *chunks))
  assert pixels[0, :, 0].tolist() == [0, 1, 255, 255]


@pytest.mark.parametrize(
  ("name", "dtype"),
  [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("PPM", "<u2"), ("TIFF", "<i4")],
)
def test_16_bits_are_scaled(name, dtype):
  gray = np.arange(65536).reshape(128, 512).astype(dtype)
  pixels = _decode(_encode(gray, name))
  np.testing.assert_array_equal(pixels, np.repeat(np.rint(gray / 257.0)[..., np.newaxis], 3, 2))


@pytest.mark.parametrize(
  ("values", "expected"),
  [
    ([0.0, 0.2, 1.0], [0, 51, 255]),
    ([0.25, 0.5, 0.75], [64, 128, 191]),
    ([-1.0, 0.0, 3.0], [0, 64, 255]),
    ([0.0, 51.0, 255.0], [0, 51, 255]),
    ([np.nan, 0.4, 1.0], [0, 102, 255]),
    ([np.nan, np.inf, -np.inf], [0, 255, 0]),
    ([7.0, 7.0, 7.0], [0, 0, 0]),
  ],
)
def test_floats_are_scaled(values, expected):
  pixels = _decode(_encode(np.array([values], np.float32), "TIFF"))
  assert pixels[0].tolist() == [[value] * 3 for value in expected]


def test_integers_beyond_16_bits_are_scaled_by_their_range():
  pixels = _decode(_encode(np.array([[-100, 0, 99900]], np.int32), "TIFF"))
  assert pixels[0, :, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_the_first_frame_is_read(name):
  frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue", "green")]
  encoded = _encode(frames[0], name, save_all=True, append_images=frames[1:])
  with Image.open(io.BytesIO(encoded)) as image:
    assert image.n_frames == 3
  np.testing.assert_allclose(_decode(encoded).mean((0, 1)), [255, 0, 0], atol=3)


# Orientation.


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_images_are_upright(name, orientation):
  upright = _picture()
  stored = np.ascontiguousarray(STORED[orientation](upright))
  lossless = {"lossless": True} if name == "WEBP" else {}
  encoded = _encode(stored, name, exif=_exif(orientation), **lossless)
  pixels = _decode(encoded)
  assert pixels.shape == upright.shape
  np.testing.assert_allclose(
    pixels.astype(int), upright, atol=20 if name in ("JPEG", "AVIF") else 0
  )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_modes_are_upright(orientation):
  gray = _picture()[..., 0]
  stored = np.ascontiguousarray(STORED[orientation](gray))
  for image in (
    Image.fromarray(stored.astype("<u2") * 257),
    Image.fromarray(stored).convert("RGB").quantize(256, dither=Image.Dither.NONE),
    Image.fromarray(np.dstack([stored, np.full_like(stored, 255)])),  # LA.
  ):
    pixels = _decode(_encode(image, "PNG", exif=_exif(orientation)))
    np.testing.assert_allclose(pixels[..., 0].astype(int), gray, atol=2)


@pytest.mark.parametrize(
  "exif",
  [
    b"Exif\0\0",
    b"Exif\0\0nonsense",
    b"Exif\0\0II*\0\x08\0\0\0\xff\xff",  # 65535 tags, and none of them there.
    b"Exif\0\0II*\0\xff\xff\xff\xff",  # Tags beyond the end.
    _exif(0).tobytes(),
    _exif(9).tobytes(),
    b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0\0\0\0\0",  # A text.
  ],
)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_bad_exif_leaves_an_image_unturned(name, exif):
  picture = _picture()
  expected = _decode(_encode(picture, name))
  np.testing.assert_array_equal(_decode(_encode(picture, name, exif=exif)), expected)


def test_an_image_is_turned_although_its_exif_cannot_be_rewritten(monkeypatch):
  encoded = _encode(_picture(48, 64), "PNG", exif=_exif(6))

  def fail(*args: object) -> None:
    raise TypeError

  monkeypatch.setattr(Image.Exif, "tobytes", fail)
  assert _decode(encoded).shape == (64, 48, 3)


# What cannot be read.


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("GIF", {}),
    ("BMP", {}),
    ("PPM", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
  ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")  # Of TIFF.
def test_truncated_images_are_refused(name, options):
  picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
  encoded = _encode(picture, name, **options)
  lengths = [len(encoded) * percent // 100 for percent in (10, 30, 50, 70, 90, 99)]
  lengths += range(24, 60, 3)  # In the header.
  assert {_reason(encoded[:length]) for length in lengths} == {"truncated"}
  _decode(encoded)


@pytest.mark.parametrize("name", ["AVIF", "JPEG2000"])
def test_truncated_images_of_rare_formats_are_refused(name):
  """Their libraries do not always say why."""
  encoded = _encode(_picture(), name)
  for percent in (10, 50, 90, 99):
    assert _reason(encoded[: len(encoded) * percent // 100]) in ("truncated", "corrupt")


@pytest.mark.parametrize(
  "encoded",
  [
    b"\0",
    b"<!DOCTYPE html><html></html>",
    b"Python and other texts",  # A PPM starts with P and a letter or a digit.
    b"P is for pictures",
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
    b"GIF88a",
    bytes(100),
  ],
)
def test_what_is_no_image_is_told(encoded):
  assert _reason(encoded) == "not_an_image"


@pytest.mark.parametrize("name", ["EPS", "PDF", "ICO", "PCX", "TGA", "ICNS"])
def test_other_formats_of_pillow_are_refused(name):
  """EPS among them, for which Pillow would run Ghostscript."""
  assert _reason(_encode(_picture(), name)) == "not_an_image"


def test_a_format_that_pillow_was_built_without_is_named(monkeypatch):
  encoded = _encode(_picture(), "PNG")
  monkeypatch.setitem(Image.OPEN, "PNG", (None, lambda prefix: "PNG support not installed"))
  with pytest.raises(UnreadableImage, match="not_an_image: PNG support not installed"):
    _decode(encoded)


def test_no_bytes_are_empty():
  assert _reason(b"") == "empty"


def test_broken_images_are_corrupt():
  rows = zlib.compress(bytes(16 * 17))
  good = _png_header(16, 16), (b"IDAT", rows), (b"IEND", b"")
  assert _decode(_png(*good)).shape == (16, 16, 3)
  assert _reason(_png(good[0], (b"IDAT", b"\xff" * 12), good[2])) == "corrupt"
  assert _reason(_png((b"IHDR", good[0][1][:8] + bytes([9, 9, 0, 0, 0])), *good[1:])) == "corrupt"
  checksum = bytearray(_png(*good))
  checksum[8 + 8 + 13] ^= 1
  assert _reason(bytes(checksum)) == "corrupt"
  jpeg = bytearray(_encode(_picture(), "JPEG"))
  table = jpeg.index(b"\xff\xc4")
  jpeg[table + 5 : table + 21] = b"\xff" * 16  # More codes in a Huffman table than there can be.
  assert _reason(bytes(jpeg)) == "corrupt"


@pytest.mark.parametrize("size", [(0, 16), (16, 0), (0, 0)])
def test_images_without_pixels_are_corrupt(size):
  rows = (b"IDAT", zlib.compress(bytes(16 * 17))), (b"IEND", b"")
  assert _reason(_png(_png_header(*size), *rows)) == "corrupt"
  assert _reason(b"P6 %d %d 255\n" % size) == "corrupt"


@pytest.mark.parametrize("error", [MemoryError(), KeyError("mode"), struct.error("two\nlines")])
def test_whatever_pillow_raises_becomes_the_same_error(error, monkeypatch):
  def fail(*args: object) -> None:
    raise error

  encoded = _encode(_picture(), "PNG")
  monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
  assert _reason(encoded) == "corrupt"


# The limit.


def test_the_limit_is_width_times_height():
  encoded = _encode(_picture(48, 64), "PNG")
  assert _decode(encoded, max_pixels=48 * 64).shape == (48, 64, 3)
  with pytest.raises(UnreadableImage, match="too_large: 64 x 48 .* 3071 pixels"):
    pillow_decoder.decode(encoded, max_pixels=48 * 64 - 1)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_the_limit_is_checked_before_pixels_are_loaded(name, monkeypatch):
  encoded = _encode(_picture(), name)
  monkeypatch.setattr(ImageFile.ImageFile, "load", None)
  assert _reason(encoded, max_pixels=100) == "too_large"


def test_the_limit_replaces_pillows(monkeypatch):
  encoded = _encode(_picture(), "PNG")
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
  with pytest.raises(Image.DecompressionBombError):
    Image.open(io.BytesIO(encoded))
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    assert _decode(encoded).shape == (48, 64, 3)
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 - 1)  # Where `open` only warns.
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    assert _decode(encoded).shape == (48, 64, 3)
  assert Image.MAX_IMAGE_PIXELS == 48 * 64 - 1
  assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_pillows_own_limit_is_told_as_such_where_it_still_holds(monkeypatch):
  gif = bytearray(_encode(_picture(), "GIF"))
  gif[6:10] = bytes([1, 0, 1, 0])  # The screen's size; the frame is larger.
  assert _decode(bytes(gif)).shape == (48, 64, 3)
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
  assert _reason(bytes(gif)) == "too_large"


def test_a_limit_of_nothing_is_refused():
  with pytest.raises(ValueError, match="`max_pixels` of at least 1. Received: 0"):
    pillow_decoder.decode(b"", max_pixels=0)


def test_threads_decode_the_same():
  sizes, names = range(40, 48), ("PNG", "JPEG", "GIF")
  encoded = [_encode(_picture(size, 50), name) for size in sizes for name in names]
  expected = [_decode(item) for item in encoded]
  encoded += [item[: len(item) // 2] for item in encoded]

  def attempt(item: bytes) -> np.ndarray | str:
    try:
      return pillow_decoder.decode(item, max_pixels=10**6)
    except UnreadableImage as error:
      return error.reason

  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    results = list(pool.map(attempt, encoded * 5))
  for i, result in enumerate(results):
    i %= len(encoded)
    if i < len(expected):
      np.testing.assert_array_equal(result, expected[i])
    else:
      assert result == "truncated"


# The error.


def test_the_error_has_a_reason_and_one_line():
  error = UnreadableImage("corrupt", "two\n  lines")
  assert (error.reason, error.detail, str(error)) == ("corrupt", "two lines", "corrupt: two lines")
  copy = pickle.loads(pickle.dumps(error))
  assert (type(copy), copy.reason, copy.detail) == (UnreadableImage, "corrupt", "two lines")
  with pytest.raises(ValueError, match="one of missing, empty, .* Received: 'bad'"):
    UnreadableImage("bad", "")


# The test data's folder of difficult images.


def _read_independently(path: pathlib.Path) -> np.ndarray:
  """(H, W, 3) float64, upright, over white."""
  image = ImageOps.exif_transpose(Image.open(path))
  if image.mode == "I;16":
    gray = np.asarray(image).astype(np.float64)
    gray[gray == image.info.get("transparency")] = 65535
    return np.stack([gray / 65535 * 255] * 3, axis=-1)
  rgba = np.asarray(image.convert("RGBA")).astype(np.float64)
  return 255 + (rgba[..., :3] - 255) * rgba[..., 3:] / 255


def test_the_table_has_every_difficult_image(test_data):
  folder = test_data / "dirty"
  files = {f.relative_to(folder).as_posix() for f in folder.glob("*/*")}
  assert files == set(dirty_table.EXPECTED) and len(files) == 91
  reasons = {e for e in dirty_table.EXPECTED.values() if isinstance(e, str)}
  assert reasons < set(unreadable.REASONS)


@pytest.mark.parametrize("name", dirty_table.EXPECTED)
def test_difficult_images(name, test_data):
  path, expected = test_data / "dirty" / name, dirty_table.EXPECTED[name]
  if isinstance(expected, str):
    assert _reason(path.read_bytes(), dirty_table.MAX_PIXELS) == expected
    return
  pixels = _decode(path.read_bytes(), dirty_table.MAX_PIXELS)
  assert pixels.shape == (*expected, 3)
  assert np.abs(pixels - _read_independently(path)).mean() < 2


def test_giants_take_no_memory(test_data):
  """In a process of its own: its largest memory, Pillow's included, before and after."""
  status = pathlib.Path("/proc/self/status")
  if not status.is_file() or "VmHWM" not in status.read_text():
    pytest.skip("No /proc")
  giants = [
    str(test_data / "dirty" / name) for name, e in dirty_table.EXPECTED.items() if e == "too_large"
  ]
  assert len(giants) == 2
  program = """
import pathlib, re, sys
from sbae_tf.data import pillow_decoder, unreadable
def peak():
  return int(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
encoded = [pathlib.Path(path).read_bytes() for path in sys.argv[2:]]
before = peak()
for item in encoded:
  try:
    pillow_decoder.decode(item, max_pixels=int(sys.argv[1]))
  except unreadable.UnreadableImage:
    pass
print(peak() - before)
"""

  def growth(max_pixels: int, paths: list[str]) -> int:
    command = [sys.executable, "-c", program, str(max_pixels), *paths]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

  assert growth(dirty_table.MAX_PIXELS, giants) < 5_000  # kB; their pixels are 128 and 200 MB.
  baseline = str(test_data / "dirty/exif_orientation/Portrait_1.jpg")
  assert growth(dirty_table.MAX_PIXELS, [baseline]) > 5_000  # So it is seen.
