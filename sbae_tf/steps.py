"""One training step and one held-out step, compiled, over a strategy's devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.config import PretrainConfig
from sbae_tf.model import Batch, PretrainModel
from sbae_tf.precision import with_loss_scale

_EVALUATION = -1  # The step whose random numbers evaluation takes: none of training's.


class Steps:
  """A model, its optimizer, and the compiled steps on both.

  Attributes:
    model: the model; its variables belong to the strategy.
    optimizer: a Keras optimizer.
    schedule: the learning rate as a function of the step.
    strategy: the devices.
  """

  def __init__(
    self,
    config: PretrainConfig,
    strategy: tf.distribute.Strategy,
    *,
    steps_per_epoch: int,
    steps: int,
  ) -> None:
    """Builds model and optimizer.

    Args:
      config: a valid configuration; its seed draws the weights.
      strategy: the devices.
      steps_per_epoch: of the schedule.
      steps: all steps of the run, for the schedule.

    Raises:
      ValueError: an option of a component is out of range, or XLA cannot compile the model.
    """
    self._config = config
    self.strategy = strategy
    with strategy.scope():
      tf.keras.utils.set_random_seed(config.seed)
      self.model = PretrainModel(config)
      self.schedule = plugins.find("schedule", config.schedule.name).build(
        config.learning_rate, steps_per_epoch, steps, **config.schedule.options
      )
      optimizer = plugins.find("optimizer", config.optimizer.name).build(
        self.schedule, **config.optimizer.options
      )
      self._jit = self._compiles()
      self.optimizer = with_loss_scale(optimizer, config.precision)
      if hasattr(self.optimizer, "build"):  # The legacy ones, which addons has, make slots later.
        self.optimizer.build(self.model.trainable_variables)

  def _compiles(self) -> bool:
    """Whether XLA compiles a replica's losses and gradients.

    By itself not on CPUs, where that makes the step slower (`tools/results/step.md`), and not where
    replicas exchange statistics in between.
    """
    asked = self._config.jit_compile
    exchanged = self.strategy.num_replicas_in_sync > 1 and any(
      getattr(module, "synchronized", False) for module in self.model.submodules
    )
    if asked == "true" and exchanged:
      raise ValueError(
        "Expected `jit_compile` 'auto' or 'false' with batch normalization that is synchronized "
        "over several devices: XLA compiles each device's part by itself. Received: 'true'."
      )
    if asked == "auto":
      kinds = ("GPU", "TPU")
      return not exchanged and any(tf.config.list_logical_devices(kind) for kind in kinds)
    return asked == "true"

  @property
  def _scales(self) -> bool:
    return isinstance(self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)

  @property
  def device_prepares(self) -> bool:
    """Whether color and targets are computed in the step, and not in the pipeline."""
    return self._config.color_placement == "device"

  @tf.function(autograph=False)
  def train(self, batch: tf.Tensor | Batch) -> dict[str, tf.Tensor]:
    """A step of the optimizer.

    Args:
      batch: of the whole strategy; (B, H, W, 3) uint8, or a `Batch` where the pipeline made one.

    Returns:
      Each branch's name and `total` to the mean loss over the global batch before the step, and
      `gradient_norm` to the Euclidean norm of all gradients together, before any clipping. Scalar
      float32.
    """
    return self._train(batch)

  @tf.function(autograph=False)
  def train_loop(
    self, iterator: Iterator[tf.Tensor | Batch], count: tf.Tensor
  ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Several steps of the optimizer without a return to Python.

    Args:
      iterator: over batches of the whole strategy, `count` at least.
      count: () int32, the number of steps.

    Returns:
      What `train` does, a value a step: (count,) float32. And the seconds that they waited for
      batches in all, () float64.
    """

    def body(
      step: tf.Tensor, waited: tf.Tensor, values: dict[str, tf.TensorArray]
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.TensorArray]]:
      start = tf.timestamp()
      with tf.control_dependencies([start]):
        batch = iterator.get_next()  # type: ignore[attr-defined]
      with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
        waited += tf.timestamp() - start
      results = self._train(batch)
      values = {name: values[name].write(step, value) for name, value in results.items()}
      return step + 1, waited, values

    values = {name: tf.TensorArray(tf.float32, count) for name in (*self._losses, "gradient_norm")}
    state = (tf.constant(0), tf.constant(0.0, tf.float64), values)
    _, waited, values = tf.while_loop(lambda step, *_: step < count, body, state)
    return {name: value.stack() for name, value in values.items()}, waited

  @property
  def _losses(self) -> list[str]:
    return [*self._config.branch_names, "total"]

  def _train(self, batch: tf.Tensor | Batch) -> dict[str, tf.Tensor]:
    variables = self.model.trainable_variables
    compute = tf.function(self._gradients, jit_compile=True) if self._jit else self._gradients

    def replica(batch: tf.Tensor | Batch) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
      losses, gradients = compute(batch, self._seed(training=True))
      # Here, and not in apply_gradients, so that the sum is there for its norm.
      gradients = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, gradients
      )
      if self._scales:
        gradients = self.optimizer.get_unscaled_gradients(gradients)
      norm = tf.linalg.global_norm(gradients)
      self.optimizer.apply_gradients(
        zip(gradients, variables), experimental_aggregate_gradients=False
      )
      return losses, norm

    losses, norms = self.strategy.run(replica, (batch,))
    # All replicas have the norm of the sum.
    return {
      **self._sum(losses),
      "gradient_norm": self.strategy.experimental_local_results(norms)[0],
    }

  def _seed(self, *, training: bool) -> tf.Tensor | None:
    """(2,) int64 for what tasks draw, another one on each device; None where none draws.

    In training a function of the configuration's seed and the optimizer's step: a run that is
    resumed draws what it would have drawn. In 64 bits: TensorFlow keeps integers of 32 in the
    host's memory, and would wait for the GPU.
    """
    if not self.model.draws:
      return None
    step = self.optimizer.iterations if training else tf.constant(_EVALUATION, tf.int64)
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    number = step * self.strategy.num_replicas_in_sync + tf.cast(replica, tf.int64)
    return tf.stack([tf.constant(self._config.seed, tf.int64), number])

  def _gradients(
    self, batch: tf.Tensor | Batch, seed: tf.Tensor | None
  ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
    """A replica's part of the losses' means over the global batch, and of the gradients."""
    size = self._config.batch_size
    prepared = self.model.prepare(batch, seed) if self.device_prepares else batch
    with tf.GradientTape() as tape:
      losses = self.model.losses(prepared, training=True, seed=seed)
      # Divided by the global batch here and nowhere else: gradients are summed over replicas.
      total = tf.reduce_sum(self.model.total(losses)) / size
      scaled = self.optimizer.get_scaled_loss(total) if self._scales else total
    gradients = tape.gradient(scaled, self.model.trainable_variables)
    return {
      **{k: tf.reduce_sum(loss) / size for k, loss in losses.items()},
      "total": total,
    }, gradients

  @tf.function(autograph=False, reduce_retracing=True)
  def evaluate(self, batch: tf.Tensor | Batch) -> dict[str, tf.Tensor]:
    """Losses of a batch as they are, without training.

    Tasks that draw random numbers draw the same ones each time, so that losses of different steps
    compare; others on each device, and by a photograph's place in the batch.

    Args:
      batch: as for `train`; of any size.

    Returns:
      Each branch's name and `total` to the sum of the losses over the batch, and `count` to the
      number of photographs; scalar float32.
    """

    def losses(batch: tf.Tensor | Batch) -> dict[str, tf.Tensor]:
      seed = self._seed(training=False)
      prepared = self.model.prepare(batch, seed) if self.device_prepares else batch
      each = self.model.losses(prepared, training=False, seed=seed)
      each["total"] = self.model.total(each)
      return {name: tf.reduce_sum(loss) for name, loss in each.items()}

    def none() -> dict[str, tf.Tensor]:
      return {name: tf.constant(0.0) for name in self._losses}

    def replica(batch: tf.Tensor | Batch) -> dict[str, tf.Tensor]:
      count = tf.shape(tf.nest.flatten(batch)[0])[0]
      # Of the last batch some devices have nothing, of which oneDNN's convolution has no result.
      sums = tf.cond(count > 0, lambda: losses(batch), none)
      return {**sums, "count": tf.cast(count, tf.float32)}

    return self._sum(self.strategy.run(replica, (batch,)))

  def _sum(self, per_replica: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    reduce = tf.distribute.ReduceOp.SUM
    return {k: self.strategy.reduce(reduce, v, axis=None) for k, v in per_replica.items()}

  def heldout_losses(self, dataset: tf.data.Dataset) -> dict[str, float]:
    """Mean losses over a dataset.

    Args:
      dataset: of the strategy, finite.

    Returns:
      Each branch's name and `total` to its mean over all photographs.

    Raises:
      ValueError: there is none.
    """
    sums: dict[str, tf.Tensor] = {}
    for batch in dataset:
      for name, value in self.evaluate(batch).items():
        sums[name] = sums[name] + value if name in sums else value
    if not sums:
      raise ValueError("Expected photographs to evaluate: none of the held-out ones can be read.")
    count = float(sums.pop("count"))
    return {name: float(value) / count for name, value in sums.items()}
