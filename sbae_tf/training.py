"""The pretraining run: data, steps, held-out loss, checkpoints, resume, export."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from typing import NoReturn

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image

from sbae_tf import pictures, runtime, validation
from sbae_tf.config import PretrainConfig
from sbae_tf.data import pipeline, sources
from sbae_tf.data.source import Source, unreadable
from sbae_tf.export import export_encoder
from sbae_tf.progress import Progress
from sbae_tf.run_folder import RunFolder, write_aside
from sbae_tf.steps import Steps, make_strategy


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
  heldout: dict[str, float]
  parameters: int


def train(config: PretrainConfig, workdir: str | os.PathLike[str]) -> Result:
  """Runs a configuration to its end, or goes on where an earlier run of it stopped.

  Leaves in `workdir`: `config.json`, `tensorboard/`, `checkpoints/`, `metrics.jsonl`, `panel.png`,
  and `encoder/`, a SavedModel. Seeds Python's, NumPy's and TensorFlow's global generators with
  the configuration's seed.

  Args:
    config: what to train.
    workdir: the run's folder; new, empty, or of a run of the same configuration.

  Raises:
    ValueError: the configuration, the data or the folder does not do; nothing has been written
      then. Or a photograph cannot be read; names it.
  """
  validation.validate(config)
  for remark in validation.remarks(config):
    logging.warning(remark)
  folder = RunFolder(workdir)
  folder.check(config)
  train, heldout = sources.open_sources(config.data)
  steps_per_epoch = pipeline.steps_per_epoch(train, config.batch_size)
  total = config.steps or config.epochs * steps_per_epoch
  if config.profile and config.profile[1] > total:
    raise ValueError(
      f"Expected `profile` within the run's {total} steps. Received: {config.profile[0]},"
      f"{config.profile[1]}."
    )
  steps = Steps(config, make_strategy(config), steps_per_epoch=steps_per_epoch, steps=total)
  panel_images = _panel_images(config, heldout)  # Before anything is written: they may not read.
  folder.open(config)
  run = _Run(
    *(config, folder, steps, train, heldout, panel_images),
    steps_per_epoch=steps_per_epoch,
    total=total,
  )
  done = run.restore()
  losses = run.train(done) if done < total else {}
  if losses or not folder.encoder.exists():
    export_encoder(steps.model.encoder, folder.encoder)
  parameters = sum(int(tf.size(v)) for v in steps.model.variables)
  return Result(folder, total, losses, parameters)


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
    *,
    steps_per_epoch: int,
    total: int,
  ) -> None:
    self._config = config
    self._folder = folder
    self._steps = steps
    self._source = train
    self._heldout = heldout
    self._panel_images = panel_images
    self._steps_per_epoch = steps_per_epoch
    self._total = total
    self._done = tf.Variable(0, dtype=tf.int64, name="steps_done")
    self._manager = tf.train.CheckpointManager(
      tf.train.Checkpoint(model=steps.model, optimizer=steps.optimizer, steps_done=self._done),
      str(folder.checkpoints),
      max_to_keep=config.checkpoints_kept,
    )

  def restore(self) -> int:
    """Reads the last checkpoint, if any, and returns how many steps were done."""
    if self._manager.restore_or_initialize():
      logging.info("Resuming from step %d of %d.", int(self._done), self._total)
    self._folder.keep_metrics_until(int(self._done))
    return int(self._done)

  def train(self, done: int) -> dict[str, float]:
    """Trains from the step after `done` to the end; returns the held-out losses there."""
    logging.info("Training on %s.", self._source.description)
    logging.info("Holding out %s.", self._heldout.description)
    config = self._config
    progress = Progress(
      self._folder,
      first_step=done,
      steps=self._total,
      steps_per_epoch=self._steps_per_epoch,
      batch_size=config.batch_size,
      schedule=self._steps.schedule,
      seconds=config.log_seconds,
    )
    heldout = self._distribute(_evaluation_dataset(config, self._heldout))
    batches = self._batches(done)
    losses: dict[str, float] = {}
    saved = time.monotonic()
    for step in range(done + 1, self._total + 1):
      self._profile(step, starts=True)
      with tf.profiler.experimental.Trace("train", step_num=step, _r=1):
        step_losses = self._steps.train(next(batches))
      self._profile(step, starts=False)
      progress.add(step_losses, step)
      ends = step % self._steps_per_epoch == 0 or step == self._total
      if ends or time.monotonic() - saved > 60 * config.checkpoint_minutes:
        pause = time.monotonic()
        if ends:
          losses = self._look(step, heldout, progress)
        self._save(step)
        saved = time.monotonic()
        progress.resume(saved - pause)
    progress.close()
    return losses

  def _save(self, step: int) -> None:
    self._done.assign(step)
    with runtime.quiet_logs():
      self._manager.save(checkpoint_number=step)

  def _look(self, step: int, heldout: tf.data.Dataset, progress: Progress) -> dict[str, float]:
    """Held-out losses and pictures."""
    losses = self._heldout_losses(heldout)
    branches = ", ".join(f"{k} {v:.3f}" for k, v in losses.items() if k != "total")
    logging.info("step %d  held-out loss %.3f (%s)", step, losses["total"], branches)
    progress.record(step, {f"heldout/{name}": loss for name, loss in losses.items()})
    panel = pictures.panel(self._steps.model, self._panel_images)
    progress.picture(step, "panel", panel)
    progress.picture(step, "filters", pictures.filters(self._steps.model))
    png = io.BytesIO()
    Image.fromarray(panel).save(png, "PNG")
    write_aside(self._folder.panel, png.getvalue())
    return losses

  def _profile(self, step: int, *, starts: bool) -> None:
    if not self._config.profile:
      return
    first, last = self._config.profile
    if starts and step == first:
      tf.profiler.experimental.start(str(self._folder.tensorboard))
    elif not starts and step == min(last, self._total) and step >= first:
      tf.test.experimental.sync_devices()
      tf.profiler.experimental.stop()
      logging.info("Wrote a profile of steps %d to %d.", first, step)

  def _distribute(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
    dataset = dataset.map(lambda example: example["image"])
    if not self._steps.device_prepares:
      dataset = dataset.map(self._steps.model.prepare, num_parallel_calls=tf.data.AUTOTUNE)
      dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return self._steps.strategy.experimental_distribute_dataset(dataset)

  def _batches(self, done: int) -> Iterator[tf.Tensor]:
    """Batches from the step after `done` on, without end."""
    data = self._config.data
    order = {"batch_size": self._config.batch_size, "seed": self._config.seed}
    dataset = pipeline.train_dataset(
      self._source,
      image_size=data.image_size,
      area=data.crop_area,
      aspect=data.crop_aspect,
      flip=data.flip,
      first_step=done,
      parallel_calls=data.parallel_calls or None,
      **order,
    )
    iterator = iter(self._distribute(dataset))
    for step in itertools.count(done):
      try:
        batch = next(iterator)
      except tf.errors.OpError as error:
        _name_unreadable(self._source, pipeline.batch_indices(self._source, step, **order), error)
      yield batch

  def _heldout_losses(self, dataset: tf.data.Dataset) -> dict[str, float]:
    try:
      return self._steps.heldout_losses(dataset)
    except tf.errors.OpError as error:
      _name_unreadable(self._heldout, range(len(self._heldout)), error)


def _evaluation_dataset(config: PretrainConfig, source: Source) -> tf.data.Dataset:
  return pipeline.evaluation_dataset(
    source, batch_size=config.batch_size, image_size=config.data.image_size
  )


def _panel_images(config: PretrainConfig, heldout: Source) -> tf.Tensor:
  """(B, S, S, 3) uint8, evenly over the held-out photographs."""
  count = min(config.panel_images, len(heldout))
  indices = np.linspace(0, len(heldout) - 1, count).astype(np.int64)
  try:
    batches = _evaluation_dataset(config, heldout.subset(indices, "panel"))
    return tf.concat([batch["image"] for batch in batches], axis=0)
  except tf.errors.OpError as error:
    _name_unreadable(heldout, indices, error)


def _name_unreadable(source: Source, indices: Iterable[int], error: Exception) -> NoReturn:
  """Raises a ValueError that names the photographs at `indices` that cannot be read, or `error`."""
  broken = unreadable(source, indices)
  if not broken:
    raise error
  names = "; ".join(f"{name} ({reason})" for name, reason in broken)
  raise ValueError(
    f"Cannot read {names}. Mend or remove what is broken, then start again."
  ) from error
