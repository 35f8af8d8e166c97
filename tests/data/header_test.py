"""Tests of sbae_tf.data.header."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.data import header as header_lib
from sbae_tf.data.header import JPEG, OTHER, PNG

ORIENTATION = 0x0112  # EXIF's tag.
FIELDS = ("format", "height", "width", "orientation", "whole")
APP0, APP1, APP2, APP13, COMMENT = 0xE0, 0xE1, 0xE2, 0xED, 0xFE

_read = tf.function(
  lambda encoded: tuple(getattr(header_lib.read_headers(encoded), name) for name in FIELDS),
  input_signature=[tf.TensorSpec((None,), tf.string)],
)


def _headers(files: Sequence[bytes]) -> list[tuple[int, int, int, int, bool]]:
  """(format, height, width, orientation, whole) of each file."""
  fields = _read(tf.constant(list(files), tf.string))
  return list(zip(*(field.numpy().tolist() for field in fields)))


def _header(encoded: bytes) -> tuple[int, int, int, int, bool]:
  return _headers([encoded])[0]


def _picture(height: int = 40, width: int = 60, mode: str = "RGB") -> Image.Image:
  rows, columns = np.mgrid[:height, :width]
  red, green = rows * 255 // height, columns * 255 // width
  pixels = np.stack([red, green, 255 - (red + green) // 2], axis=-1).astype(np.uint8)
  return Image.fromarray(pixels).convert(mode)


def _encode(image: Image.Image, name: str, **options: object) -> bytes:
  stream = io.BytesIO()
  image.save(stream, name, **options)
  return stream.getvalue()


def _jpeg(height: int = 40, width: int = 60, **options: object) -> bytes:
  return _encode(_picture(height, width), "JPEG", **options)


def _segment(marker: int, data: bytes) -> bytes:
  return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def _with_segments(jpeg: bytes, *segments: bytes) -> bytes:
  """A JPEG with segments right after its first marker, before JFIF's."""
  return jpeg[:2] + b"".join(segments) + jpeg[2:]


def _tiff(
  orientation: int, *, order: str = ">", before: int = 0, offset: int = 8, kind: int = 3
) -> bytes:
  """What follows "Exif" in a segment: a directory with an orientation and others before it."""
  entries = [
    struct.pack(order + "HHIHH", tag, 3, 1, 5, 0)
    for tag in range(ORIENTATION - before, ORIENTATION)
  ]
  value = struct.pack(order + "HH", orientation, 0)
  if kind == 4:
    value = struct.pack(order + "I", orientation)
  entries.append(struct.pack(order + "HHI", ORIENTATION, kind, 1) + value)
  start = (b"MM" if order == ">" else b"II") + struct.pack(order + "HI", 42, offset)
  directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
  return start + bytes(offset - 8) + directory


def _exif(*arguments: int, **options: object) -> bytes:
  return _segment(APP1, b"Exif\0\0" + _tiff(*arguments, **options))


def _pillows(encoded: bytes) -> tuple[int, int, int]:
  """Height, width and orientation as Pillow reads them."""
  with Image.open(io.BytesIO(encoded)) as image:
    orientation = image.getexif().get(ORIENTATION, 1)
    return image.height, image.width, orientation if orientation in range(1, 9) else 1


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
  return b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    for name, data in chunks
  )


# Sizes.


def test_sizes_are_pillows():
  sizes = [(1, 1), (1, 500), (500, 1), (256, 255), (255, 257), (65500, 1), (1, 65500), (300, 400)]
  for name, format_ in (("JPEG", JPEG), ("PNG", PNG)):
    files = [_encode(Image.new("RGB", size[::-1]), name) for size in sizes]
    expected = [(format_, *_pillows(file), True) for file in files]
    assert [header[1:3] for header in expected] == sizes
    assert _headers(files) == expected


# Kinds of JPEG.


@pytest.mark.parametrize(
  "options",
  [
    {},
    {"progressive": True},
    {"optimize": True},
    {"quality": 100, "subsampling": 0},
    {"subsampling": 2, "dpi": (300, 300)},
    {"comment": b"FF C0 \xff\xc0\x00\x11\x08\x00\x01\x00\x01\x03"},
    {"restart_marker_blocks": 2},
    {"icc_profile": bytes(200_000)},  # Four segments.
    {"keep_rgb": True, "subsampling": 0},
  ],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_kind_of_jpeg(options, mode):
  if mode == "L" and "keep_rgb" in options:
    options = {}
  encoded = _encode(_picture(mode=mode), "JPEG", **options)
  assert _header(encoded) == (JPEG, 40, 60, 1, True)
  decoded = tf.image.decode_jpeg(encoded, channels=3).numpy().astype(int)
  with Image.open(io.BytesIO(encoded)) as image:
    assert np.abs(decoded - np.asarray(image.convert("RGB"))).mean() < 1.5


def test_four_channels_are_left_to_others():
  assert _header(_encode(_picture(mode="CMYK"), "JPEG")) == (OTHER, 0, 0, 1, False)


@pytest.mark.parametrize(
  ("place", "value"),
  [
    *((1, marker) for marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)),
    (4, 12),  # Bits.
    (9, 2),  # Channels.
    (9, 0),
    (9, 5),
  ],
)
def test_rare_kinds_of_jpeg_are_left_to_others(place, value):
  """Lossless, hierarchical and arithmetic coding, 12 bits."""
  encoded = bytearray(_jpeg())
  frame = encoded.index(b"\xff\xc0")
  assert encoded[frame + 4] == 8 and encoded[frame + 9] == 3
  encoded[frame + place] = value
  assert _header(bytes(encoded)) == (OTHER, 0, 0, 1, False)


def test_extended_frames_and_tables_before_the_frame():
  encoded = bytearray(_jpeg())
  encoded[encoded.index(b"\xff\xc0") + 1] = 0xC1
  tables = [_segment(marker, bytes(20)) for marker in (0xC4, 0xC8, 0xCC, 0xDB, 0xDD, 0xFE)]
  assert _header(_with_segments(bytes(encoded), *tables)) == (JPEG, 40, 60, 1, True)


@pytest.mark.parametrize("count", [1, 12, 25])
@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_533])
def test_many_segments_before_the_frame(count, size):
  encoded = _with_segments(
    _jpeg(37, 91), *(_segment(APP0 + i % 16, bytes(size)) for i in range(count)), _exif(6)
  )
  assert _header(encoded) == (JPEG, 37, 91, 6, True)


def test_far_more_segments_are_left_to_others():
  encoded = _with_segments(_jpeg(), *[_segment(COMMENT, b"one of many")] * 100)
  assert _header(encoded) == (OTHER, 0, 0, 1, False)


def test_fill_bytes_may_stand_before_a_marker():
  encoded = _with_segments(_jpeg(), b"\xff\xff\xff" + _exif(8), b"\xff")
  assert _pillows(encoded) == (40, 60, 8)
  assert _header(encoded) == (JPEG, 40, 60, 8, True)


def test_what_no_marker_leads_in_is_no_segment():
  """Decoders look for the next marker, each in its own way."""
  jpeg = _jpeg()
  frame = jpeg.index(b"\xff\xc0")
  for broken in (_with_segments(jpeg, bytes(4)), jpeg[:frame] + b"\0" + jpeg[frame + 1 :]):
    assert _header(broken) == (OTHER, 0, 0, 1, False)


def test_a_frame_within_a_segment_is_none():
  """Such as that of a thumbnail in EXIF."""
  thumbnail = _jpeg(8, 9)
  encoded = _with_segments(_jpeg(), _segment(APP1, b"Exif\0\0" + _tiff(3) + thumbnail))
  assert _header(encoded) == (JPEG, 40, 60, 3, True)


@pytest.mark.parametrize("end", [0xD9, 0xDA])
def test_a_jpeg_without_a_frame_is_left_to_others(end):
  # What comes after the end, or after the start of the pixels, is no frame.
  encoded = b"\xff\xd8" + _segment(end, b"") + _jpeg()[2:]
  assert _header(encoded)[0] == OTHER


# Orientation.


def _places(exif: bytes) -> dict[str, bytes]:
  jpeg = _jpeg()
  assert jpeg[2:4] == b"\xff\xe0"
  jfif = 4 + int.from_bytes(jpeg[4:6], "big")
  xmp = _segment(APP1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
  photoshop = _segment(APP13, b"Photoshop 3.0\x008BIM" + bytes(3000))
  profile = _segment(APP2, b"ICC_PROFILE\0\x01\x01" + bytes(3000))
  return {
    "before JFIF": _with_segments(jpeg, exif),
    "after JFIF": jpeg[:jfif] + exif + jpeg[jfif:],
    "after others": jpeg[:jfif] + xmp + photoshop + profile + exif + jpeg[jfif:],
    "last before the frame": jpeg[: jpeg.index(b"\xff\xc0")]
    + exif
    + jpeg[jpeg.index(b"\xff\xc0") :],
    "progressive": _with_segments(_jpeg(progressive=True), exif),
    "gray": _with_segments(_encode(_picture(mode="L"), "JPEG"), exif),
  }


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_wherever_it_stands(orientation, order):
  files = [
    *_places(_exif(orientation, order=order)).values(),
    *_places(_exif(orientation, order=order, before=40)).values(),
    *_places(_exif(orientation, order=order, before=3, offset=5000)).values(),
  ]
  for file in files:
    assert _pillows(file) == (40, 60, orientation)
  assert _headers(files) == [(JPEG, 40, 60, orientation, True)] * len(files)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_as_pillow_writes_it(orientation):
  exif = Image.Exif()
  exif[ORIENTATION] = orientation
  exif[0x010F] = "A maker"
  encoded = _jpeg(exif=exif, icc_profile=bytes(5000))
  assert _header(encoded) == (JPEG, 40, 60, orientation, True)


@pytest.mark.parametrize(
  "exif",
  [
    *(_exif(value, order=order) for value in (0, 9, 256, 65535) for order in "<>"),
    _segment(APP1, b""),
    _segment(APP1, b"Exif\0\0"),
    _segment(APP1, b"Exif\0\0MM\0"),
    _segment(APP1, b"Exif\0\0XX" + _tiff(6)[2:]),
    _segment(APP1, b"Exif\0\0MM\0\x2b" + _tiff(6)[4:]),
    _segment(APP1, b"Exif\0\0II" + _tiff(6)[2:]),  # Two orders of bytes.
    _segment(APP1, b"Exif\0\0II\x2b\0" + _tiff(6, order="<")[4:]),
    # A directory without a header before it, and one within the header.
    _segment(APP1, b"Exif\0\0" + _tiff(6, order="<")[8:]),
    _segment(APP1, b"Exif\0\0" + _tiff(6)[:4] + b"\0\0\0\2" + bytes(8) + _tiff(6)[10:]),
    _segment(APP1, b"Exif\0\0" + _tiff(6)[:4] + b"\0\0\0\0" + _tiff(6)[8:]),
    _segment(APP1, b"Exif\0\0" + _tiff(6)[:4] + b"\xff\xff\xff\xff" + _tiff(6)[8:]),
    _segment(APP1, b"Exif\0\0" + _tiff(6)[:4] + b"\x7f\xff\xff\xff" + _tiff(6)[8:]),
    _segment(APP1, b"Exif\0\0" + _tiff(6)[:4] + b"\0\0\xff\xf0" + _tiff(6)[8:]),
    _segment(APP1, b"Exif\0\0" + _tiff(6)[:8] + b"\0\0" + _tiff(6)[10:]),  # No entry.
    _segment(APP1, b"Exif\0\0" + _tiff(6, before=1)[:8] + b"\0\1" + _tiff(6, before=1)[10:]),
    _exif(6, kind=1),  # A byte; the kind of number is given.
    _segment(APP1, b"http\0\0" + _tiff(6)),
    _segment(APP2, b"Exif\0\0" + _tiff(6)),
    _segment(APP1, b"Exif\0\0" + _tiff(1)) + _exif(6),  # The first counts.
  ],
)
def test_what_is_no_orientation_leaves_an_image_upright(exif):
  assert _header(_with_segments(_jpeg(), exif)) == (JPEG, 40, 60, 1, True)


def test_an_exif_block_behind_which_the_file_ends():
  for length in range(20, 40):
    encoded = _with_segments(_jpeg(), _exif(6))[:length]
    assert _header(encoded) == (OTHER, 0, 0, 1, False)


# Ends.


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_whole_is_what_ends_with_its_end_mark(name):
  encoded = _encode(_picture(), name)
  files = [
    encoded,
    *(encoded[:-cut] for cut in (1, 2, 5, 30)),
    encoded + b"\0",
    encoded + bytes(99),
  ]
  headers = _headers(files)
  assert [header[-1] for header in headers] == [True] + [False] * 6
  assert len({header[:-1] for header in headers}) == 1


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_a_file_cut_anywhere_is_unknown_or_right(name):
  encoded = _encode(_picture(300, 257), name)
  if name == "JPEG":
    encoded = _with_segments(encoded, _exif(5))
  headers = _headers([encoded[:length] for length in range(min(len(encoded), 1500))])
  format_, *rest = _header(encoded)[:4]
  known = [header[0] == format_ for header in headers]
  assert sorted(known) == known and any(known) and not all(known)  # From some length on.
  for header in headers:
    assert header == (OTHER, 0, 0, 1, False) or header == (format_, *rest, False)


# PNG.


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_opaque_pngs_of_8_bits_or_fewer_are_known(mode):
  picture = _picture(mode=mode)
  files = [_encode(picture, "PNG"), _encode(picture, "PNG", icc_profile=bytes(3000))]
  if mode == "P":
    files += [_encode(picture.quantize(colors), "PNG") for colors in (2, 4, 16)]
  assert _headers(files) == [(PNG, 40, 60, 1, True)] * len(files)
  for file in files:
    with Image.open(io.BytesIO(file)) as image:
      expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(tf.image.decode_png(file, channels=3), expected)


def test_interlaced_pngs_are_known():
  # Of one pixel, so that the first of seven passes is the whole image.
  header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 1)
  pixel = zlib.compress(bytes([0, 10, 20, 30]))
  encoded = _png((b"IHDR", header), (b"IDAT", pixel), (b"IEND", b""))
  assert _header(encoded) == (PNG, 1, 1, 1, True)
  assert tf.image.decode_png(encoded, channels=3).numpy().tolist() == [[[10, 20, 30]]]


@pytest.mark.parametrize(
  ("mode", "options"),
  [
    ("LA", {}),
    ("RGBA", {}),
    ("I;16", {}),
    ("L", {"transparency": 7}),
    ("RGB", {"transparency": (1, 2, 3)}),
    ("P", {"transparency": 7}),
    ("P", {"transparency": bytes(range(256))}),
  ],
)
@pytest.mark.parametrize("profile", [0, 100, 60_000])
def test_transparent_and_deep_pngs_are_left_to_others(mode, options, profile):
  image = Image.new("I;16", (60, 40)) if mode == "I;16" else _picture(mode=mode)
  if profile:  # Cannot be made smaller, and stands before what is transparent.
    options = {**options, "icc_profile": np.random.default_rng(0).bytes(profile)}
  encoded = _encode(image, "PNG", **options)
  assert ("transparency" in options) == (b"tRNS" in encoded)
  if profile and "transparency" in options:
    assert encoded.index(b"tRNS") > encoded.index(b"iCCP") + profile
  assert _header(encoded) == (OTHER, 0, 0, 1, False)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("color_type", [0, 2, 3, 4, 6])
def test_depths_and_color_types(color_type, depth):
  header = struct.pack(">IIBBBBB", 60, 40, depth, color_type, 0, 0, 0)
  encoded = _png((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
  known = depth == 8 and color_type < 4
  assert _header(encoded) == ((PNG, 40, 60, 1, True) if known else (OTHER, 0, 0, 1, False))


def test_turned_pngs_are_left_to_others():
  exif = Image.Exif()
  exif[ORIENTATION] = 6
  encoded = _encode(_picture(), "PNG", exif=exif)
  assert b"eXIf" in encoded
  assert _header(encoded) == (OTHER, 0, 0, 1, False)


def test_a_png_must_begin_with_its_header():
  header = struct.pack(">IIBBBBB", 60, 40, 8, 2, 0, 0, 0)
  for chunks in ([(b"CgBI", bytes(4)), (b"IHDR", header)], [(b"iHDR", header)], []):
    encoded = _png(*chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    assert _header(encoded) == (OTHER, 0, 0, 1, False)


def test_sizes_that_no_memory_holds_do_not_overflow():
  header = struct.pack(">IIBBBBB", 2**32 - 1, 2**31, 8, 2, 0, 0, 0)
  encoded = _png((b"IHDR", header), (b"IDAT", b""), (b"IEND", b""))
  assert _header(encoded)[:3] == (PNG, 2**31 - 1, 2**31 - 1)


# Everything else.


@pytest.mark.parametrize("name", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_other(name):
  assert _header(_encode(_picture(), name)) == (OTHER, 0, 0, 1, False)


@pytest.mark.parametrize(
  "encoded",
  [
    b"",
    b"\0",
    b"\xff",
    b"\xff\xd8",
    b"\xff\xd8\xff",
    b"\xff\xd8\xff\xd9",
    b"\xff\xd8\xff\xc0",
    b"\xff\xd8" + b"\xff" * 1000,
    b"\xff\xd8\xff\xe0\xff\xff",  # A segment that is longer than the file,
    b"\xff\xd8\xff\xe0\0\0" * 100,  # or shorter than its own length.
    b"\x89PNG\r\n\x1a\n",
    b"\x89PNG\r\n\x1a\n" + bytes(100),
    b"IEND",
    "No image, but text: ü\n".encode() * 50,
    bytes(5000),
  ],
)
def test_garbage_is_other(encoded):
  header = _header(encoded)
  assert header == (OTHER, 0, 0, 1, False)


def _broken(count: int) -> list[bytes]:
  """Bytes by chance, with and without a format's first bytes, and images with wrong bytes."""
  generator = np.random.default_rng(0)
  images = [
    _with_segments(_jpeg(), _exif(6)),
    _with_segments(_jpeg(progressive=True), _exif(3, order="<", before=9)),
    _encode(_picture(mode="P"), "PNG"),
    _encode(_picture(), "PNG"),
  ]
  files = []
  for i in range(count):
    kind = i % 8
    if kind < 4:
      start = (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe1")[kind]
      file = start + generator.bytes(int(generator.integers(0, 300)))
    else:
      file = bytearray(images[kind - 4])
      # Near the beginning, where the header is.
      for place in generator.integers(2, 60 if i % 16 < 8 else len(file), generator.integers(1, 9)):
        file[place] = generator.integers(256)
    files.append(bytes(file))
  return files


def test_whatever_comes_never_fails():
  headers = _headers(_broken(4000))
  for format_, height, width, orientation, whole in headers:
    assert format_ in (JPEG, PNG, OTHER) and 1 <= orientation <= 8
    if format_ == OTHER:
      assert (height, width, orientation, whole) == (0, 0, 1, False)
    elif format_ == JPEG:
      assert 0 <= height < 65536 and 0 <= width < 65536
    else:
      assert height >= 0 and width >= 0 and orientation == 1
  assert {header[0] for header in headers} == {JPEG, PNG, OTHER}
  assert len({header[3] for header in headers}) > 2


def test_many_at_once_are_one_at_a_time_in_every_way_to_run():
  files = [
    *_broken(160),
    *_places(_exif(7)).values(),
    _jpeg(),
    _encode(_picture(), "PNG"),
    b"",
    _encode(_picture(mode="P"), "PNG", transparency=7),
  ]
  together = _headers(files)
  assert [_header(file) for file in files] == together
  eager = header_lib.read_headers(tf.constant(files))
  assert list(zip(*(getattr(eager, name).numpy().tolist() for name in FIELDS))) == together
  for name, dtype in zip(FIELDS, (tf.int32, tf.int32, tf.int32, tf.int32, tf.bool)):
    assert getattr(eager, name).shape == (len(files),) and getattr(eager, name).dtype == dtype
  batches = tf.data.Dataset.from_tensor_slices(files).batch(7).map(_read, num_parallel_calls=2)
  from_data = [np.concatenate(field).tolist() for field in zip(*batches.as_numpy_iterator())]
  assert list(zip(*from_data)) == together


def test_no_files_have_no_headers():
  assert _headers([]) == []


# Real files.


def test_real_photographs_are_read_as_pillow_reads_them(test_data):
  paths = sorted((test_data / "photos500").rglob("*.[jJ][pP]*[gG]"))[:40]
  assert len(paths) == 40
  files = [path.read_bytes() for path in paths]
  headers = _headers(files)
  for path, file, header in zip(paths, files, headers):
    assert header[:4] == (JPEG, *_pillows(file)), path
    assert header[4] == file.endswith(b"\xff\xd9"), path


def test_difficult_images_are_read_as_pillow_reads_them(test_data, monkeypatch):
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
  paths = sorted(path for path in (test_data / "dirty").rglob("*") if path.is_file())
  assert len(paths) > 80
  files = [path.read_bytes() for path in paths]
  formats = set()
  for path, file, header in zip(paths, files, _headers(files)):
    formats.add(header[0])
    assert header == _header(file), path
    try:
      with Image.open(io.BytesIO(file)) as image:
        opaque = not image.has_transparency_data and image.mode in ("1", "L", "P", "RGB")
        known = opaque and image.format in ("JPEG", "MPO", "PNG")
        deep = image.format == "PNG" and file[24] > 8
    except OSError:  # No image, or cut off before its pixels.
      assert not header[4], path
      continue
    if not known or deep:
      assert header == (OTHER, 0, 0, 1, False), path
    else:
      assert header[0] == (PNG if file.startswith(b"\x89PNG") else JPEG), path
      assert header[1:4] == _pillows(file), path
  assert formats == {JPEG, PNG, OTHER}
