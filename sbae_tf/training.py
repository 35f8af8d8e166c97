"""The pretraining run: data, steps, held-out loss, checkpoints, resume, export."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image

from sbae_tf import pictures, validation
from sbae_tf.checkpoints import Checkpoints, Saved
from sbae_tf.config import PretrainConfig
from sbae_tf.data import pipeline, sources
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source
from sbae_tf.export import export_encoder
from sbae_tf.interrupts import Interrupted, Interrupts
from sbae_tf.progress import Progress
from sbae_tf.run_folder import RunFolder, folder_aside, write_aside, writing
from sbae_tf.steps import Steps
from sbae_tf.strategies import make_strategy


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
  and `encoder/`, a SavedModel. Seeds Python's, NumPy's and TensorFlow's global generators with
  the configuration's seed.

  However an earlier run ended, going on ends with the weights of a run that never stopped; to the
  bit where computation itself repeats: on a CPU with as many threads. In the main thread, SIGTERM
  and SIGINT make a checkpoint first, and a second one ends the process at once.

  Args:
    config: what to train.
    workdir: the run's folder; new, empty, or of a run of the same configuration.

  Raises:
    ValueError: the configuration, the data or the folder does not do; nothing has been written
      then. Or too many photographs cannot be read, and names the first of them; or no checkpoint
      can be read.
    WriteError: the disk is full, or the like. Earlier checkpoints stay.
    Interrupted: SIGTERM or SIGINT came; a `KeyboardInterrupt`. The same call goes on.
  """
  with Interrupts() as interrupts:
    validation.validate(config)
    for remark in validation.remarks(config):
      logging.warning(remark)
    folder = RunFolder(workdir)
    folder.check(config)
    train, heldout = sources.open_sources(config.data)
    steps_per_epoch = pipeline.steps_per_epoch(train, config.batch_size)
    total = config.steps or config.epochs * steps_per_epoch
    limit = config.data.max_skipped
    if config.profile and config.profile[1] > total:
      raise ValueError(
        f"Expected `profile` within the run's {total} steps. Received: {config.profile[0]},"
        f"{config.profile[1]}."
      )
    steps = Steps(config, make_strategy(config), steps_per_epoch=steps_per_epoch, steps=total)
    # Before anything is written: they may not read.
    panel_images = _panel_images(config, heldout, Skipped(len(train) + len(heldout), limit=limit))
    with folder.locked():
      folder.open(config)
      run = _Run(
        *(config, folder, steps, train, heldout, panel_images, interrupts),
        steps_per_epoch=steps_per_epoch,
        total=total,
      )
      losses = run.run()
  parameters = sum(int(tf.size(v)) for v in steps.model.variables)
  return Result(folder, total, losses, parameters)


_T = TypeVar("_T")


class _Run:
  """The state of a run in progress."""

  def __init__(
    self,
    config: PretrainConfig,
    folder: RunFolder,
    steps: Steps,
    train: Source,
    heldout: Source,
    panel_images: tf.Tensor,
    interrupts: Interrupts,
    *,
    steps_per_epoch: int,
    total: int,
  ) -> None:
    self._config = config
    self._folder = folder
    self._steps = steps
    self._source = train
    self._heldout = heldout
    self._skipped = Skipped(
      len(train) + len(heldout), limit=config.data.max_skipped, file=folder.skipped
    )
    self._panel_images = panel_images
    self._interrupts = interrupts
    self._steps_per_epoch = steps_per_epoch
    self._total = total
    self._profiled_from: int | None = None  # The first step of a profile in progress.
    self._checkpoints = Checkpoints(
      folder.checkpoints,
      tf.train.Checkpoint(model=steps.model, optimizer=steps.optimizer),
      kept=config.checkpoints_kept,
    )

  def run(self) -> Mapping[str, float]:
    """Does what is left to do; returns the held-out losses at the end, none if it was nothing."""
    saved = self._checkpoints.restore() or Saved(0)
    self._folder.rewind(saved.logs)
    if saved.step:
      logging.info("Resuming from step %d of %d.", saved.step, self._total)
    losses = saved.heldout
    if saved.step < self._total or not losses:
      losses = self._train(saved)
    elif self._folder.encoder.exists():
      return {}
    encoder = self._folder.encoder
    with writing(encoder, tf.errors.OpError), folder_aside(encoder) as aside:
      export_encoder(self._steps.model.encoder, aside)
    return losses

  def _train(self, saved: Saved) -> Mapping[str, float]:
    """Trains from a checkpoint to the end; returns the held-out losses there."""
    logging.info("Training on %s.", self._source.description)
    logging.info("Holding out %s.", self._heldout.description)
    progress = Progress(
      self._folder,
      first_step=saved.step,
      steps=self._total,
      steps_per_epoch=self._steps_per_epoch,
      batch_size=self._config.batch_size,
      schedule=self._steps.schedule,
      seconds=self._config.log_seconds,
    )
    try:
      losses = self._loop(saved, progress)
    finally:
      progress.close()
      if self._profiled_from is not None:
        tf.profiler.experimental.stop(save=False)
    if len(self._skipped):
      logging.warning("%s; named in %s.", self._skipped, self._folder.skipped)
    return losses

  def _loop(self, saved: Saved, progress: Progress) -> Mapping[str, float]:
    heldout = self._distribute(_evaluation_dataset(self._config, self._heldout, self._skipped))
    losses = saved.heldout
    if self._ends(saved.step) and not losses:  # It was interrupted there.
      self._interrupts.hold()
      losses = self._checkpoint(saved.step, heldout, progress)
      self._interrupts.release()
    batches = self._batches(saved.step)
    last_checkpoint = time.monotonic()
    for step in range(saved.step + 1, self._total + 1):
      self._profile(step, starts=True)
      with tf.profiler.experimental.Trace("train", step_num=step, _r=1):
        start = time.monotonic()
        batch = _reading(lambda: next(batches), self._skipped)
        waited = time.monotonic() - start
        step_losses = self._steps.train(batch)
      # Not before: until the first step is done, which takes long, a signal loses nothing.
      self._interrupts.hold()
      self._profile(step, starts=False)
      progress.add(step_losses, step, waited=waited)
      due = time.monotonic() - last_checkpoint > 60 * self._config.checkpoint_minutes
      if self._ends(step) or due or self._interrupts.received:
        losses = self._checkpoint(step, heldout, progress)
        last_checkpoint = time.monotonic()
    self._interrupts.release()
    return losses

  def _ends(self, step: int) -> bool:
    """Whether the held-out loss belongs to a step."""
    return step > 0 and (step % self._steps_per_epoch == 0 or step == self._total)

  def _checkpoint(
    self, step: int, heldout: tf.data.Dataset, progress: Progress
  ) -> Mapping[str, float]:
    """Saves a step, after a look at the held-out loss where that belongs to it, and returns this.

    Raises:
      Interrupted: a signal came. The step is saved: without the look if that was cut short.
    """
    start = time.monotonic()
    progress.report(step)
    losses: dict[str, float] = {}
    if self._ends(step):
      with contextlib.suppress(Interrupted):  # `check` raises it again.
        losses = self._look(step, heldout, progress)
    saving = time.monotonic()
    self._checkpoints.save(Saved(step, losses, self._folder.log_sizes()))
    if self._interrupts.received:
      seconds = time.monotonic() - saving
      logging.info("Interrupted: saved step %d of %d in %.1f s.", step, self._total, seconds)
    self._interrupts.check()
    progress.resume(time.monotonic() - start)
    return losses

  def _look(self, step: int, heldout: tf.data.Dataset, progress: Progress) -> dict[str, float]:
    """Held-out losses and pictures."""
    losses = _reading(lambda: self._steps.heldout_losses(self._watched(heldout)), self._skipped)
    branches = ", ".join(f"{k} {v:.3f}" for k, v in losses.items() if k != "total")
    logging.info("step %d  held-out loss %.3f (%s)", step, losses["total"], branches)
    progress.record(step, {f"heldout/{name}": loss for name, loss in losses.items()})
    panel = pictures.panel(self._steps.model, self._panel_images)
    progress.picture(step, "panel", panel)
    progress.picture(step, "filters", pictures.filters(self._steps.model))
    png = io.BytesIO()
    Image.fromarray(panel).save(png, "PNG")
    with writing(self._folder.panel):
      write_aside(self._folder.panel, png.getvalue())
    return losses

  def _watched(self, dataset: Iterable[_T]) -> Iterator[_T]:
    """The dataset; ends by `Interrupted` once a signal came."""
    for batch in dataset:
      self._interrupts.check()
      yield batch

  def _profile(self, step: int, *, starts: bool) -> None:
    if not self._config.profile:
      return
    first, last = self._config.profile
    # Within them too: a resumed run may begin there.
    if starts and self._profiled_from is None and first <= step <= last:
      tf.profiler.experimental.start(str(self._folder.tensorboard))
      self._profiled_from = step
    elif not starts and self._profiled_from is not None and step == last:
      tf.test.experimental.sync_devices()
      tf.profiler.experimental.stop()
      logging.info("Wrote a profile of steps %d to %d.", self._profiled_from, step)
      self._profiled_from = None

  def _distribute(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
    dataset = dataset.map(lambda example: example["image"])
    if not self._steps.device_prepares:
      dataset = dataset.map(self._steps.model.prepare, num_parallel_calls=tf.data.AUTOTUNE)
      dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return self._steps.strategy.experimental_distribute_dataset(dataset)

  def _batches(self, done: int) -> Iterator[tf.Tensor]:
    """Batches from the step after `done` on, without end."""
    data = self._config.data
    dataset = pipeline.train_dataset(
      self._source,
      batch_size=self._config.batch_size,
      image_size=data.image_size,
      seed=self._config.seed,
      area=data.crop_area,
      aspect=data.crop_aspect,
      flip=data.flip,
      turns=data.turns,
      first_step=done,
      skipped=self._skipped,
      max_pixels=data.max_pixels,
      service=data.service,
      parallel_calls=data.parallel_calls or None,
    )
    return iter(self._distribute(dataset))


def _evaluation_dataset(
  config: PretrainConfig, source: Source, skipped: Skipped
) -> tf.data.Dataset:
  return pipeline.evaluation_dataset(
    source,
    batch_size=config.batch_size,
    image_size=config.data.image_size,
    skipped=skipped,
    max_pixels=config.data.max_pixels,
  )


def _panel_images(config: PretrainConfig, heldout: Source, skipped: Skipped) -> tf.Tensor:
  """(B, S, S, 3) uint8, evenly over the held-out photographs."""
  count = min(config.panel_images, len(heldout))
  indices = np.linspace(0, len(heldout) - 1, count).astype(np.int64)
  dataset = _evaluation_dataset(config, heldout.subset(indices, "panel"), skipped)
  batches = _reading(lambda: [batch["image"] for batch in dataset], skipped)
  if not batches:
    raise ValueError(f"{skipped}: all that were tried of {heldout.description}. Give others.")
  return tf.concat(batches, axis=0)


def _reading(read: Callable[[], _T], skipped: Skipped) -> _T:
  """What `read` gives; a plain error where it ends because too many photographs were skipped."""
  try:
    return read()
  except tf.errors.OpError as error:
    try:
      skipped.check()
    except ValueError as too_many:
      raise too_many from None
    raise error
