"""What is expected of each file of `dirty`, the folder of difficult images in the test data."""

from __future__ import annotations

MAX_PIXELS = 100_000_000  # The limit that `EXPECTED` was written for.

_DERIVED = {
  "alpha.png": (150, 200),
  "animated.gif": (120, 160),
  "baseline.jpg": (300, 400),
  "bilevel.png": (300, 400),
  "bitflips.jpg": "corrupt",
  "cmyk.jpg": (300, 400),
  "empty.jpg": "empty",
  "gray.jpg": (300, 400),
  "gray_alpha.png": (150, 200),
  "lossless.webp": (150, 200),
  "not_an_image.jpg": "not_an_image",
  "one_pixel.png": (1, 1),
  "one_px_high.jpg": (1, 500),
  "palette.png": (150, 200),
  "png_named.jpg": (75, 100),
  "progressive.jpg": (300, 400),
  "synthetic_16000x8000.jpg": "too_large",
  "synthetic_20000x10000_1bit.png": "too_large",
  "truncated_50pct.jpg": "truncated",
  "truncated_header.jpg": "truncated",
}

_EXIF_SAMPLES = {
  "32-lens_data.jpeg": (133, 200),
  "67-0_length_string.jpg": (2012, 4032),
  "Konica_Minolta_DiMAGE_Z3.jpg": (100, 70),
  "Samsung_Digimax_i50_MP3.jpg": (75, 100),
  "Sony_HDR-HC3.jpg": (64, 100),
  "invalid_image00971.jpg": (227, 636),
  "invalid_image01088.jpg": (120, 425),
  "invalid_image01137.jpg": (64, 88),
  "invalid_image01551.jpg": (58, 61),
  "invalid_image01713.jpg": (500, 49),
  "invalid_image01980.jpg": (25, 284),
  "invalid_image02206.jpg": (65, 65),
}

# Named by what they test, interlacing or not (i or nothing), color type and bits.
_PNGSUITE = (
  [
    f"{interlaced}basn{kind}"
    for interlaced in ("", "i")
    for kind in "0g08 0g16 2c08 2c16 3p08 4a08 4a16 6a08 6a16".split()
  ]
  + [f"basn{kind}" for kind in "0g01 0g02 0g04 3p01 3p02 3p04".split()]
  + [
    f"{interlaced}ft{kind}"
    for interlaced in ("", "i")
    for kind in (
      "bbn2c16 bbn3p08 bgn2c16 bgn3p08 brn2c08 bwn0g16 bwn3p08 byn3p08 p0n0g08 p0n2c08 p0n3p08 "
      "p1n3p08"
    ).split()
  ]
  + [f"ftbbn{kind}" for kind in "0g01 0g02 0g04".split()]
)

# From a file's path within the folder to its upright (height, width), or to the reason why it
# cannot be read, one of `sbae_tf.data.unreadable.REASONS`.
EXPECTED: dict[str, tuple[int, int] | str] = {
  **{f"derived/{name}": expected for name, expected in _DERIVED.items()},
  **{f"exif_orientation/Portrait_{i}.jpg": (1800, 1200) for i in range(1, 9)},
  **{f"exif_samples/{name}": size for name, size in _EXIF_SAMPLES.items()},
  **{f"pngsuite/{name}.png": (32, 32) for name in _PNGSUITE},
}
