"""A picture of some photographs: the original, the same without color, and colorized."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from sbae_tf.captions import shortened
from sbae_tf.colorization.measured import Measured
from sbae_tf.colorizer import Colorizer

_COLUMNS = ("original", "gray", "colorized")
_SIDE = 256  # Of a photograph's longer side, in pixels.
_GAP = 8
_FONT = 12
_LINE = 16


def draw_grid(
  rows: Iterable[tuple[Measured, np.ndarray, np.ndarray]], colorizer: Colorizer
) -> Image.Image:
  """Draws a row for each photograph, with its measures below.

  Args:
    rows: what was measured, and the original and the colorized photograph, (H, W, 3) uint8; one or
      more, looked at one after the other.
    colorizer: takes the color from the original.

  Returns:
    The picture.
  """
  font = ImageFont.load_default(_FONT)
  neutral = colorizer.neutral
  drawn = []
  for measured, original, colorized in rows:
    small = _scaled(original)
    no_color = tf.broadcast_to(neutral, (1, *small.shape[:2], len(neutral)))
    gray = colorizer.join(small[np.newaxis], no_color)[0].numpy()
    drawn.append(((small, gray, _scaled(colorized)), _captions(measured)))
  step = _SIDE + _GAP
  heights = [pictures[0].shape[0] + _LINE + _GAP for pictures, _ in drawn]
  size = (len(_COLUMNS) * step + _GAP, _LINE + 2 * _GAP + sum(heights))
  canvas = Image.new("RGB", size, "white")
  draw = ImageDraw.Draw(canvas)
  for column, title in enumerate(_COLUMNS):
    draw.text((_GAP + column * step, _GAP), title, "black", font=font)
  top = _LINE + _GAP
  for (pictures, texts), height in zip(drawn, heights):
    for column, (picture, text) in enumerate(zip(pictures, texts)):
      left = _GAP + column * step
      canvas.paste(Image.fromarray(picture), (left, top))
      place = (left, top + picture.shape[0] + 1)
      draw.text(place, shortened(text, font, _SIDE), "black", font=font)
    top += height
  return canvas


def _captions(measured: Measured) -> tuple[str, str, str]:
  name = " ".join(measured.file.split())
  if measured.psnr_db is None:
    return name, "the original is gray", ""
  ours = f"PSNR {measured.psnr_db:.1f} dB, RMSE of ab {measured.rmse_ab:.1f}"
  gray = f"PSNR {measured.gray_psnr_db:.1f} dB, RMSE of ab {measured.gray_rmse_ab:.1f}"
  return name, gray, ours


def _scaled(rgb: np.ndarray) -> np.ndarray:
  """(h, w, 3) uint8, the longer side of one length."""
  scale = _SIDE / max(rgb.shape[:2])
  height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
  kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
  return np.asarray(Image.fromarray(rgb).resize((width, height), kind, reducing_gap=3.0))
