"""A pretraining run in progress: steps, held-out losses, checkpoints, export."""

from __future__ import annotations

import contextlib
import functools
import io
import pathlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image

from sbae_tf import pictures, training_data
from sbae_tf.agreement import Agreement
from sbae_tf.checkpoints import Checkpoints, Saved
from sbae_tf.cluster import Worker
from sbae_tf.config import PretrainConfig
from sbae_tf.data import pipeline
from sbae_tf.data.shard import Shard
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source
from sbae_tf.export import export_encoder
from sbae_tf.failures import NonFiniteLossError
from sbae_tf.initial_weights import InitialWeights
from sbae_tf.interrupts import Interrupted, Interrupts
from sbae_tf.model_card import Provenance
from sbae_tf.online_probe import OnlineProbe
from sbae_tf.progress import NonFiniteError, Progress
from sbae_tf.run_folder import RunFolder, folder_aside, write_aside
from sbae_tf.steps import Steps
from sbae_tf.writing import writing

_SHOWN = 10  # Photographs named in an error.
_NO_CHECKPOINT = -1  # In the place of its step.

_T = TypeVar("_T")


class Run:
  """The state of a run in progress: what `training.train` has made, and how far it is."""

  def __init__(
    self,
    config: PretrainConfig,
    folder: RunFolder,
    steps: Steps,
    train: Source,
    heldout: Source,
    panel_images: tf.Tensor,
    interrupts: Interrupts,
    agreement: Agreement,
    *,
    initial_weights: InitialWeights,
    probe: OnlineProbe | None,
    worker: Worker,
    restored_from: pathlib.Path,
    steps_per_epoch: int,
    total: int,
  ) -> None:
    """Computes nothing yet.

    Args:
      config: of the run.
      folder: where this worker writes.
      steps: model, optimizer and compiled steps.
      train: photographs to train on.
      heldout: photographs for the held-out losses.
      panel_images: for pictures, (B, S, S, P) uint8.
      interrupts: signals.
      agreement: of this worker with the others.
      initial_weights: what is set where there is no checkpoint.
      probe: of features on the way; None for none.
      worker: this one.
      restored_from: the checkpoints' folder, the chief's.
      steps_per_epoch: of `train`.
      total: steps of the whole run.
    """
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
    self._agreement = agreement
    self._initial_weights = initial_weights
    self._probe = probe
    self._worker = worker
    self._steps_per_epoch = steps_per_epoch
    self._total = total
    self._ending = False  # Whether all workers know of a signal to one of them.
    self._profiled_from: int | None = None  # The first step of a profile in progress.
    self._state = tf.train.Checkpoint(model=steps.model, optimizer=steps.optimizer)
    self._restored_from = restored_from
    self._checkpoints = Checkpoints(folder.checkpoints, self._state, kept=config.checkpoints_kept)

  def run(self) -> Mapping[str, float]:
    """Does what is left to do; returns the held-out losses at the end, none if it was nothing."""
    saved = self._restore()
    if saved is None:
      self._initial_weights.set(self._photographs, self._agreement)
      saved = Saved(0)
    self._folder.rewind(saved.logs)
    if saved.step:
      logging.info("Resuming from step %d of %d.", saved.step, self._total)
    losses = saved.heldout
    exported = self._agreement.of_chief(self._folder.encoder.exists())
    if saved.step < self._total or not losses:
      losses = self._train(saved)
    elif exported:
      return {}
    encoder = self._folder.encoder
    with writing(encoder, tf.errors.OpError), folder_aside(encoder) as aside:
      export_encoder(
        self._steps.model.encoder,
        aside,
        provenance=Provenance(
          self._source.description, self._heldout.description, self._total, losses
        ),
      )
    self._agreement.part()
    return losses

  def _restore(self) -> Saved | None:
    """Restores the newest checkpoint, or none where there is none.

    The chief does before others: it sets corrupt ones aside.
    """
    checkpoints = Checkpoints(self._restored_from, self._state, kept=1)
    saved = checkpoints.restore() if self._worker.is_chief else None
    step = self._agreement.of_chief(saved.step if saved else _NO_CHECKPOINT)
    if not self._worker.is_chief:
      saved = checkpoints.restore()
    own = saved.step if saved else _NO_CHECKPOINT
    # Asked by all, so that none waits for one that ends here.
    wrong = self._agreement.total([own != step])[0]
    if wrong:
      seen = "no checkpoints" if step == _NO_CHECKPOINT else f"checkpoints of step {step:.0f}"
      raise ValueError(
        f"Expected {seen} in {self._restored_from} on every worker: "
        f"{wrong:.0f} do not see the chief's. Give all of them the same --workdir, on a file "
        "system that they share."
      )
    return saved

  def _train(self, saved: Saved) -> Mapping[str, float]:
    """Trains from a checkpoint to the end; returns the held-out losses there."""
    logging.info("Training on %s.", self._source.description)
    logging.info("Holding out %s.", self._heldout.description)
    if self._probe:
      logging.info("Probing %s.", self._probe.description)
    progress = Progress(
      self._folder,
      first_step=saved.step,
      steps=self._total,
      steps_per_epoch=self._steps_per_epoch,
      batch_size=self._config.batch_size,
      devices=self._steps.strategy.num_replicas_in_sync,
      schedule=self._steps.schedule,
      seconds=self._config.log_seconds,
    )
    try:
      losses = self._loop(saved, progress)
    except NonFiniteError as error:
      raise self._explained(error) from error
    finally:
      progress.close()
      if self._profiled_from is not None:
        tf.profiler.experimental.stop(save=False)
    if len(self._skipped):
      told = [f"{name} ({reason})" for name, (reason, _) in self._skipped.entries.items()]
      where = f"named in {self._folder.skipped}" if self._worker.is_chief else ", ".join(told)
      logging.warning("%s; %s.", self._skipped, where)
    return losses

  def _explained(self, error: NonFiniteError) -> NonFiniteLossError:
    """What to do about a loss without a value, and which photographs it is of."""
    names = pipeline.batch_names(
      self._source,
      error.step - 1,
      batch_size=self._config.batch_size,
      seed=self._config.seed,
    )
    with writing(self._folder.nonfinite):
      write_aside(self._folder.nonfinite, "".join(f"{name}\n" for name in names).encode())
    shown = ", ".join(names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    where = f", all in {self._folder.nonfinite}" if self._worker.is_chief else ""
    return NonFiniteLossError(
      f"{error} Its photographs: {shown}{more}{where}. The last "
      "checkpoint is from before. Start anew in another --workdir with a lower --learning_rate, "
      "--optimizer.global_clipnorm or --precision=float32."
    )

  def _loop(self, saved: Saved, progress: Progress) -> Mapping[str, float]:
    heldout = self._distribute(self._heldout_part)
    losses = saved.heldout
    if self._ends(saved.step) and not losses:  # It was interrupted there, or trains nothing.
      self._interrupts.hold()
      losses = self._checkpoint(saved.step, heldout, progress, restored=saved.step > 0)
      self._interrupts.release()
    batches = self._batches(saved.step)
    last_checkpoint = time.monotonic()
    self._agreement.start(saved.step)
    step = saved.step
    while step < self._total:
      self._profile(step + 1, starts=True)
      count = self._count(step)
      with tf.profiler.experimental.Trace("train", step_num=step + 1, _r=1):
        execute = functools.partial(self._execute, batches, count)
        results, waited = training_data.reading(execute, self._skipped)
      step += count
      # Not before: until the first step is done, which takes long, a signal loses nothing.
      self._interrupts.hold()
      self._profile(step, starts=False)
      progress.add(results, step, count=count, waited=waited)
      due, self._ending = self._agreement.checkpoint(
        step,
        due=time.monotonic() - last_checkpoint > 60 * self._config.checkpoint_minutes,
        interrupted=self._interrupts.received is not None,
      )
      if self._ending:
        self._interrupts.receive(signal.SIGTERM)  # Another worker's may have been it.
      if self._ends(step) or due:
        losses = self._checkpoint(step, heldout, progress)
        last_checkpoint = time.monotonic()
        self._agreement.start(step)
    if self._agreement.total([self._interrupts.received is not None])[0]:
      self._interrupts.receive(signal.SIGTERM)
      self._agreement.part()
    self._interrupts.release()
    return losses

  def _count(self, step: int) -> int:
    """Steps to execute after a step: to no more than where something else is to be done."""
    per_epoch = self._steps_per_epoch
    stops = [step + self._config.steps_per_execution, self._total]
    stops.append((step // per_epoch + 1) * per_epoch)
    if self._config.profile:
      first, last = self._config.profile
      stops += [stop for stop in (first - 1, last) if stop > step]
    left = self._agreement.steps_left(step)
    if left is not None:
      stops.append(step + left)
    return min(stops) - step

  def _execute(
    self, batches: Iterator[tf.Tensor], count: int
  ) -> tuple[dict[str, tf.Tensor], float | tf.Tensor]:
    """Steps' results, and the seconds that they waited for photographs."""
    if count > 1:
      return self._steps.train_loop(batches, tf.constant(count))
    start = time.monotonic()
    batch = next(batches)
    waited = time.monotonic() - start
    return self._steps.train(batch), waited

  def _ends(self, step: int) -> bool:
    """Whether the held-out loss belongs to a step."""
    return step == self._total or (step > 0 and step % self._steps_per_epoch == 0)

  def _probes(self, step: int) -> bool:
    """Whether the probe belongs to a step that the held-out loss does."""
    epoch, rest = divmod(step, self._steps_per_epoch)
    return step == self._total or (rest == 0 and epoch % self._config.probe.epochs == 0)

  def _checkpoint(
    self, step: int, heldout: tf.data.Dataset, progress: Progress, *, restored: bool = False
  ) -> Mapping[str, float]:
    """Saves a step, after a look at the held-out loss where that belongs to it, and returns this.

    Args:
      step: how many are done.
      heldout: photographs to look at.
      progress: of the run.
      restored: whether the step's checkpoint is what the run goes on from.

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
    now = Saved(step, losses, self._folder.log_sizes())
    if not restored:
      self._checkpoints.save(now)
    elif self._worker.is_chief:
      self._checkpoints.amend(now)
    if self._ending or (self._worker.count == 1 and self._interrupts.received):
      seconds = time.monotonic() - saving
      logging.info("Interrupted: saved step %d of %d in %.1f s.", step, self._total, seconds)
      self._agreement.part()
      self._interrupts.check()
    progress.resume(time.monotonic() - start)
    return losses

  def _look(self, step: int, heldout: tf.data.Dataset, progress: Progress) -> dict[str, float]:
    """Held-out losses, the probe where it is time for it, and pictures."""
    losses = training_data.reading(
      lambda: self._steps.heldout_losses(self._watched(heldout)), self._skipped
    )
    scalars = {f"heldout/{name}": loss for name, loss in losses.items()}
    branches = ", ".join(f"{k} {v:.3f}" for k, v in losses.items() if k != "total")
    logging.info("step %d  held-out loss %.3f (%s)", step, losses["total"], branches)
    if self._probe and self._probes(step):
      accuracy = self._probe.accuracy(watched=self._watched)
      logging.info("step %d  kNN probe %.1f%% (%s)", step, 100 * accuracy, self._probe)
      scalars["probe/knn_top1"] = accuracy
    # Not before: a look that is cut short is done again when the run goes on, and told once.
    progress.record(step, scalars)
    panel = pictures.panel(self._steps.model, self._panel_images)
    progress.picture(step, "panel", panel)
    progress.picture(step, "filters", pictures.filters(self._steps.model.encoder))
    png = io.BytesIO()
    Image.fromarray(panel).save(png, "PNG")
    with writing(self._folder.panel):
      write_aside(self._folder.panel, png.getvalue())
    return losses

  def _watched(self, dataset: Iterable[_T]) -> Iterator[_T]:
    """The dataset; ends by `Interrupted` once a signal came, if no other worker waits."""
    for batch in dataset:
      if self._worker.count == 1:
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

  def _distribute(self, make: Callable[[Shard], tf.data.Dataset]) -> tf.data.Dataset:
    """Batches of the whole strategy, of what each worker makes of its own part."""

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
      workers = context.num_input_pipelines
      replicas = context.num_replicas_in_sync // workers
      dataset = make(Shard(context.input_pipeline_id, workers, replicas))
      dataset = dataset.map(lambda example: example["image"])
      if self._steps.device_prepares:
        return dataset
      dataset = dataset.map(self._steps.model.prepare, num_parallel_calls=tf.data.AUTOTUNE)
      return dataset.prefetch(tf.data.AUTOTUNE)

    return self._steps.strategy.distribute_datasets_from_function(of_worker)

  def _heldout_part(self, shard: Shard) -> tf.data.Dataset:
    return training_data.evaluation_dataset(self._config, self._heldout, self._skipped, shard)

  def _batches(self, done: int) -> Iterator[tf.Tensor]:
    """Batches from the step after `done` on, without end."""

    def part(shard: Shard) -> tf.data.Dataset:
      return training_data.training_dataset(
        self._config, self._source, self._skipped, shard, first_step=done
      )

    return iter(self._distribute(part))

  def _photographs(self, count: int) -> np.ndarray:
    """The first photographs of a run, with their bands and as they are cropped in training."""
    dataset = training_data.training_dataset(self._config, self._source, self._skipped)
    batches = dataset.take(-(-count // self._config.batch_size))
    images = training_data.reading(
      lambda: [batch["image"].numpy() for batch in batches], self._skipped
    )
    return np.concatenate(images)[:count]
