"""A contestant: this package's training step, on one resident batch or from files."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from sbae_tf import runtime
from tools.benchmarks import crops, protocol, step_setting

if TYPE_CHECKING:  # They import TensorFlow.
  import tensorflow as tf

  from sbae_tf.config import PretrainConfig
  from sbae_tf.model import PretrainModel
  from sbae_tf.steps import Steps

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_FILES_SECONDS = 3.0  # `tf.data` finds its number of threads.


def make_config(
  model: str, precision: str, *, settings: Mapping[str, Any], files: str = ""
) -> PretrainConfig:
  """The configuration of a contestant: a preset's on Lab, with the benchmark's sizes.

  Args:
    model: `simplenet` or `resnet18`.
    precision: `float32` or `bfloat16`.
    settings: values of further fields.
    files: where the photographs are, as `--data` takes it; only `from_files` reads them.

  Raises:
    ValueError: a value is out of range.
  """
  from sbae_tf import presets

  config = presets.preset(f"{model}_lab")
  data = dataclasses.replace(config.data, path=files, image_size=crops.IMAGE_SIZE)
  return dataclasses.replace(
    config,
    data=data,
    batch_size=crops.BATCH_SIZE,
    precision=_POLICIES[precision],
    **settings,
  )


def make_steps(config: PretrainConfig) -> Steps:
  """The model and its steps; the learning rate stays as at the start."""
  from sbae_tf.steps import Steps
  from sbae_tf.strategies import make_strategy

  return Steps(config, make_strategy(config), steps_per_epoch=1_000_000, steps=1_000_000)


def resident(config: PretrainConfig) -> tf.data.Dataset:
  """One batch of random photographs again and again: (B, S, S, 3) uint8."""
  import tensorflow as tf

  size = config.data.image_size
  images = tf.io.decode_raw(bytes(step_setting.photographs(config.batch_size, size=size)), tf.uint8)
  return tf.data.Dataset.from_tensors(tf.reshape(images, (-1, size, size, 3))).repeat()


def from_files(config: PretrainConfig) -> tf.data.Dataset:
  """Batches as training reads them from `config.data`: (B, S, S, 3) uint8.

  Raises:
    ValueError: there are no photographs, or fewer than a batch.
  """
  from sbae_tf import training_data
  from sbae_tf.data import sources
  from sbae_tf.data.skipped import Skipped

  train, _ = sources.open_sources(config.data)
  skipped = Skipped(len(train), limit=config.data.max_skipped)
  dataset = training_data.training_dataset(config, train, skipped)
  return dataset.map(lambda example: example["image"])


def run(steps: Steps, config: PretrainConfig, dataset: tf.data.Dataset) -> Iterator[int]:
  """Trains without end, and yields the number of photographs after each call of a step.

  Args:
    steps: the model's.
    config: that of `steps`; with `steps_per_execution` above 1 a call makes so many steps.
    dataset: endless batches.
  """
  import tensorflow as tf

  batches = iter(steps.strategy.experimental_distribute_dataset(dataset))
  count = config.steps_per_execution
  if count > 1:
    while True:
      # The loss is read, as without loops: that waits for the device.
      tf.nest.flatten(steps.train_loop(batches, tf.constant(count)))[0].numpy()
      yield count * config.batch_size
  for batch in batches:
    float(steps.train(batch)["total"])
    yield config.batch_size


def flop_per_image(model: PretrainModel) -> int:
  """Floating-point operations of convolutions in a training step, for each photograph.

  A multiplication and an addition are two. A convolution computes its output, the gradient of its
  kernel, and the gradient of its input, each for `2 h w k^2 C F` operations (k the kernel, C and F
  channels in and out, h x w the output); a tower's first leaves the last one out, for nobody asks
  for the gradient of the photographs. Color, normalization, activations, losses and Adam are not
  counted: what a step spends on these lowers its fraction of the peak.

  Args:
    model: of towers whose photographs have the configuration's side.
  """
  import tensorflow as tf

  size = model.config.data.image_size
  total = 0
  for index, head in zip(model.encoder.tower_of, model.heads):
    tower = model.encoder.towers[index]
    layers = [layer for layer in tower.layers if isinstance(layer, tf.keras.layers.Conv2D)]
    shapes = tf.keras.Model(tower.inputs, [layer.output for layer in layers]).compute_output_shape(
      (1, size, size, tower.inputs[0].shape[-1])
    )
    layers.append(head.layers[-1])
    shapes = [*shapes, shapes[-1]]  # The head's output has the height and width of its input.
    for i, (layer, shape) in enumerate(zip(layers, shapes)):
      total += (2 if i == 0 else 3) * 2 * shape[1] * shape[2] * int(tf.size(layer.kernel))
  return total


def main() -> None:
  """Runs the contestant."""
  replies = protocol.claim_stdout()
  parser = argparse.ArgumentParser(description=__doc__)
  step_setting.add_arguments(parser)
  parser.add_argument("--settings", type=json.loads, default={}, help="fields and values, as JSON")
  parser.add_argument("--files", default="", help="train from there, in place of one batch")
  parser.add_argument("--intra", type=int, default=0, help="threads of an operation; 0: default")
  parser.add_argument("--inter", type=int, default=0, help="operations at once; 0: default")
  arguments = parser.parse_args()
  runtime.silence_tensorflow_logs()
  tensorflow = runtime.import_quietly("tensorflow")
  tensorflow.config.threading.set_intra_op_parallelism_threads(arguments.intra)
  tensorflow.config.threading.set_inter_op_parallelism_threads(arguments.inter)
  runtime.start_tensorflow()
  config = make_config(
    arguments.model, arguments.precision, settings=arguments.settings, files=arguments.files
  )
  steps = make_steps(config)
  batches = run(steps, config, from_files(config) if arguments.files else resident(config))
  for _ in range(-(-step_setting.WARM_STEPS // config.steps_per_execution)):
    next(batches)
  about = {
    "versions": {"tensorflow": metadata.version("tensorflow")},
    "flop_per_image": flop_per_image(steps.model),
    "parameters": sum(int(tensorflow.size(v)) for v in steps.model.variables),
  }
  start = _FILES_SECONDS if arguments.files else 0.0
  protocol.serve(batches, replies, about=about, start=start)


if __name__ == "__main__":
  main()
