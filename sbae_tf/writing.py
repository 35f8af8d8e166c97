"""What cannot be written is told in one line."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from sbae_tf.failures import WriteError


@contextlib.contextmanager
def writing(path: pathlib.Path | None, *errors: type[Exception]) -> Iterator[None]:
  """Says in one line what could not be written in a block, and what to do.

  Args:
    path: what the block writes.
    *errors: what it raises beside `OSError` where that fails, such as TensorFlow's.

  Raises:
    WriteError: it failed.
  """
  expected: tuple[type[Exception], ...] = (OSError, *errors)
  try:
    yield
  except expected as error:
    reason = getattr(error, "strerror", None) or str(error)
    # TensorFlow's: {{node}} path; reason [Op:name]
    reason = " ".join(reason.split()).partition(" [Op:")[0].rpartition("; ")[2]
    raise WriteError(
      f"Cannot write {path}: {reason}. Make room or mend the disk; the same command then goes on."
    ) from error
