"""What holds for every backbone. The suite finds the modules by itself."""

from __future__ import annotations

import importlib
import pathlib
import pkgutil
import subprocess
import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import backbones, plugins

_NAMES = [m.name for m in pkgutil.iter_modules(backbones.__path__) if m.name[0] != "_"]

# So narrow that every layer has few channels: the suite tests the wiring, which no width changes.
_NARROW = 0.02


@pytest.fixture(params=_NAMES)
def backbone(request: pytest.FixtureRequest) -> types.ModuleType:
  return importlib.import_module(f"sbae_tf.backbones.{request.param}")


@pytest.fixture(autouse=True)
def seed() -> None:
  tf.keras.utils.set_random_seed(0)


@pytest.fixture
def mixed_bfloat16() -> Iterator[None]:
  before = tf.keras.mixed_precision.global_policy()
  tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
  yield
  tf.keras.mixed_precision.set_global_policy(before)


def _images(batch: int, height: int, width: int, channels: int, seed: int = 0) -> tf.Tensor:
  return tf.random.stateless_normal((batch, height, width, channels), seed=(seed, 1))


def _assert_same_maps(actual: dict, expected: dict) -> None:
  assert set(actual) == set(expected)
  for name, feature_map in expected.items():
    # Of the order of 1: the sums are long and their order differs between eager and compiled.
    np.testing.assert_allclose(actual[name], feature_map, atol=1e-3, rtol=1e-3)


def test_finds_the_backbones() -> None:
  assert {"simplenet", "resnet18", "alexnet"} <= set(_NAMES)


def test_module_declares_its_contract_as_literals(backbone: types.ModuleType) -> None:
  plugin = plugins.find("backbone", backbone.__name__.rsplit(".", 1)[1])
  assert plugin.summary.endswith(".") and len(plugin.summary) <= 100
  assert plugin.constants["STRIDE"] == backbone.STRIDE
  assert plugin.constants["FEATURES"] == backbone.FEATURES
  assert len(set(backbone.FEATURES)) == len(backbone.FEATURES)
  assert plugin.options["width"].type == "float"
  assert all(not option.required for option in plugin.options.values())
  assert all(o.type in ("float", "int", "str", "bool") for o in plugin.options.values())


def test_contract_is_read_without_tensorflow() -> None:
  code = (
    "import sys, sbae_tf.backbones; from sbae_tf import plugins; "
    "assert plugins.names('backbone'); assert 'tensorflow' not in sys.modules"
  )
  subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_maps_have_the_names_and_shapes_promised(backbone: types.ModuleType) -> None:
  tower = backbone.build(2, width=_NARROW)
  stride = backbone.STRIDE
  for height, width in ((96, 96), (64, 64), (160, 96), (stride, 3 * stride)):
    maps = tower(_images(2, height, width, 2))
    assert tuple(maps) == backbone.FEATURES
    for feature_map in maps.values():
      batch, h, w, channels = feature_map.shape
      assert (batch, channels % 8) == (2, 0)
      assert height % h == 0 and height // h == width // w <= stride
    assert tuple(maps[backbone.FEATURES[-1]].shape[1:3]) == (height // stride, width // stride)
  assert tower(_images(1, 96, 96, 2))[backbone.FEATURES[-1]].shape[1:3] == (12, 12)
  assert tower.input.shape.as_list() == [None, None, None, 2]


def test_maps_are_float32_finite_and_rectified(backbone: types.ModuleType) -> None:
  for feature_map in backbone.build(1, width=_NARROW)(_images(2, 64, 64, 1)).values():
    assert feature_map.dtype == tf.float32
    assert np.isfinite(feature_map).all()
    assert np.min(feature_map) == 0 < np.max(feature_map)


def test_layers_are_named_after_the_features(backbone: types.ModuleType) -> None:
  names, again = ([layer.name for layer in backbone.build(c, width=_NARROW).layers] for c in (1, 2))
  assert names == again
  assert len(set(names)) == len(names)
  assert all(n == "images" or n.split("_")[0] in backbone.FEATURES for n in names)
  assert "conv1" in names and "conv1_bn" in names


def test_towers_share_no_variable(backbone: types.ModuleType) -> None:
  first, second = (backbone.build(1, width=_NARROW) for _ in range(2))
  assert not {v.ref() for v in first.variables} & {v.ref() for v in second.variables}
  # Towers can be layers of one functional model, which wants unique names of its layers.
  inputs = [tf.keras.Input((None, None, 1)) for _ in range(2)]
  joined = tf.keras.Model(inputs, [first(inputs[0]), second(inputs[1])])
  assert len(joined.variables) == len(first.variables) + len(second.variables)


def test_seed_decides_the_initial_weights(backbone: types.ModuleType) -> None:
  def weights(seed: int) -> list[np.ndarray]:
    tf.keras.utils.set_random_seed(seed)
    return [w for w in backbone.build(1, width=_NARROW).get_weights() if w.ndim == 4]

  for first, same, other in zip(weights(3), weights(3), weights(4)):
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_every_map_depends_on_its_own_image_only(backbone: types.ModuleType) -> None:
  tower = backbone.build(1, width=_NARROW)
  images = _images(2, 64, 64, 1)
  together = tower(images, training=False)
  _assert_same_maps({n: x[:1] for n, x in together.items()}, tower(images[:1], training=False))
  for feature_map in together.values():
    assert np.abs(feature_map[0] - feature_map[1]).max() > 0.01


def test_last_map_depends_on_every_input_channel(backbone: types.ModuleType) -> None:
  tower = backbone.build(3, width=_NARROW)
  images = _images(1, 64, 64, 3)
  with tf.GradientTape() as tape:
    tape.watch(images)
    output = tf.reduce_sum(tower(images)[backbone.FEATURES[-1]])
  gradient = tape.gradient(output, images)
  assert (np.abs(gradient).max(axis=(0, 1, 2)) > 0).all()


def test_gradient_of_the_last_map_reaches_every_weight(backbone: types.ModuleType) -> None:
  tower = backbone.build(2, width=_NARROW)
  with tf.GradientTape() as tape:
    last_map = tower(_images(4, 64, 64, 2), training=True)[backbone.FEATURES[-1]]
    # A plain sum would be blind to the weights before a batch normalization.
    loss = tf.reduce_sum(last_map * tf.random.stateless_normal(last_map.shape, seed=(5, 6)))
  gradients = tape.gradient(loss, tower.trainable_variables)
  for variable, gradient in zip(tower.trainable_variables, gradients):
    assert gradient is not None, variable.name
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, variable.name


def test_training_updates_the_statistics_and_inference_does_not(
  backbone: types.ModuleType,
) -> None:
  tower = backbone.build(1, width=_NARROW)
  before = [v.numpy() for v in tower.non_trainable_variables]
  tower(_images(2, 64, 64, 1), training=False)
  for variable, value in zip(tower.non_trainable_variables, before):
    np.testing.assert_array_equal(variable, value)
  tower(_images(2, 64, 64, 1), training=True)
  assert len(before) > 0
  for variable, value in zip(tower.non_trainable_variables, before):
    assert not np.array_equal(variable, value), variable.name


def test_half_the_width_halves_the_channels(backbone: types.ModuleType) -> None:
  with tf.Graph().as_default():  # Shapes only: no memory for the weights.
    whole, half = (
      {name: x.shape[-1] for name, x in backbone.build(1, width=width).output.items()}
      for width in (2.0, 1.0)
    )
  assert tuple(half) == backbone.FEATURES
  assert whole == {name: 2 * channels for name, channels in half.items()}


@pytest.mark.parametrize("width", [0.0, -0.5, float("nan"), float("inf"), "1", None, True])
def test_bad_width_is_an_error(backbone: types.ModuleType, width: object) -> None:
  with pytest.raises(ValueError, match=r"`width`.*Received: "):
    backbone.build(1, width=width)


@pytest.mark.parametrize("channels", [0, -1, 1.0, None])
def test_bad_channels_are_an_error(backbone: types.ModuleType, channels: object) -> None:
  with pytest.raises(ValueError, match=r"`channels`.*Received: "):
    backbone.build(channels, width=_NARROW)


def test_mixed_bfloat16(backbone: types.ModuleType, mixed_bfloat16: None) -> None:
  tower = backbone.build(2, width=_NARROW)
  assert all(v.dtype == tf.float32 for v in tower.variables)
  assert tower.input.dtype == tf.float32
  for feature_map in tower(_images(2, 64, 64, 2), training=True).values():
    assert feature_map.dtype == tf.bfloat16
    assert np.isfinite(tf.cast(feature_map, tf.float32)).all()


def test_function_equals_eager(backbone: types.ModuleType) -> None:
  tower = backbone.build(1, width=_NARROW)
  images = _images(2, 64, 64, 1)
  compiled = tf.function(tower, input_signature=[tf.TensorSpec((None, None, None, 1))])
  _assert_same_maps(compiled(images), tower(images))


def test_config_round_trip(backbone: types.ModuleType) -> None:
  tower = backbone.build(2, width=_NARROW)
  rebuilt = tf.keras.Model.from_config(tower.get_config())
  rebuilt.set_weights(tower.get_weights())
  images = _images(1, 64, 64, 2)
  assert [v.name for v in rebuilt.variables] == [v.name for v in tower.variables]
  _assert_same_maps(rebuilt(images), tower(images))


def test_saved_model_round_trip(backbone: types.ModuleType, tmp_path: pathlib.Path) -> None:
  tower = backbone.build(1, width=_NARROW)
  tower(_images(2, 64, 64, 1, seed=3), training=True)  # Statistics other than the initial ones.
  tf.saved_model.save(tower, str(tmp_path))
  loaded = tf.saved_model.load(str(tmp_path))
  images = _images(2, 64, 96, 1)
  _assert_same_maps(loaded(images, training=False), tower(images, training=False))
  assert [v.name for v in loaded.variables] == [v.name for v in tower.variables]
