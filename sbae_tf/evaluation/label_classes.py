"""Which numbers of masks are classes, and what they are called."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np

IGNORED = 255  # The label of a pixel that is neither learnt from nor measured.


@dataclasses.dataclass(frozen=True)
class LabelClasses:
  """Classes of pixels: K numbers of masks, which are labelled 0 to K - 1.

  Attributes:
    numbers: in rising order.
    names: in the same order.

  Raises:
    ValueError: there are fewer than two, or more than 255.
  """

  numbers: tuple[int, ...]
  names: tuple[str, ...]

  def __post_init__(self) -> None:
    if not 2 <= len(self.numbers) <= IGNORED:
      raise ValueError(
        f"Expected masks of 2 to {IGNORED} classes. Received {len(self.numbers)}: "
        f"{', '.join(self.names) or 'none'}"
      )

  def __len__(self) -> int:
    return len(self.numbers)

  @property
  def table(self) -> np.ndarray:
    """(256,) uint8: of each number of a mask its label, or `IGNORED`."""
    table = np.full(256, IGNORED, np.uint8)
    table[list(self.numbers)] = np.arange(len(self), dtype=np.uint8)
    return table


def choose_classes(
  found: Mapping[int, str], *, names: Sequence[str], ignored: Collection[int]
) -> LabelClasses:
  """The classes of masks.

  Args:
    found: the numbers in all masks, each with a mask that it is in.
    names: of the numbers from 0 on; empty: every number found is a class, and its own name.
    ignored: numbers that are no class.

  Raises:
    ValueError: a number has no name and is not ignored, or too few or many are left.
  """
  if names:
    for number in sorted(found):
      if number >= len(names) and number not in ignored:
        raise ValueError(
          f"Expected numbers below {len(names)} in masks, for so many `classes` are named. "
          f"Received: {number} in {found[number]}. Name it, or add it to `ignore`."
        )
    numbers = [number for number in range(len(names)) if number not in ignored]
  else:
    numbers = sorted(number for number in found if number not in ignored)
  return LabelClasses(tuple(numbers), tuple(names[n] if names else str(n) for n in numbers))


def parse_names(text: str) -> tuple[str, ...]:
  """Reads names of classes.

  Args:
    text: names with commas between, or a text file with one in each line; the first is that of
      number 0.

  Raises:
    ValueError: there is no such file, or a name is empty or comes twice.
  """
  names = text.split(",") if text.strip() else []
  if len(names) == 1 and ("/" in text or text.endswith(".txt")):
    try:
      content = pathlib.Path(os.path.expanduser(text.strip())).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
      reason = getattr(error, "strerror", None) or "it is no UTF-8"
      raise ValueError(f"Cannot read the names of `classes` in {text}: {reason}") from error
    names = content.rstrip().splitlines()
  names = [name.strip() for name in names]
  twice = [name for name in names if not name or names.count(name) > 1]
  if twice or len(names) > 256:
    wrong = f"'{twice[0]}' {names.count(twice[0])} times" if twice else f"{len(names)} names"
    raise ValueError(f"Expected `classes` of at most 256 names, each once. Received: {wrong}")
  return tuple(names)


def parse_numbers(text: str) -> frozenset[int]:
  """Reads numbers of masks with commas between, such as `0,255`.

  Raises:
    ValueError: one is not an integer from 0 to 255.
  """
  parts = [part.strip() for part in text.split(",") if part.strip()]
  if not all(part.isdecimal() and int(part) <= 255 for part in parts):
    raise ValueError(f"Expected `ignore` of numbers from 0 to 255. Received: '{text}'")
  return frozenset(map(int, parts))
