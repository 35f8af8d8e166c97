"""What was measured of a colorized photograph: a line of a table, and the means of many."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sbae_tf.colorization.photograph_colorizer import Colorized
from sbae_tf.config import Json


@dataclasses.dataclass(frozen=True)
class Measured:
  """A colorized photograph.

  Attributes:
    index: its number in the source.
    file: its file's name.
    width: in pixels.
    height: in pixels.
    psnr_db: as `ColorError` has it; None where the original was gray: it tells no colors.
    rmse_ab: the same.
    rmse_l: the same, but also where the original was gray.
    gray_psnr_db: of the photograph without color.
    gray_rmse_ab: the same.
  """

  index: int
  file: str
  width: int
  height: int
  psnr_db: float | None
  rmse_ab: float | None
  rmse_l: float
  gray_psnr_db: float | None
  gray_rmse_ab: float | None

  @classmethod
  def of(cls, index: int, file: str, colorized: Colorized) -> Measured:
    """Of a photograph's number, its file, and what was made of it."""
    height, width = colorized.rgb.shape[:2]
    error, gray = colorized.error, colorized.gray_error
    lightness = _rounded(error.rmse_l)
    if gray is None:
      return cls(index, file, width, height, None, None, lightness, None, None)
    ours, without = ((_rounded(each.psnr_db), _rounded(each.rmse_ab)) for each in (error, gray))
    return cls(index, file, width, height, *ours, lightness, *without)

  @classmethod
  def parse(cls, line: str, files: Sequence[str]) -> Measured:
    """Of a line, and the files' names by their numbers.

    Raises:
      ValueError: it is of another form.
    """
    index, _, width, height, *texts = line.split("\t")
    if len(texts) != 5 or not int(index) < len(files):
      raise ValueError(f"Expected the columns {HEAD!r}. Received: {line!r}")
    psnr, ab, lightness, *gray = (float(text) if text else None for text in texts)
    if lightness is None:
      raise ValueError(f"Expected a number rmse_l. Received: {line!r}")
    file = files[int(index)]
    return cls(int(index), file, int(width), int(height), psnr, ab, lightness, *gray)

  @property
  def line(self) -> str:
    """Its columns with tabs between them; a file's name in one line, whatever is in it."""
    texts = []
    for value in dataclasses.astuple(self):
      texts.append("" if value is None else " ".join(str(value).split()))
    return "\t".join(texts)


def _rounded(value: float) -> float:
  """As it stands in the table: a run that was stopped has the same means as one that was not."""
  return float(f"{value:.6g}")


HEAD = "\t".join(field.name for field in dataclasses.fields(Measured))


def means(measured: Sequence[Measured]) -> dict[str, Json]:
  """Means over photographs, each counting once; of RMSE also that over all of their pixels.

  Args:
    measured: one or more.

  Returns:
    For `metrics.json`: None where no original has color. `rmse_l` counts gray originals, too, the
    rest does not.
  """
  colored = [each for each in measured if each.psnr_db is not None]
  pixels = np.array([each.width * each.height for each in colored], np.float64)

  def over_photographs(prefix: str) -> dict[str, Json]:
    if not colored:
      return dict.fromkeys(("psnr_db", "rmse_ab", "rmse_ab_all_pixels"))
    psnr, ab = (
      np.array([getattr(each, prefix + name) for each in colored])
      for name in ("psnr_db", "rmse_ab")
    )
    return {
      "psnr_db": float(psnr.mean()),
      "rmse_ab": float(ab.mean()),
      "rmse_ab_all_pixels": math.sqrt(np.average(ab**2, weights=pixels)),
    }

  return {
    "gray_originals": len(measured) - len(colored),
    **over_photographs(""),
    "rmse_l": float(np.mean([each.rmse_l for each in measured])),
    "without_color": over_photographs("gray_"),
  }
