"""Captions of pictures."""

from __future__ import annotations

from typing import Union

from PIL import ImageFont

Font = Union[ImageFont.FreeTypeFont, ImageFont.ImageFont]


def shortened(text: str, font: Font, width: int) -> str:
  """The end of a text, as much as fits; of a name it tells most.

  Args:
    text: one line.
    font: that it will be written in.
    width: in pixels.
  """
  if font.getlength(text) <= width:
    return text
  while text and font.getlength(f"...{text}") > width:
    text = text[1:]
  return f"...{text}"
