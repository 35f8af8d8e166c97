"""Fine-tuning learns, keeps the best epoch, repeats to the bit, leaves the encoder as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf.data import pipeline
from sbae_tf.encoder import Encoder
from sbae_tf.evaluation import subject as subject_lib
from sbae_tf.evaluation.epochs import Epoch
from sbae_tf.evaluation.fine_tuner import FineTuner
from sbae_tf.failures import NonFiniteLossError


@pytest.fixture(scope="module")
def subject(small_config) -> subject_lib.Subject:
  tf.keras.utils.set_random_seed(0)
  return subject_lib.of_encoder(Encoder(small_config))


class _Counting:
  """An encoder; counts the calls, which are traces or eager ones."""

  def __init__(self, encoder: Encoder) -> None:
    self.encoder, self.calls = encoder, []
    self.variables, self.trainable_variables = encoder.variables, encoder.trainable_variables

  def __call__(self, images: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
    self.calls.append(training)
    return self.encoder(images, training=training)


@pytest.fixture(scope="module")
def encoder(subject) -> Iterator[_Counting]:
  with subject.training() as live:
    yield _Counting(live)


@pytest.fixture(scope="module")
def tuner(subject, encoder) -> FineTuner:
  """One for all tests, for compiling takes seconds: each `fit` starts from the same weights."""
  return FineTuner(subject, encoder, classes=3, batch_size=16, learning_rate=3e-3)


def _values(variables) -> list[np.ndarray]:
  return [variable.numpy() for variable in variables]


def _noise(*, seed: int, batches: int = 1) -> list[dict[str, tf.Tensor]]:
  """Batches of 16, for tests to which it does not matter what is learnt: reading takes seconds."""
  rng = np.random.default_rng(seed)
  return [
    {
      "image": tf.constant(rng.integers(0, 256, (16, 32, 32, 3)), tf.uint8),
      "label": tf.constant(rng.integers(0, 3, 16), tf.int32),
    }
    for _ in range(batches)
  ]


def _watch_datasets(monkeypatch) -> list[dict]:
  """The arguments of the calls of `train_dataset` to come."""
  calls, train_dataset = [], pipeline.train_dataset

  def watched(source, **options):
    calls.append({"source": source, **options})
    return train_dataset(source, **options)

  monkeypatch.setattr(pipeline, "train_dataset", watched)
  return calls


def test_learns(tuner, squares):
  train, test = squares
  assert tuner.layers == ("conv1", "conv2", "conv3", "conv4", "conv5")
  told = []
  epochs, best = tuner.fit(
    train, steps=18, steps_per_epoch=5, seed=0, validation=test, say=told.append
  )
  assert told == epochs and [epoch.number for epoch in epochs] == [1, 2, 3, 4]
  assert 2 * epochs[-1].loss < epochs[0].loss < 1.5
  # What is told of the best epoch is what the weights that were kept give.
  logits = tuner.logits_of(test)
  accuracy = np.mean(logits.argmax(axis=1) == test.labels)
  assert best.accuracy == max(epoch.accuracy for epoch in epochs) == accuracy >= 0.9
  largest = logits.max(axis=1)
  picked = logits[np.arange(len(test)), test.labels]
  sums = np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest
  assert best.validation_loss == pytest.approx(np.mean(sums - picked), rel=1e-4)


def test_repeats_to_the_bit(tuner, encoder, squares, monkeypatch):
  train, test = squares
  set_rate, rates = tuner.rates.set, []
  monkeypatch.setattr(tuner.rates, "set", lambda rate: (rates.append(rate), set_rate(rate)))
  made = _watch_datasets(monkeypatch)

  def run():
    epochs, best = tuner.fit(train, steps=5, steps_per_epoch=2, seed=3)
    assert best is None
    return [epoch.loss for epoch in epochs], tuner.logits_of(test)

  losses, logits = run()
  tuner._train(*_noise(seed=0)[0].values())  # From the start, whatever was trained between.
  again_losses, again = run()
  assert losses == again_losses
  np.testing.assert_array_equal(again, logits)
  assert rates == pytest.approx(2 * [3e-3, 2.7e-3, 2.43e-3])  # A tenth less each epoch.
  assert [(m["seed"], m["area"]) for m in made] == 2 * [(3, (0.5, 1.0))]
  assert encoder.calls.count(True) == 1  # It was compiled once, for all tests.


def test_the_best_epoch_is_kept(tuner, encoder, squares, monkeypatch):
  """The accuracies are made up: the second epoch is the best, three after it are waited for."""
  accuracies = iter([0.5, 0.9, 0.7, 0.9, 0.9, 0.95])
  losses = iter([1.0, 0.5, 0.1, 0.5, 0.6, 0.1])
  states = []

  def judged(epoch, validation):
    assert validation is squares[1]
    states.append(_values(encoder.variables))
    return dataclasses.replace(epoch, accuracy=next(accuracies), validation_loss=next(losses))

  monkeypatch.setattr(tuner, "_judged", judged)
  batches = _noise(seed=0, batches=12)
  monkeypatch.setattr(tuner._batches, "training", lambda *_, **__: iter(batches))
  epochs, best = tuner.fit(
    squares[0], steps=12, steps_per_epoch=2, seed=0, validation=squares[1], patience=3
  )
  assert len(epochs) == 5 and best is epochs[1]
  for variable, second, last in zip(encoder.variables, states[1], states[4]):
    np.testing.assert_array_equal(variable, second)
    assert np.any(second != last)


def test_better_is_more_right_or_as_many_and_surer():
  epoch = Epoch(1, 0.0, accuracy=0.5, validation_loss=1.0)
  assert epoch.is_better_than(None) and not epoch.is_better_than(epoch)
  assert Epoch(2, 0.0, 0.5, 0.9).is_better_than(epoch)
  assert not Epoch(2, 0.0, 0.4, 0.1).is_better_than(epoch)
  assert not Epoch(2, 0.0).is_better_than(None)


def test_a_saved_model_learns_by_layers_and_is_restored(squares, others_model, monkeypatch):
  saved = subject_lib.of_saved_model(others_model)
  with saved.training() as loaded:
    before = _values(loaded.variables)
    tuner = FineTuner(saved, loaded, classes=3, layers=["conv2"], batch_size=16, layer_decay=0.5)
    monkeypatch.setattr(
      tuner._batches, "training", lambda *_, **__: iter(_noise(seed=0, batches=2))
    )
    # The first step moves the classifier only, which was zero.
    tuner.fit(squares[0], steps=2, steps_per_epoch=2, seed=0)
    moves = [np.abs(a - b).max() for a, b in zip(_values(loaded.variables), before)]
    variables = list(loaded.variables)
  # Adam's step t, the first one with a gradient, has the size of the rate times (1 - 0.9) /
  # (1 - 0.9^t) / sqrt((1 - 0.999) / (1 - 0.999^t)), whatever the gradient. conv10, the last layer,
  # has half of the classifier's rate, and is not seen.
  size = 1e-3 * 0.1 / (1 - 0.9**2) / np.sqrt(0.001 / (1 - 0.999**2))
  assert moves == pytest.approx([size / 8, size / 4, 0.0], rel=0.01)
  for variable, was in zip(variables, before):
    np.testing.assert_array_equal(variable, was)


def test_errors(subject, encoder, tuner, squares, write_squares, tmp_path, monkeypatch):
  with pytest.raises(ValueError, match="conv1, conv2.*Received: conv9"):
    FineTuner(subject, encoder, classes=3, layers=["conv9"])
  with pytest.raises(ValueError, match="layer_decay.*-1"):
    FineTuner(subject, encoder, classes=3, layer_decay=-1.0)
  with pytest.raises(ValueError, match="does not return conv1"):
    FineTuner(subject, _Plain(), classes=3)
  broken = write_squares(tmp_path, each=2, seed=0)
  (tmp_path / "red" / "01.jpg").write_bytes(b"nothing")
  made = _watch_datasets(monkeypatch)
  for read in (tuner.logits_of, lambda d: tuner.fit(d, steps=9, steps_per_epoch=9, seed=0)):
    with pytest.raises(ValueError, match=r"Cannot read .*red/01\.jpg"):
      read(broken)
  assert list(made[0]["source"].labels) == 3 * [0, 0, 1, 1, 2, 2]  # They fill a batch of 16.
  monkeypatch.setattr(tuner._batches, "training", lambda *_, **__: iter(_noise(seed=0)))
  monkeypatch.setattr(tuner, "_train", lambda *_: tf.constant(np.nan))
  with pytest.raises(NonFiniteLossError, match="nan in epoch 1.*learning_rate"):
    tuner.fit(squares[0], steps=1, steps_per_epoch=1, seed=0)


class _Plain:
  """As SavedModels of others are: one tensor, without names."""

  trainable_variables: tuple[tf.Variable, ...] = ()
  variables = trainable_variables

  def __call__(self, images: tf.Tensor, training: bool) -> tf.Tensor:
    return tf.zeros((1, 5))
