"""Masks: PNG files of class numbers, found by the names of their photographs."""

from __future__ import annotations

import io
import os
import re

import numpy as np
import tensorflow as tf
from PIL import PngImagePlugin

from sbae_tf.data.source import first_line

# How a photograph's name is taken apart where a rule does not say.
_NAME = "{folder}/{stem}.{extension}"
_ARROW = "->"
_FIELD = re.compile(r"\{(\w*)\}")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _PALETTE = 0, 3  # Color types of PNG that hold a number a pixel.


class UnusableMaskError(ValueError):
  """A mask that cannot be used.

  Attributes:
    reason: "no_mask", "broken", "no_class_numbers" or "other_size", to count by.
    detail: one line for people.
  """

  def __init__(self, reason: str, detail: str) -> None:
    self.reason, self.detail = reason, " ".join(detail.split())
    super().__init__(f"{reason}: {self.detail}")


class MaskRule:
  """Where the mask of a photograph lies.

  Attributes:
    text: as `__init__` takes it.
  """

  def __init__(self, text: str) -> None:
    """Reads a rule.

    Args:
      text: one of
        - a pattern of the mask's path, with `{folder}`, `{stem}` and `{extension}` of the
          photograph's: `{folder}annot/{stem}.png`;
        - a folder: its masks have the photographs' stems, and end in `.png`;
        - `PHOTOGRAPH -> MASK`, two patterns with fields of any name, which stand for one letter or
          more, as many as can be: `{a}/leftImg8bit/{b}_leftImg8bit.png ->
          {a}/gtFine/{b}_gtFine_labelTrainIds.png`.

    Raises:
      ValueError: it is none of these, and says why.
    """
    self.text = text
    before, arrow, after = (part.strip() for part in text.partition(_ARROW))
    name, self._mask = (before, after) if arrow else (_NAME, before)
    if not arrow and self._mask and not _FIELD.search(self._mask):
      self._mask = self._mask.rstrip("/") + "/{stem}.png"
    self._mask = os.path.expanduser(self._mask)
    known = list(dict.fromkeys(_FIELD.findall(name)))
    unknown = [field for field in _FIELD.findall(self._mask) if field not in known]
    if not name or not self._mask or unknown or not all(map(str.isidentifier, known)):
      fields = ", ".join(f"{{{field}}}" for field in known) or "fields such as {stem}"
      raise ValueError(
        "Expected `masks` a folder, a pattern such as '{folder}annot/{stem}.png', or 'PHOTOGRAPH "
        f"-> MASK'; with {fields}. Received: '{text}'"
      )
    self._name = re.compile(_expression(os.path.expanduser(name)), re.DOTALL)

  def path_of(self, photograph: str) -> str:
    """The path of a photograph's mask.

    Args:
      photograph: its path.

    Raises:
      UnusableMaskError: the rule does not fit the name.
    """
    # A pattern's `{folder}/` also fits what lies in the folder that one is in.
    match = self._name.fullmatch(photograph if "/" in photograph else f"./{photograph}")
    if match is None:
      raise UnusableMaskError("no_mask", f"'{self.text}' does not fit this name")
    return _FIELD.sub(lambda field: match[field[1]], self._mask)


def read_mask(path: str, *, size: tuple[int, int]) -> np.ndarray:
  """Reads the class numbers of a photograph's pixels.

  Args:
    path: of a PNG, on any file system that TensorFlow reads: 8-bit gray, whose values are the
      numbers, or with a palette, whose indices are; its colors do not matter.
    size: height and width of the photograph as it is seen.

  Returns:
    (H, W) uint8.

  Raises:
    UnusableMaskError: there is no file, it cannot be read, holds something else, or has another
      size.
  """
  try:
    with tf.io.gfile.GFile(path, "rb") as file:  # Not by an op, which would log what is missing.
      encoded = file.read()
  except tf.errors.OpError as error:
    raise UnusableMaskError("no_mask", f"{path}: {first_line(error)}") from error
  if not encoded.startswith(_SIGNATURE) or len(encoded) < 26:
    raise UnusableMaskError("broken", f"{path} is no PNG")
  # Of its header, for Pillow scales gray of fewer bits to 255.
  bits, kind = encoded[24], encoded[25]
  if not (kind == _PALETTE or (kind == _GRAY and bits == 8)):
    raise UnusableMaskError(
      "no_class_numbers",
      f"{path} has color type {kind} and {bits} bits. Expected a number a pixel: 8-bit gray "
      "(type 0) or a palette (3)",
    )
  height, width = int.from_bytes(encoded[20:24], "big"), int.from_bytes(encoded[16:20], "big")
  if (height, width) != tuple(size):
    raise UnusableMaskError(
      "other_size", f"{path} is {width} x {height}, its photograph {size[1]} x {size[0]}"
    )
  try:
    with PngImagePlugin.PngImageFile(io.BytesIO(encoded)) as image:
      image.load()  # NumPy would make an object of what cannot be loaded.
      return np.array(image)
  # Of broken files Pillow raises many kinds.
  except Exception as error:
    raise UnusableMaskError("broken", f"{path}: {str(error) or type(error).__name__}") from error


def _expression(pattern: str) -> str:
  """A regular expression of a pattern; a field that comes again is the same text."""
  parts, seen, end = [], set(), 0
  for field in _FIELD.finditer(pattern):
    parts.append(re.escape(pattern[end : field.start()]))
    parts.append(f"(?P={field[1]})" if field[1] in seen else f"(?P<{field[1]}>.+)")
    seen.add(field[1])
    end = field.end()
  return "".join(parts) + re.escape(pattern[end:])
