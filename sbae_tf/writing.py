"""What cannot be written is told in one line."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from sbae_tf.failures import WriteError


@contextlib.contextmanager
def writing(path: pathlib.Path | None) -> Iterator[None]:
  """Says what could not be written in a block, and what to do.

  Args:
    path: what the block writes.

  Raises:
    WriteError: it failed.
  """
  try:
    yield
  except OSError as error:
    raise WriteError(
      f"Cannot write {path}: {error.strerror or error}. Make room or mend the disk; the same "
      "command then goes on."
    ) from error
