"""Few labels: both ways see the same draws, and test photographs choose nothing."""

from __future__ import annotations

import contextlib
import json
import types

import numpy as np
import pytest
from PIL import Image

from sbae_tf.evaluation import few_shot
from sbae_tf.evaluation import subject as subject_lib
from sbae_tf.evaluation.feature_cache import FeatureCache
from sbae_tf.evaluation.protocol import Context

_SHAPES = {"conv1": (4, 4, 2), "conv2": (2, 2, 2), "embedding": (2,)}


class _Fake:
  """A subject, features, classifiers and a fine-tuner that enter what they are given.

  Features are a photograph's number, whether it is of the test part, and its layer's. On held
  photographs of the training part conv1 is always right and conv2 never; in the test part it is the
  other way around.
  """

  def __init__(self, squares, monkeypatch) -> None:
    self.train, self.test = squares
    self.fitted, self.tuned = [], []
    self.maps, self.shapes = ("conv1", "conv2"), _SHAPES
    monkeypatch.setattr(few_shot, "fit_logistic", self._fit_logistic)
    monkeypatch.setattr(few_shot, "FineTuner", self._fine_tuner)

  def training(self):
    return contextlib.nullcontext("encoder")

  def prepare(self, data, layers, *, dimensions):
    assert tuple(layers) == self.maps and dimensions == 50

  def get(self, data, layer, *, dimensions):
    number = np.arange(len(data))
    is_test = np.full(len(data), data is self.test)
    return np.stack([number, is_test, np.full(len(data), int(layer[-1]))], axis=1)

  def _fit_logistic(self, features, labels, *, strengths, seed, classes):
    assert not features[:, 1].any() and len(strengths) == 1 and classes == 3
    np.testing.assert_array_equal(labels, self.train.labels[features[:, 0]])
    self.fitted.append(features)
    return types.SimpleNamespace(predict_scores=self._scores)

  def _scores(self, features):
    data = self.test if features[0, 1] else self.train
    right = (features[0, 2] == 1) != bool(features[0, 1])
    return np.eye(3)[(data.labels[features[:, 0]] + (not right)) % 3]

  def _fine_tuner(self, subject, encoder, **options):
    assert (subject, encoder, options["layers"]) == (self, "encoder", ("conv2",))
    return self

  def fit(self, data, *, steps, steps_per_epoch, seed):
    assert (steps, steps_per_epoch) == (30, 2)
    self.tuned.append([*data.source.names])

  def logits_of(self, data):
    assert data is self.test
    scores = np.eye(3)[data.labels]
    scores[: len(self.tuned)] = 0  # Right are those of the first class only.
    scores[: len(self.tuned), 2] = 1
    return scores


def _run(fake, tmp_path, *, seed=0, **options):
  context = Context(fake, fake.train, fake.test, fake, tmp_path, seed, lambda line: None)
  protocol = few_shot.build(
    **{"labels": "4,1,64", "draws": 3, "dimensions": 50, "steps": 30, "layers": "conv2", **options}
  )
  return protocol.run(context)


def test_the_same_draws_both_ways(squares, monkeypatch, tmp_path):
  fake = _Fake(squares, monkeypatch)
  section = _run(fake, tmp_path, layer="conv2")
  names = np.array([*fake.train.source.names])
  frozen = [[*names[features[:, 0]]] for features in fake.fitted]
  assert frozen == fake.tuned and len(frozen) == 6
  for one, four in zip(frozen[:3], frozen[3:]):
    assert len(one) == 3 and len(four) == 12 and set(one) < set(four)
  assert len({tuple(drawn) for drawn in frozen}) == 6
  values = section.values
  assert values["left_out"] == [64]
  assert values["frozen"]["4"] == {"mean": 1.0, "std": 0.0, "draws": [1.0, 1.0, 1.0]}
  # Of 30 so many are wrong as draws were fitted.
  expected = [1 - 4 / 30, 1 - 5 / 30, 1 - 6 / 30]
  assert values["finetuned"]["4"]["draws"] == pytest.approx(expected)
  assert values["finetuned"]["4"]["mean"] == pytest.approx(1 - 5 / 30)
  assert values["finetuned"]["4"]["std"] == pytest.approx(1 / 30)  # Of a sample: divided by 2.
  assert section.tables[0].head == ("Labels a class", "1", "4")
  assert section.tables[0].rows[1] == ("fine-tuned", "93.3 ± 3.3", "83.3 ± 3.3")
  assert "64" in section.summary and "83.3 ± 3.3% fine-tuned" in section.summary
  json.dumps(values)


def test_draws_are_of_the_seed_and_the_classes(squares, monkeypatch, tmp_path):
  def drawn(seed):
    fake = _Fake(squares, monkeypatch)
    _run(fake, tmp_path, layer="conv2", seed=seed)
    return [tuple(names) for names in fake.tuned]

  first, again, next_seed = drawn(0), drawn(0), drawn(1)
  assert first == again and not set(first[3:]) & set(next_seed[3:])


def test_test_photographs_do_not_choose_the_layer(squares, monkeypatch, tmp_path):
  """By them it were conv2."""
  fake = _Fake(squares, monkeypatch)
  section = _run(fake, tmp_path, finetune=False)
  assert section.values["layer"] == "conv1"
  assert section.values["frozen"]["4"]["mean"] == 0.0
  assert section.values["finetuned"] == {} and fake.tuned == []
  assert [len(features) for features in fake.fitted[:6]] == [9] * 6  # Three of each draw are held.
  assert len(section.tables[0].rows) == 1


def test_one_label_a_class_chooses_no_layer(squares, monkeypatch, tmp_path):
  section = _run(_Fake(squares, monkeypatch), tmp_path, labels="1", finetune=False)
  assert section.values["layer"] == "conv2"


def test_wrong_options(squares, monkeypatch, tmp_path):
  for labels in ("", "0", "1,x", "-1"):
    with pytest.raises(ValueError, match=f"Received: '{labels}'"):
      few_shot.build(labels=labels)
  for name in ("draws", "steps", "dimensions"):
    with pytest.raises(ValueError, match=f"`{name}` of 1 or more. Received: 0"):
      few_shot.build(**{name: 0})
  with pytest.raises(ValueError, match="layer_decay.*Received: 0"):
    few_shot.build(layer_decay=0.0)
  fake = _Fake(squares, monkeypatch)
  with pytest.raises(ValueError, match="conv1, conv2, embedding. Received: 'conv9'"):
    _run(fake, tmp_path, layer="conv9")
  with pytest.raises(ValueError, match=r"class 'blue' has 12 photographs. Received: \[64, 99\]"):
    _run(fake, tmp_path, labels="64,99")


@pytest.mark.slow
def test_real_ones(others_model, squares, tmp_path):
  subject = subject_lib.of_saved_model(others_model)
  train, test = squares
  cache = FeatureCache(subject, tmp_path / "features", say=lambda line: None)
  context = Context(subject, train, test, cache, tmp_path, 0, lambda line: None)
  section = few_shot.build(labels="8", draws=1, steps=30, batch_size=8, learning_rate=0.01).run(
    context
  )
  assert section.values["layer"] in ("conv1", "conv2", "conv10")
  assert section.values["frozen"]["8"]["mean"] > 0.8
  assert section.values["finetuned"]["8"]["mean"] > 0.8
  assert Image.open(tmp_path / section.figures[0].file).size[0] > 500
