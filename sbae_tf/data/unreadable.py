"""The error of an image that cannot be read, with its reason."""

from __future__ import annotations

REASONS = ("missing", "empty", "not_an_image", "truncated", "corrupt", "too_large", "unmatched")


class UnreadableImage(ValueError):  # noqa: N818 - says what it is; "Error" would add nothing.
  """An image that cannot be read.

  Attributes:
    reason: one of `REASONS`, to count by. "missing": there are no bytes to be had; "empty": there
      are none in it; "not_an_image": of no format that is read; "truncated": it ends too early;
      "corrupt": its format's rules are broken otherwise; "too_large": more pixels than allowed;
      "unmatched": what lies beside it is of another shape.
    detail: one line for people.

  Raises:
    ValueError: `reason` is not one of `REASONS`.
  """

  def __init__(self, reason: str, detail: str) -> None:
    if reason not in REASONS:
      raise ValueError(f"Expected `reason` one of {', '.join(REASONS)}. Received: {reason!r}")
    self.reason = reason
    self.detail = " ".join(detail.split())
    super().__init__(reason, self.detail)  # Both, so that it can be pickled.

  def __str__(self) -> str:
    return f"{self.reason}: {self.detail}"
