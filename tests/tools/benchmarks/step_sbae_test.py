"""The package's side of the step's benchmark."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import tensorflow as tf

from sbae_tf.config import DataConfig
from tools.benchmarks import crops, step_sbae, step_setting


def _small(**settings):
  config = step_sbae.make_config("simplenet", "float32", settings=settings)
  return dataclasses.replace(config, batch_size=4, data=DataConfig(image_size=32))


def test_the_configuration_is_the_presets():
  config = step_sbae.make_config(
    "resnet18", "bfloat16", settings={"jit_compile": "true"}, files="some"
  )
  assert config.backbone.name == "resnet18" and config.color.name == "lab"
  assert (config.precision, config.jit_compile) == ("mixed_bfloat16", "true")
  assert (config.batch_size, config.data.image_size) == (crops.BATCH_SIZE, crops.IMAGE_SIZE)
  assert config.data.path == "some" and config.color_placement == "device"


@pytest.mark.parametrize(
  ("model", "parameters", "first", "others"),
  [
    # Multiplications of the towers' first convolutions, one channel and two, and of all others.
    (
      "simplenet",
      706_040,
      48 * 48 * 25 * 3 * 16,
      2
      * (
        24 * 24 * 9 * 16 * 64 + 12 * 12 * (9 * 64 * 128 + 9 * 128 * 128 + 9 * 128 * 96 + 96 * 100)
      ),
    ),
    (
      "resnet18",
      6_835_752,
      48 * 48 * 49 * 3 * 32,
      2
      * (
        24 * 24 * 4 * 9 * 32 * 32
        + 12 * 12 * (9 * 32 * 64 + 3 * 9 * 64 * 64 + 32 * 64)
        + 12 * 12 * (9 * 64 * 128 + 3 * 9 * 128 * 128 + 64 * 128)
        + 12 * 12 * (9 * 128 * 256 + 3 * 9 * 256 * 256 + 128 * 256)
        + 12 * 12 * (9 * 256 * 256 + 256 * 100)
      ),
    ),
  ],
)
def test_arithmetic_is_counted_from_the_layers(model, parameters, first, others):
  steps = step_sbae.make_steps(step_sbae.make_config(model, "float32", settings={}))
  assert step_sbae.flop_per_image(steps.model) == 4 * first + 6 * others
  assert sum(int(tf.size(v)) for v in steps.model.variables) == parameters


def test_photographs_are_the_same_at_every_call():
  one = step_setting.photographs(2, size=8)
  assert len(one) == 2 * 8 * 8 * 3 and one == step_setting.photographs(2, size=8)
  assert len(set(one)) > 100


@pytest.mark.parametrize("count", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_steps_train_on_one_batch(count):
  config = _small(steps_per_execution=count)
  steps = step_sbae.make_steps(config)
  batches = step_sbae.run(steps, config, step_sbae.resident(config))
  images = next(iter(step_sbae.resident(config)))
  assert images.shape == (4, 32, 32, 3) and images.dtype == tf.uint8
  before = float(steps.evaluate(images)["total"])
  assert list(itertools.islice(batches, 2)) == [4 * count] * 2
  assert int(steps.optimizer.iterations) == 2 * count
  list(itertools.islice(batches, 10))
  assert float(steps.evaluate(images)["total"]) < before


@pytest.mark.slow
def test_steps_from_files_take_new_photographs(monkeypatch, tmp_path):
  from PIL import Image

  for i in range(20):
    Image.new("RGB", (40, 40), (10 * i, 0, 0)).save(tmp_path / f"{i:02d}.jpg")
  config = _small()
  config = dataclasses.replace(
    config, data=dataclasses.replace(config.data, path=str(tmp_path), heldout_fraction=0.2)
  )
  batches = [batch.numpy() for batch in step_sbae.from_files(config).take(2)]
  assert [batch.shape for batch in batches] == [(4, 32, 32, 3)] * 2
  reds = {round(float(photograph[..., 0].mean()) / 10) for batch in batches for photograph in batch}
  assert len(reds) == 8
  steps = step_sbae.make_steps(config)
  running = step_sbae.run(steps, config, step_sbae.from_files(config))
  assert list(itertools.islice(running, 2)) == [4, 4] and int(steps.optimizer.iterations) == 2
