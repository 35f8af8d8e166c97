"""A long run's progress: a line to read, scalars for TensorBoard, metrics.jsonl for plots."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator, Mapping

import tensorflow as tf
from absl import logging

from sbae_tf.run_folder import RunFolder, writing


class Progress:
  """Gathers each step's losses on the device, and reports them every few seconds.

  Between two reports nothing is read back from the device.
  """

  def __init__(
    self,
    folder: RunFolder,
    *,
    first_step: int,
    steps: int,
    steps_per_epoch: int,
    batch_size: int,
    schedule: Callable[[int], tf.Tensor],
    seconds: float,
  ) -> None:
    """Starts the clock.

    Args:
      folder: where the metrics go.
      first_step: steps that were done before, by the run that this one resumes.
      steps: all steps of the run.
      steps_per_epoch: steps of an epoch.
      batch_size: photographs a step.
      schedule: the learning rate of a step, counted from 0.
      seconds: between two reports.
    """
    self._folder = folder
    with writing(folder.tensorboard, tf.errors.OpError):
      self._writer = tf.summary.create_file_writer(str(folder.tensorboard))
    self._steps = steps
    self._steps_per_epoch = steps_per_epoch
    self._epochs = -(-steps // steps_per_epoch)
    self._batch_size = batch_size
    self._schedule = schedule
    self._seconds = seconds
    self._sums: dict[str, tf.Tensor] = {}
    self._reported_step = first_step
    self._step_seconds: float | None = None  # Of a step once the graph is there.
    self._waited = 0.0  # Seconds, for photographs, since the last report.
    self._pause_seconds = 0.0  # Of the last pause: held-out loss, panel, checkpoint.
    self._clock = time.monotonic()

  def add(self, losses: Mapping[str, tf.Tensor], step: int, *, waited: float = 0.0) -> None:
    """Takes a step's mean losses; reports where it is time.

    Args:
      losses: a branch's name, or `total`, to its scalar float32 loss.
      step: how many steps are done.
      waited: seconds that the step waited for its photographs.
    """
    self._waited += waited
    for name, loss in losses.items():
      self._sums[name] = self._sums[name] + loss if name in self._sums else loss
    epoch_ends = step % self._steps_per_epoch == 0
    first = step == self._reported_step + 1 and self._step_seconds is None
    due = time.monotonic() - self._clock >= self._seconds
    if first or due or epoch_ends or step == self._steps:
      self.report(step)

  def report(self, step: int) -> None:
    """Tells the mean losses of the steps since the last report, if there are any.

    Before a checkpoint: then a run that goes on from it tells every step once.

    Args:
      step: how many steps are done.
    """
    since = step - self._reported_step
    if not since:
      return
    # Waits for the device.
    means = {name: float(total) / since for name, total in self._sums.items()}
    seconds = (time.monotonic() - self._clock) / since
    traced = self._step_seconds is not None  # The first step's time is that of tracing.
    self._step_seconds = seconds
    epoch = min(self._epochs, 1 + (step - 1) // self._steps_per_epoch)
    branches = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items() if name != "total")
    speed = (
      f"  {self._batch_size / seconds:.0f} images/s  {self._left(step)} left" if traced else ""
    )
    logging.info(
      "step %d/%d  epoch %d/%d  loss %.3f (%s)%s",
      *(step, self._steps, epoch, self._epochs, means["total"], branches, speed),
    )
    scalars = {f"loss/{name}": mean for name, mean in means.items()}
    scalars["learning_rate"] = float(self._schedule(step - 1))  # Steps count from 0 there.
    if traced:
      scalars["images_per_second"] = self._batch_size / seconds
      scalars["input_wait"] = self._waited / (seconds * since)  # A fraction of the time.
    self.record(step, scalars)
    self._sums = {}
    self._waited = 0.0
    self._reported_step = step
    self._clock = time.monotonic()

  def _left(self, step: int) -> datetime.timedelta:
    steps = self._steps - step
    pauses = -(-steps // self._steps_per_epoch)
    seconds = steps * (self._step_seconds or 0.0) + pauses * self._pause_seconds
    return datetime.timedelta(seconds=round(seconds))

  def record(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes scalars to TensorBoard and to the run's metrics.jsonl."""
    self._folder.add_metrics({"step": step, "time": round(time.time(), 3), **scalars})
    with self._writing(step):
      for name, value in scalars.items():
        tf.summary.scalar(name, value)

  def picture(self, step: int, name: str, image: tf.Tensor) -> None:
    """Writes a picture, (H, W, 3) uint8, to TensorBoard."""
    with self._writing(step):
      tf.summary.image(name, image[None])

  @contextlib.contextmanager
  def _writing(self, step: int) -> Iterator[None]:
    with writing(self._folder.tensorboard, tf.errors.OpError):
      with self._writer.as_default(step):
        yield
      self._writer.flush()

  def resume(self, pause_seconds: float) -> None:
    """Starts the clock again after work that is no step; it counts in the time left."""
    self._pause_seconds = pause_seconds
    self._clock = time.monotonic()

  def close(self) -> None:
    """Ends TensorBoard's file."""
    self._writer.close()
