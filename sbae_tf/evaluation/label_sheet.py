"""Photographs beside maps of their pixels' classes, as a picture with a legend."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WIDTH = 1200  # Pixels, as the plots.
_GAP, _FONT, _HEAD = 8, 20, 22
_SWATCH = 24
_NAME = 28  # Characters of a class that there is room for.
_LEGEND_ROWS = 12  # The classes behind them are not named.
_UNKNOWN = (255, 255, 255)

# Sasha Trubetskoy's list of distinct colors, without black, white and gray, ordered so that those
# which people of common color vision deficiencies take for each other come late.
_COLORS = (
  *("#4363d8", "#e6194b", "#ffe119", "#800000", "#42d4f4", "#3cb44b", "#f58231", "#911eb4"),
  *("#fabed4", "#000075", "#bfef45", "#9a6324", "#dcbeff", "#469990", "#f032e6", "#808000"),
  *("#aaffc3", "#ffd8b1", "#fffac8"),
)
_GOLDEN = 0.618034  # Turns of the hue from one color to the next, behind the list.

# A row: a photograph, and labels for each of the other columns.
Row = tuple[np.ndarray, Sequence[np.ndarray]]


def palette(count: int) -> np.ndarray:
  """(count, 3) uint8: colors that are told apart as well as so many can be."""
  listed = [tuple(bytes.fromhex(color[1:])) for color in _COLORS]
  more = (
    colorsys.hsv_to_rgb(number * _GOLDEN % 1, 1 - 0.25 * (number % 3), 0.9 - 0.2 * (number % 2))
    for number in range(count - len(listed))
  )
  colors = [*listed, *(tuple(round(255 * value) for value in color) for color in more)]
  return np.array(colors[:count], np.uint8)


def colored(labels: np.ndarray, count: int) -> np.ndarray:
  """Labels as colors.

  Args:
    labels: (H, W) uint8, classes from 0 on, or `label_classes.IGNORED`.
    count: of classes, at most 255.

  Returns:
    (H, W, 3) uint8; white where ignored.
  """
  table = np.full((256, 3), _UNKNOWN, np.uint8)
  table[:count] = palette(count)
  return table[labels]


def sheet(rows: Sequence[Row], *, heads: Sequence[str], class_names: Sequence[str]) -> Image.Image:
  """Draws photographs and labels, a row a photograph, and a legend.

  Args:
    rows: from the top down; labels (H, W) uint8 of the photograph's size (H, W, 3).
    heads: of the columns, from the photograph on.
    class_names: of the labels from 0 on.

  Returns:
    The picture, 1,200 pixels wide.
  """
  head_font, font = ImageFont.load_default(_HEAD), ImageFont.load_default(_FONT)
  columns = len(heads)
  width = (_WIDTH - _GAP * (columns + 1)) // columns
  heights = [round(width * photograph.shape[0] / photograph.shape[1]) for photograph, _ in rows]
  legend = _legend(class_names, font)
  top = _HEAD + 3 * _GAP
  bottom = top + sum(heights) + _GAP * len(rows)
  canvas = Image.new("RGB", (_WIDTH, bottom + legend.height + _GAP), "white")
  draw = ImageDraw.Draw(canvas)
  for column, head in enumerate(heads):
    left = _GAP + column * (width + _GAP)
    draw.text((left + width // 2, _GAP), head, "black", font=head_font, anchor="ma")
  for (photograph, labels), height in zip(rows, heights):
    pictures = [photograph, *(colored(each, len(class_names)) for each in labels)]
    for column, picture in enumerate(pictures):
      way = Image.Resampling.NEAREST if column else Image.Resampling.LANCZOS
      left = _GAP + column * (width + _GAP)
      canvas.paste(Image.fromarray(picture).resize((width, height), way), (left, top))
      draw.rectangle((left - 1, top - 1, left + width, top + height), outline="#888888")
    top += height + _GAP
  canvas.paste(legend, (0, bottom))
  return canvas


def _legend(
  class_names: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> Image.Image:
  """Swatches with names, in columns as wide as the longest name."""
  names = [n if len(n) <= _NAME else n[: _NAME - 1] + "…" for n in (*class_names, "not labelled")]
  colors = [*map(tuple, palette(len(class_names)).tolist()), _UNKNOWN]
  pitch = _SWATCH + 4 * _GAP + max(round(font.getlength(name)) for name in names)
  columns = max(1, (_WIDTH - _GAP) // pitch)
  left_out = len(names) - columns * _LEGEND_ROWS
  if left_out > 0:
    colors = [*colors[: columns * _LEGEND_ROWS - 2], _UNKNOWN]
    names = [*names[: columns * _LEGEND_ROWS - 2], names[-1], f"and {left_out + 1} more"]
  rows = -(-len(names) // columns)
  canvas = Image.new("RGB", (_WIDTH, _GAP + rows * (_SWATCH + _GAP)), "white")
  draw = ImageDraw.Draw(canvas)
  for number, name in enumerate(names):
    left = _GAP + number % columns * pitch
    top = _GAP + number // columns * (_SWATCH + _GAP)
    if number < len(colors):
      box = (left, top, left + _SWATCH, top + _SWATCH)
      draw.rectangle(box, fill=colors[number], outline="#888888")
    draw.text((left + _SWATCH + _GAP, top + _SWATCH // 2), name, "black", font=font, anchor="lm")
  return canvas
