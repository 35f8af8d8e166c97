"""How a run may end beside a user's mistake, each told in one line. Imports no TensorFlow."""

from __future__ import annotations


class RunError(RuntimeError):
  """A run cannot go on; the message says why, and what to do."""


class WriteError(RunError):
  """A file of a run could not be written: the disk is full, or gone."""


class NonFiniteLossError(RunError):
  """A loss is infinite or not a number."""


class WorkerLostError(RunError):
  """Another worker ended, or cannot be reached any more."""
