"""A long run's progress: a line to read, scalars for TensorBoard, metrics.jsonl for plots."""

from __future__ import annotations

import contextlib
import datetime
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf
from absl import logging

from sbae_tf.run_folder import RunFolder
from sbae_tf.writing import writing


class NonFiniteError(RuntimeError):
  """A loss is infinite or not a number.

  Attributes:
    step: the first one of which a loss is, counted from 1.
    branch: whose it is.
  """

  def __init__(self, step: int, branch: str, value: float) -> None:
    self.step, self.branch = step, branch
    super().__init__(f"The loss of {branch} is {value} at step {step}.")


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
    devices: int,
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
      devices: among which they are dealt out.
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
    self._devices = devices
    self._schedule = schedule
    self._seconds = seconds
    self._values: dict[str, list[tf.Tensor]] = {}  # Of the steps since the last report.
    self._reported_step = first_step
    self._step_seconds: float | None = None  # Of a step once the graph is there.
    self._waited: list[float | tf.Tensor] = []  # Seconds, for photographs.
    self._pause_seconds = 0.0  # Of the last pause: held-out loss, panel, checkpoint.
    self._clock = time.monotonic()

  def add(
    self,
    results: Mapping[str, tf.Tensor],
    step: int,
    *,
    count: int = 1,
    waited: float | tf.Tensor = 0.0,
  ) -> None:
    """Takes what steps gave; reports where it is time.

    Args:
      results: a branch's name, or `total`, to its loss, and `gradient_norm`; float32, () of one
        step, or (count,).
      step: how many steps are done.
      count: of the steps that these are the results of, the last ones.
      waited: seconds that they waited for their photographs.

    Raises:
      NonFiniteError: as `report` does.
    """
    self._waited.append(waited)
    for name, value in results.items():
      self._values.setdefault(name, []).append(tf.reshape(value, [-1]))
    epoch_ends = step % self._steps_per_epoch == 0
    first = step - count == self._reported_step and self._step_seconds is None
    due = time.monotonic() - self._clock >= self._seconds
    if first or due or epoch_ends or step == self._steps:
      self.report(step)

  def report(self, step: int) -> None:
    """Tells the mean losses of the steps since the last report, if there are any.

    Before a checkpoint: then a run that goes on from it tells every step once, and weights that a
    loss without a value has spoilt are not saved.

    Args:
      step: how many steps are done.

    Raises:
      NonFiniteError: a step's loss is not finite.
    """
    since = step - self._reported_step
    if not since:
      return
    # Waits for the device.
    values = {name: tf.concat(each, axis=0).numpy() for name, each in self._values.items()}
    waited = sum(float(seconds) for seconds in self._waited)
    norms = values.pop("gradient_norm")
    _check_finite(values, first_step=self._reported_step + 1)
    means = {name: float(np.mean(each)) for name, each in values.items()}
    seconds = max(time.monotonic() - self._clock, 1e-9) / since
    traced = self._step_seconds is not None  # The first step's time is that of tracing.
    self._step_seconds = seconds
    epoch = min(self._epochs, 1 + (step - 1) // self._steps_per_epoch)
    branches = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items() if name != "total")
    rate = self._batch_size / seconds
    speed = f"  {rate:.0f} images/s  {self._left(step)} left" if traced else ""
    logging.info(
      "step %d/%d  epoch %d/%d  loss %.3f (%s)%s",
      *(step, self._steps, epoch, self._epochs, means["total"], branches, speed),
    )
    scalars = {f"loss/{name}": mean for name, mean in means.items()}
    finite = norms[np.isfinite(norms)]
    if len(finite):
      scalars["gradient_norm"] = float(np.mean(finite))
    if len(finite) < len(norms):  # Of float16; the loss scale has them left out.
      scalars["steps_left_out"] = len(norms) - len(finite)
    scalars["learning_rate"] = float(self._schedule(step - 1))  # Steps count from 0 there.
    if traced:
      scalars["images_per_second"] = rate
      scalars["images_per_second_per_device"] = rate / self._devices
      scalars["input_wait"] = waited / (seconds * since)  # A fraction of the time.
    scalars.update(_peak_memory())
    self.record(step, scalars)
    self._values, self._waited = {}, []
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


def _check_finite(losses: Mapping[str, np.ndarray], *, first_step: int) -> None:
  """Raises `NonFiniteError` for the first step of which a loss is not finite."""
  wrong = {name: np.flatnonzero(~np.isfinite(each)) for name, each in losses.items()}
  steps = {name: int(found[0]) for name, found in wrong.items() if len(found)}
  if steps:
    branch = min(steps, key=lambda name: (steps[name], name == "total"))
    step = steps[branch]
    raise NonFiniteError(first_step + step, branch, float(losses[branch][step]))


def _peak_memory() -> dict[str, int]:
  """Bytes, at most so far: of this process, and on the GPU of which it is most."""
  unit = 1 if sys.platform == "darwin" else 1024
  peaks = {"peak_memory/host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
  gpus = tf.config.list_logical_devices("GPU")
  if gpus:
    used = (tf.config.experimental.get_memory_info(gpu.name)["peak"] for gpu in gpus)
    peaks["peak_memory/device"] = max(used)
  return peaks
