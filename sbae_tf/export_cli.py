"""Command line: `python -m sbae_tf.export --encoder=FOLDER --format=FORMAT --out=PATH`."""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sbae_tf import export_request, runtime
from sbae_tf.export_request import Request
from sbae_tf.failures import RunError

if TYPE_CHECKING:
  from sbae_tf.checked_export import Written

_CANNOT = 1
_USAGE_ERROR = 2


def main(arguments: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0; 1 where it cannot be done and 2 after a user's mistake, both said in one
    line.
  """
  try:
    request = export_request.parse(arguments)
  except export_request.FlagError as error:
    return _end(str(error), _USAGE_ERROR)
  try:
    runtime.silence_tensorflow_logs()
    runtime.start_tensorflow()
    from sbae_tf import checked_export  # Here, for it imports TensorFlow.

    print(_summary(request, checked_export.export(request)))
  except ValueError as error:
    if not _raised_by_package(error):
      raise
    return _end(str(error), _USAGE_ERROR)
  except RunError as error:
    return _end(str(error), _CANNOT)
  except OSError as error:
    return _end(f"Cannot write --out={request.out}: {error.strerror or error}.", _CANNOT)
  return 0


def _end(message: str, status: int) -> int:
  print(f"export: {' '.join(message.split())}", file=sys.stderr)
  return status


def _raised_by_package(error: ValueError) -> bool:
  """Whether the error is a mistake that the package found; one of TensorFlow's is a fault in it."""
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  return str(frame.f_globals.get("__name__", "")).startswith("sbae_tf.")


def _summary(request: Request, written: Written) -> str:
  """What was written, and how well it agrees."""
  kind = request.format if request.quantize == "none" else f"{request.format}, {request.quantize}"
  lines = [f"Wrote {request.out}: {kind}, {written.size / 1e6:.1f} MB."]
  if not written.runtime:
    return lines[0] + (
      f" Not checked: {request.onnx_python} has no onnxruntime. Install it there to have it done."
    )
  colors = request.format == "colorizer"
  rates = [rate for rate in written.rates.values() if not math.isnan(rate)]
  if rates:
    span = f"{min(rates):.2g} to {max(rates):.2g} times their mean rate"
    lines.append(f"Scaled its layers, which learned at {span}, to learn at one.")
  other = "the live model" if request.format in ("saved_model", "colorizer") else "the SavedModel"
  other = f"{other} as it was" if written.rates else other
  unit = "in levels of 256" if colors else "as a part of the largest number"
  limit = "told, not held to" if written.tolerance is None else f"at most {written.tolerance:g}"
  width = max(map(len, written.differences))
  lines += [
    f"Run by {written.runtime} on {written.checked_on}.",
    f"Largest difference from {other}, {unit} ({limit}):",
    *(f"  {name:<{width}}  {value:.2g}" for name, value in written.differences.items()),
  ]
  return "\n".join(lines)
