"""The pretraining run: data, steps, held-out loss, checkpoints, resume, export."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping

import tensorflow as tf
from absl import logging

from sbae_tf import cluster, config_json, pairing, training_data, validation
from sbae_tf.agreement import Agreement
from sbae_tf.cluster import Worker
from sbae_tf.config import PretrainConfig
from sbae_tf.data import pipeline, sources
from sbae_tf.data import source as source_lib
from sbae_tf.data.skipped import Skipped
from sbae_tf.failures import WorkerLostError
from sbae_tf.initial_weights import InitialWeights
from sbae_tf.interrupts import Interrupts
from sbae_tf.online_probe import open_probe
from sbae_tf.run_folder import RunFolder
from sbae_tf.steps import Steps
from sbae_tf.strategies import make_strategy
from sbae_tf.training_run import Run

_AGREE_SECONDS = 5.0  # Workers look so often whether one of them was asked to end.

# What operations fail with that wait for a worker which is gone.
_LOST = (
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
  tf.errors.FailedPreconditionError,
  tf.errors.InternalError,
  tf.errors.UnavailableError,
)


@dataclasses.dataclass(frozen=True)
class Result:
  """What a run left.

  Attributes:
    folder: where everything is.
    steps: how many were done in all.
    heldout: each branch's name and `total` to its held-out loss at the end; empty where the run
      had been complete before.
    parameters: of the pretraining model, heads and batch statistics included.
  """

  folder: RunFolder
  steps: int
  heldout: Mapping[str, float]
  parameters: int


def train(config: PretrainConfig, workdir: str | os.PathLike[str]) -> Result:
  """Runs a configuration to its end, or goes on where an earlier run of it stopped.

  Leaves in `workdir`: `config.json`, `tensorboard/`, `checkpoints/`, `metrics.jsonl`, `panel.png`,
  and `encoder/`, a SavedModel; and a copy of each file that the losses depend on, such as
  `branch_0_prior.json`. Seeds Python's, NumPy's and TensorFlow's global generators with the
  configuration's seed.

  However an earlier run ended, going on ends with the weights of a run that never stopped; to the
  bit where computation itself repeats: on a CPU with as many threads. In the main thread, SIGTERM
  and SIGINT make a checkpoint first, and a second one ends the process at once.

  With `strategy` "multi_worker_mirrored" every worker makes this call, before TensorFlow has
  computed anything. The first one, the chief, writes the folder, which all of them read.

  Args:
    config: what to train.
    workdir: the run's folder; new, empty, or of a run of the same configuration.

  Raises:
    ValueError: the configuration, the data or the folder does not do; nothing has been written
      then. Or too many photographs cannot be read, and names the first of them; or no checkpoint
      can be read.
    WriteError: the disk is full, or the like. Earlier checkpoints stay.
    NonFiniteLossError: a loss is not finite; names the step, the branch and the photographs. No
      checkpoint is of that step or a later one.
    WorkerLostError: another worker ended, or cannot be reached.
    Interrupted: SIGTERM or SIGINT came; a `KeyboardInterrupt`. The same call goes on.
  """
  with Interrupts() as interrupts:
    validation.validate(config)
    for remark in validation.remarks(config):
      logging.warning(remark)
    folder = RunFolder(workdir)
    folder.check(config)
    several = config.strategy == "multi_worker_mirrored"
    worker = cluster.this_worker() if several else cluster.ALONE
    with _told_lost(worker):
      strategy = make_strategy(config)  # Before anything is computed.
      interrupts.take_back()
      agreement = Agreement(strategy, worker, seconds=min(config.log_seconds, _AGREE_SECONDS))
      _check_same(config, agreement)
      train, heldout = sources.open_sources(config.data, beside=pairing.beside(config))
      steps_per_epoch = pipeline.steps_per_epoch(train, config.batch_size)
      total = config.steps or config.epochs * steps_per_epoch
      limit = config.data.max_skipped
      if config.profile and config.profile[1] > total:
        raise ValueError(
          f"Expected `profile` within the run's {total} steps. Received: {config.profile[0]},"
          f"{config.profile[1]}."
        )
      # Of no steps a schedule cannot be made.
      steps = Steps(config, strategy, steps_per_epoch=steps_per_epoch, steps=max(1, total))
      folder.check_files(steps.model.files)
      initial_weights = InitialWeights(steps.model.encoder)
      # Before anything is written: they may not read.
      panel_images = training_data.panel_images(
        config, heldout, Skipped(len(train) + len(heldout), limit=limit)
      )
      each = config.batch_size // strategy.num_replicas_in_sync
      probe = open_probe(config, steps.model.encoder, batch_size=each)
      with _writable(folder, config, steps.model.files, worker) as own_folder:
        run = Run(
          *(config, own_folder, steps, train, heldout, panel_images, interrupts, agreement),
          initial_weights=initial_weights,
          probe=probe,
          worker=worker,
          restored_from=folder.checkpoints,
          steps_per_epoch=steps_per_epoch,
          total=total,
        )
        losses = run.run()
  parameters = sum(int(tf.size(v)) for v in steps.model.variables)
  return Result(folder, total, losses, parameters)


@contextlib.contextmanager
def _writable(
  folder: RunFolder, config: PretrainConfig, files: Mapping[str, bytes], worker: Worker
) -> Iterator[RunFolder]:
  """The run's folder for the chief; for other workers one that is removed at the end.

  These do what the chief does, for some of it takes all workers: reading batch statistics does.
  """
  with contextlib.ExitStack() as stack:
    if not worker.is_chief:
      folder = RunFolder(stack.enter_context(tempfile.TemporaryDirectory(prefix="sbae_tf-")))
    stack.enter_context(folder.locked())
    folder.open(config)
    folder.keep(files)
    yield folder


@contextlib.contextmanager
def _told_lost(worker: Worker) -> Iterator[None]:
  """Says in one line that another worker is gone, where there are others.

  Raises:
    WorkerLostError: an operation of TensorFlow's failed as those do that wait for a worker.
  """
  try:
    yield
  except _LOST as error:
    if worker.count == 1:
      raise
    raise WorkerLostError(
      f"This is {worker}: another worker ended, or cannot be reached "
      f"({source_lib.first_line(error)}). Its own log tells why. Start all workers again: the same "
      "command resumes from the last checkpoint."
    ) from error


def _check_same(config: PretrainConfig, agreement: Agreement) -> None:
  """Raises ValueError where workers have different configurations: they would wait forever."""
  own = zlib.crc32(config_json.dumps(config).encode())
  if agreement.of_chief(own) != own:
    raise ValueError(
      "Expected the same flags on every worker. This one's configuration is not the chief's."
    )
