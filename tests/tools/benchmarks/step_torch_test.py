"""PyTorch's step against this package's: the same weights give the same losses."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from tools.benchmarks import step_sbae, torch_environment
from tools.benchmarks.contestant import ROOT

_PARAMETERS = {"simplenet": 706_040, "resnet18": 6_835_752}
_STEPS = 4
_LEARNING_RATE = 1e-3  # High, so that a wrong gradient shows in the next loss.

_OTHER_SIDE = """
import json, sys
import numpy, torch
from tools.benchmarks import step_torch
from tools.benchmarks.step_torch_model import SplitBrain, flop_per_image

path, model, precision, compiled, steps, learning_rate = sys.argv[1:]
given = {name: torch.from_numpy(value) for name, value in numpy.load(path).items()}
images = given.pop("images")
model = SplitBrain(model, tensorflow_padding=True)
missing = model.load_state_dict(given, strict=False)
assert not missing.unexpected_keys, missing
assert all("running" in name or "tracked" in name for name in missing.missing_keys), missing
before = {name: value.clone() for name, value in model.state_dict().items()}
flop = flop_per_image(model, size=96)
assert all(bool((value == before[name]).all()) for name, value in model.state_dict().items())
inputs, targets = model.prepare(images)
step = step_torch.make_step(
  model, precision=precision, compiled=compiled == "compiled", learning_rate=float(learning_rate)
)
losses = [step(images) for _ in range(int(steps))]
print(json.dumps({
  "losses": losses,
  "flop_per_image": flop,
  "parameters": model.parameters_and_statistics(),
  "inputs": [x.permute(0, 2, 3, 1).tolist() for x in inputs],
  "targets": [t.tolist() for t in targets],
}))
"""


@pytest.fixture(name="torch_python", scope="module")
def _torch_python():
  """The interpreter with PyTorch: of `SBAE_TORCH_PYTHON`, or that which the benchmark made."""
  if "SBAE_TORCH_PYTHON" in os.environ:
    return pathlib.Path(os.environ["SBAE_TORCH_PYTHON"])
  if (torch_environment.FOLDER / ".finished").is_file():
    return torch_environment.FOLDER / "bin/python"
  return pytest.skip("There is no environment with PyTorch; SBAE_TORCH_PYTHON names one")


def _weights(model):
  """The model's trainable weights, by PyTorch's names and in its layout."""
  weights = {}
  for i, tower in enumerate(model.encoder.towers):
    for layer in tower.layers:
      name = layer.name.removesuffix("_bn")
      if "_block" in name:
        name = ".".join(name.rsplit("_", 1))
      if isinstance(layer, tf.keras.layers.Conv2D):
        weights[f"towers.{i}.{name}.conv.weight"] = _kernel(layer)
      elif isinstance(layer, tf.keras.layers.BatchNormalization):
        weights[f"towers.{i}.{name}.norm.weight"] = layer.gamma.numpy()
        weights[f"towers.{i}.{name}.norm.bias"] = layer.beta.numpy()
  for i, head in enumerate(model.heads):
    weights[f"heads.{i}.weight"] = _kernel(head.layers[-1])
    weights[f"heads.{i}.bias"] = head.layers[-1].bias.numpy()
  assert len(weights) == len(model.trainable_variables)
  return weights


def _kernel(layer):
  return np.ascontiguousarray(layer.kernel.numpy().transpose(3, 2, 0, 1))


def _both(torch_python, tmp_path, images, *, model, precision="float32", compiled=False):
  """The package's steps and what PyTorch's side says, of the same weights and photographs."""
  config = step_sbae.make_config(model, precision, settings={"learning_rate": _LEARNING_RATE})
  config = dataclasses.replace(config, batch_size=len(images))
  steps = step_sbae.make_steps(config)
  np.savez(tmp_path / "given.npz", images=images, **_weights(steps.model))
  result = subprocess.run(
    [
      *(str(torch_python), "-c", _OTHER_SIDE, str(tmp_path / "given.npz"), model, precision),
      *("compiled" if compiled else "eager", str(_STEPS), str(_LEARNING_RATE)),
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr
  return steps, json.loads(result.stdout)


@pytest.mark.parametrize("model", list(_PARAMETERS))
def test_the_same_weights_give_the_same_losses(torch_python, images, tmp_path, model):
  steps, other = _both(torch_python, tmp_path, images, model=model)
  prepared = steps.model.prepare(tf.constant(images))
  for ours, theirs in zip(prepared.inputs, other["inputs"]):
    np.testing.assert_allclose(theirs, ours, atol=5e-6)
  for ours, theirs in zip(prepared.targets, other["targets"]):
    np.testing.assert_array_equal(theirs, ours)
  losses = [float(steps.train(tf.constant(images))["total"]) for _ in range(_STEPS)]
  assert other["losses"][0] == pytest.approx(losses[0], rel=1e-5)
  assert other["losses"] == pytest.approx(losses, rel=2e-3)
  assert losses[-1] < 0.98 * losses[0]  # Trained for long enough for a difference to show.
  assert other["parameters"] == _PARAMETERS[model]
  assert other["parameters"] == sum(int(tf.size(v)) for v in steps.model.variables)
  assert other["flop_per_image"] == step_sbae.flop_per_image(steps.model)


def test_bfloat16_is_close(torch_python, images, tmp_path):
  steps, other = _both(torch_python, tmp_path, images, model="simplenet", precision="bfloat16")
  losses = [float(steps.train(tf.constant(images))["total"]) for _ in range(_STEPS)]
  assert other["losses"] == pytest.approx(losses, rel=2e-2)
  exact, _ = _both(torch_python, tmp_path, images, model="simplenet")
  assert other["losses"][0] != pytest.approx(
    float(exact.train(tf.constant(images))["total"]), rel=1e-5
  )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_is_the_same(torch_python, images, tmp_path, precision):
  of = {"model": "simplenet", "precision": precision}
  _, eager = _both(torch_python, tmp_path, images, **of)
  _, compiled = _both(torch_python, tmp_path, images, **of, compiled=True)
  rel = 2e-3 if precision == "float32" else 2e-2
  assert compiled["losses"] == pytest.approx(eager["losses"], rel=rel)
