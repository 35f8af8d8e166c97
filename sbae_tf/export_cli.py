"""Command line: `python -m sbae_tf.export --encoder=FOLDER --format=FORMAT --out=PATH`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sbae_tf import command_line, export_request
from sbae_tf.export_request import Request
from sbae_tf.failures import WriteError
from sbae_tf.interrupts import Interrupts

if TYPE_CHECKING:
  from sbae_tf.checked_export import Written


def main(arguments: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0; 1 where it cannot be done and 2 after a user's mistake, both said in one
    line; 128 and the signal's number after SIGINT or SIGTERM.
  """

  def command(interrupts: Interrupts) -> None:
    request = export_request.parse(arguments)
    command_line.start_tensorflow(interrupts, "sbae_tf.checked_export")
    from sbae_tf import checked_export

    try:
      print(_summary(request, checked_export.export(request)))
    except OSError as error:
      reason = error.strerror or error
      raise WriteError(f"Cannot write --out={request.out}: {reason}.") from error

  return command_line.run("export", command, interrupted="Nothing was written.")


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
