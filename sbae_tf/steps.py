"""One training step and one held-out step, compiled, over a strategy's devices."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.config import PretrainConfig
from sbae_tf.model import Batch, PretrainModel
from sbae_tf.precision import with_loss_scale


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
      ValueError: an option of a component is out of range.
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
      self.optimizer = with_loss_scale(optimizer, config.precision)
      if hasattr(self.optimizer, "build"):  # The legacy ones, which addons has, make slots later.
        self.optimizer.build(self.model.trainable_variables)

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
      Each branch's name and `total` to the mean loss over the global batch before the step,
      scalar float32.
    """
    size = self._config.batch_size

    def replica(batch: tf.Tensor | Batch) -> dict[str, tf.Tensor]:
      prepared = self.model.prepare(batch) if self.device_prepares else batch
      variables = self.model.trainable_variables
      with tf.GradientTape() as tape:
        losses = self.model.losses(prepared, training=True)
        # Divided by the global batch here and nowhere else: apply_gradients sums over replicas.
        total = tf.reduce_sum(self.model.total(losses)) / size
        scaled = self.optimizer.get_scaled_loss(total) if self._scales else total
      gradients = tape.gradient(scaled, variables)
      if self._scales:
        gradients = self.optimizer.get_unscaled_gradients(gradients)
      self.optimizer.apply_gradients(zip(gradients, variables))
      return {**{name: tf.reduce_sum(loss) / size for name, loss in losses.items()}, "total": total}

    return self._sum(self.strategy.run(replica, (batch,)))

  @tf.function(autograph=False, reduce_retracing=True)
  def evaluate(self, batch: tf.Tensor | Batch) -> dict[str, tf.Tensor]:
    """Losses of a batch as they are, without training.

    Args:
      batch: as for `train`; of any size.

    Returns:
      Each branch's name and `total` to the sum of the losses over the batch, and `count` to the
      number of photographs; scalar float32.
    """

    def replica(batch: tf.Tensor | Batch) -> dict[str, tf.Tensor]:
      prepared = self.model.prepare(batch) if self.device_prepares else batch
      losses = self.model.losses(prepared, training=False)
      total = self.model.total(losses)
      sums = {name: tf.reduce_sum(loss) for name, loss in losses.items()}
      return {**sums, "total": tf.reduce_sum(total), "count": tf.cast(tf.size(total), tf.float32)}

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
