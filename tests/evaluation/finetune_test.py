"""Fine-tuning as a protocol: what it tells, and that others can run what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sbae_tf.encoder import Encoder
from sbae_tf.evaluation import finetune
from sbae_tf.evaluation import subject as subject_lib
from sbae_tf.evaluation.batches import Batches
from sbae_tf.evaluation.protocol import Context
from sbae_tf.failures import WriteError

_CONSUMER = """
import json, sys
sys.modules["sbae_tf"] = None  # It cannot be imported.
import numpy as np, tensorflow as tf
folder, images, out = sys.argv[1:]
served = tf.saved_model.load(folder).signatures["serving_default"]
found = served(images=tf.constant(np.load(images)))
found = {name: value.numpy() for name, value in found.items()}
np.savez(out, **{**found, "class_names": found["class_names"].astype("S")})
"""


def _context(subject, squares, folder, **options) -> Context:
  train, test = squares
  said: Any = options.pop("say", lambda line: None)
  return Context(subject, train, test, None, folder, 0, said, **options)


def _images(test) -> np.ndarray:
  batches = Batches(image_size=32, batch_size=2, crop_area=1.0)
  return np.concatenate([images.numpy() for images in batches.central(test)])


@pytest.fixture(scope="module", params=[pytest.param("live", marks=pytest.mark.slow), "of_others"])
def subject(request, small_config, others_model) -> subject_lib.Subject:
  if request.param == "of_others":
    return subject_lib.of_saved_model(others_model)
  tf.keras.utils.set_random_seed(0)
  return subject_lib.of_encoder(Encoder(small_config))


def test_measures_restores_and_exports(subject, squares, tmp_path):
  images, said = _images(squares[1]), []
  before = {name: value.numpy() for name, value in subject.features(images).items()}
  protocol = finetune.build(
    epochs=8, batch_size=4, learning_rate=0.01, patience=3, validation=0.3, layers="conv1,conv2"
  )
  section = protocol.run(_context(subject, squares, tmp_path, say=said.append))
  for name, value in subject.features(images).items():
    np.testing.assert_array_equal(value, before[name])

  values = section.values
  json.dumps(values)
  curve = values["curve"]
  assert values["top1"] >= 0.9 and values["top5"] is None  # There are three classes.
  assert values["trained_on"] == 24 and values["layers"] == ["conv1", "conv2"]
  assert len(curve) == values["epochs"] == len(said) <= 8
  assert values["epochs"] in (8, values["best_epoch"] + 3)
  assert values["validation"] == max(epoch["accuracy"] for epoch in curve)
  assert curve[values["best_epoch"] - 1]["accuracy"] == values["validation"]
  assert f"{100 * values['top1']:.1f}%" in section.summary
  assert Image.open(tmp_path / section.figures[0].file).size[0] > 500

  assert sorted(p.name for p in tmp_path.iterdir()) == ["finetune.png", "finetuned"]
  assert json.loads((tmp_path / "finetuned/assets/class_names.json").read_text()) == [
    *("blue", "green", "red")
  ]
  np.save(tmp_path / "images.npy", images)
  arguments = [str(tmp_path / name) for name in ("finetuned", "images.npy", "out.npz")]
  environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
  subprocess.run([sys.executable, "-c", _CONSUMER, *arguments], check=True, env=environment)
  served = dict(np.load(tmp_path / "out.npz"))
  assert set(served) == {"probabilities", "class_ids", "class_names"}
  np.testing.assert_allclose(served["probabilities"].sum(axis=1), 1, rtol=1e-5)
  np.testing.assert_array_equal(served["class_ids"], served["probabilities"].argmax(axis=1))
  names = [name.decode() for name in served["class_names"]]
  assert names == [squares[1].class_names[i] for i in served["class_ids"]]
  assert np.mean(served["class_ids"] == squares[1].labels) == values["top1"]


def test_labels_limit_what_is_seen(squares, monkeypatch, tmp_path):
  protocol = finetune.build(labels=4, validation=0.25)
  train, validation = protocol._parts(squares[0], seed=1)
  assert [*np.bincount(train.labels), *np.bincount(validation.labels)] == [3, 3, 3, 1, 1, 1]
  assert not set(train.source.names) & set(validation.source.names)
  again, _ = protocol._parts(squares[0], seed=1)
  other, _ = protocol._parts(squares[0], seed=2)
  assert [*again.source.names] == [*train.source.names] != [*other.source.names]


def test_wrong_options(squares):
  for options, told in (
    ({"epochs": 0}, "epochs"),
    ({"labels": 1}, "labels"),
    ({"validation": 1.0}, "validation"),
    ({"crop_area": 0.0}, "crop_area"),
    ({"batch_size": 1}, "batch_size"),
    ({"grid": 0}, "grid"),
    ({"learning_rate": 0.0}, "learning_rate"),
  ):
    with pytest.raises(ValueError, match=f"{told}.*Received: {list(options.values())[0]}"):
      finetune.build(**options)
  with pytest.raises(ValueError, match="two photographs of a class"):
    finetune.build()._parts(squares[0].subset(np.array([0, 12, 24])), seed=0)


@pytest.mark.parametrize("error", [OSError(28, "No space left"), tf.errors.InternalError])
def test_a_full_disk_leaves_nothing(error, tmp_path, monkeypatch):
  def save(*_, **__):
    raise error if isinstance(error, OSError) else error(None, None, "No space left")

  class Tuner:
    image_size, planes, modules = 32, 3, {}

  monkeypatch.setattr(tf.saved_model, "save", save)
  with pytest.raises(WriteError, match="Cannot write .*model: No space left"):
    finetune.export_classifier(Tuner(), ["a", "b"], tmp_path / "model")
  assert list(tmp_path.iterdir()) == []
