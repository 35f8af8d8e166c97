"""Accuracy of the whole network, trained further with a classifier on it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sbae_tf import runtime
from sbae_tf.data import pipeline
from sbae_tf.evaluation import plots
from sbae_tf.evaluation.epochs import Epoch
from sbae_tf.evaluation.fine_tuner import FineTuner, check_options
from sbae_tf.evaluation.labelled import Labelled, draw, split
from sbae_tf.evaluation.logistic_regression import top_k_accuracy
from sbae_tf.evaluation.protocol import Context, Figure, Protocol, Section, Table
from sbae_tf.run_folder import folder_aside
from sbae_tf.writing import writing

MODEL = "finetuned"  # The SavedModel's folder in the report's.
_CURVE = "finetune.png"


@dataclasses.dataclass(frozen=True)
class FineTune(Protocol):
  """Trains encoder and classifier, keeps the best epoch, measures and exports it.

  Attributes: as the arguments of `build`.
  """

  epochs: int
  batch_size: int
  learning_rate: float
  patience: int
  validation: float
  layer_decay: float
  layers: tuple[str, ...]
  grid: int
  labels: int
  crop_area: float

  def run(self, context: Context) -> Section:
    train, validation = self._parts(context.train, seed=context.seed)
    with context.subject.training() as encoder:
      tuner = FineTuner(
        context.subject,
        encoder,
        classes=len(train.class_names),
        layers=self.layers,
        batch_size=self.batch_size,
        learning_rate=self.learning_rate,
        layer_decay=self.layer_decay,
        grid=self.grid,
        crop_area=self.crop_area,
      )
      steps = pipeline.steps_per_epoch(train.source, min(len(train), self.batch_size))
      epochs, best = tuner.fit(
        train,
        steps=self.epochs * steps,
        steps_per_epoch=steps,
        seed=context.seed,
        validation=validation,
        patience=self.patience,
        say=lambda epoch: context.say(f"finetune: {_told(epoch)}"),
      )
      assert best is not None  # There is a validation part.
      logits = tuner.logits_of(context.test)
      export_classifier(tuner, train.class_names, context.folder / MODEL)
    section = _section(context, tuner.layers, epochs, best, logits, trained_on=len(train))
    return dataclasses.replace(section, figures=_figures(context, epochs, best))

  def _parts(self, data: Labelled, *, seed: int) -> tuple[Labelled, Labelled]:
    """What is trained on, and what chooses the epoch."""
    if self.labels:
      data = data.subset(draw(data.labels, self.labels, seed=seed))
    first, second = split(data.labels, self.validation, seed=seed)
    if not len(second):
      raise ValueError(
        "Expected two photographs of a class or more, for one of them chooses the epoch. Received "
        f"one of each: {data.source.description}."
      )
    return data.subset(first), data.subset(second)


def build(
  *,
  epochs: int = 30,
  batch_size: int = 32,
  learning_rate: float = 1e-3,
  patience: int = 5,
  validation: float = 0.1,
  layer_decay: float = 1.0,
  layers: str = "",
  grid: int = 3,
  labels: int = 0,
  crop_area: float = 0.5,
) -> FineTune:
  """Trains the whole network and a linear classifier on the concatenated features of its layers.

  Adam; the learning rate loses a tenth each epoch; random crops and flips. The best epoch on a part
  of the training photographs is kept, measured on the test photographs, and written as a SavedModel
  to `finetuned` in the report's folder.

  Args:
    epochs: at most.
    batch_size: B.
    learning_rate: in the first epoch.
    patience: ends after so many epochs that are not better than the best; 0 does not.
    validation: the part of the training photographs that chooses the epoch, in (0, 1).
    layer_decay: each layer's learning rate is that of the next one times this, the classifier
      being the last; 1: one rate for all.
    layers: names of the features that the classifier sees, with commas between; empty: all maps.
    grid: the classifier sees means of each map over so many cells a side; 1: over all of it.
    labels: photographs of a class that are taken at all, of which a part is for validation; 0: all
      of them.
    crop_area: the smallest part of a photograph's area that a random crop keeps, in (0, 1].

  Raises:
    ValueError: an option is out of range.

  Reference: Budhkar, Casabuena and Iyengar 2019.
  """
  for name, value, least in (("epochs", epochs, 1), ("patience", patience, 0)):
    if value < least:
      raise ValueError(f"Expected `{name}` of {least} or more. Received: {value}")
  if labels < 0 or labels == 1:
    raise ValueError(f"Expected `labels` 0, or 2 or more. Received: {labels}")
  check_options(
    batch_size=batch_size,
    learning_rate=learning_rate,
    layer_decay=layer_decay,
    grid=grid,
    crop_area=crop_area,
  )
  if not 0 < validation < 1:
    raise ValueError(f"Expected `validation` between 0 and 1. Received: {validation}")
  return FineTune(
    epochs=epochs,
    batch_size=batch_size,
    learning_rate=learning_rate,
    patience=patience,
    validation=validation,
    layer_decay=layer_decay,
    layers=names_of(layers),
    grid=grid,
    labels=labels,
    crop_area=crop_area,
  )


def names_of(text: str) -> tuple[str, ...]:
  """Names between commas."""
  return tuple(name.strip() for name in text.split(",") if name.strip())


def export_classifier(tuner: FineTuner, class_names: Sequence[str], path: pathlib.Path) -> None:
  """Writes encoder and classifier as a SavedModel that needs nothing but TensorFlow.

  Its signature `serving_default` takes `images`, (B, S, S, 3) uint8, any B, and returns
  `probabilities` (B, K) float32, `class_ids` (B,) int64, the most probable class, and `class_names`
  (B,) string, its name. All names, in the order of the probabilities, are in
  `assets/class_names.json`. Written aside and renamed; one that is there is replaced.

  Args:
    tuner: with the weights that are to be written.
    class_names: K names.
    path: the SavedModel's folder.

  Raises:
    WriteError: the disk is full, or the like.
  """
  side = tuner.image_size

  @tf.function(
    input_signature=[tf.TensorSpec((None, side, side, tuner.planes), tf.uint8, name="images")],
    autograph=False,
  )
  def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
    probabilities = tf.nn.softmax(tuner.logits(images))
    ids = tf.argmax(probabilities, axis=1)
    names = tf.gather(tf.constant(list(class_names)), ids)
    return {"probabilities": probabilities, "class_ids": ids, "class_names": names}

  with writing(path, tf.errors.OpError), tempfile.TemporaryDirectory() as temporary:
    file = pathlib.Path(temporary) / "class_names.json"
    file.write_text(json.dumps(list(class_names), indent=2) + "\n", encoding="utf-8")
    saved = tf.train.Checkpoint(**tuner.modules, names=tf.saved_model.Asset(str(file)))
    with folder_aside(path) as aside, runtime.quiet_logs():
      tf.saved_model.save(saved, str(aside), signatures={"serving_default": classify})


def _told(epoch: Epoch) -> str:
  text = f"epoch {epoch.number}  loss {epoch.loss:.3f}"
  return text if epoch.accuracy is None else f"{text}  validation {epoch.accuracy:.1%}"


def _figures(context: Context, epochs: Sequence[Epoch], best: Epoch) -> tuple[Figure, ...]:
  try:
    plots.check_matplotlib()
  except ValueError as error:
    context.say(f"finetune: no picture. {error}")
    return ()
  numbers, accuracies = zip(*((epoch.number, epoch.accuracy or 0.0) for epoch in epochs))
  plots.accuracy_curve(
    context.folder / _CURVE,
    title="Fine-tuning",
    xlabel="epoch",
    ylabel="top-1 accuracy on validation photographs",
    series={"validation": (numbers, accuracies, None)},
    chance=1 / len(context.train.class_names),
  )
  caption = (
    "Top-1 accuracy on photographs that were held back for it, after each epoch. The network of "
    f"epoch {best.number} was kept."
  )
  return (Figure("Fine-tuning", _CURVE, caption),)


def _section(
  context: Context,
  layers: Sequence[str],
  epochs: Sequence[Epoch],
  best: Epoch,
  logits: np.ndarray,
  *,
  trained_on: int,
) -> Section:
  top1, top5 = (top_k_accuracy(logits, context.test.labels, k) for k in (1, 5))
  head = ("Top-1", "Top-5", "Top-1 in validation", "Best epoch", "Epochs", "Photographs")
  row = (
    *map(_percent, (top1, top5, best.accuracy)),
    *(str(best.number), str(len(epochs)), f"{trained_on:,}"),
  )
  return Section(
    f"{_percent(top1)} after {best.number} epochs of {trained_on:,} photographs, on the features "
    f"{', '.join(layers)}",
    {
      "top1": top1,
      "top5": top5,
      "epochs": len(epochs),
      "best_epoch": best.number,
      "validation": best.accuracy,
      "curve": [dataclasses.asdict(epoch) for epoch in epochs],
      "layers": list(layers),
      "trained_on": trained_on,
      "model": MODEL,
    },
    tables=(Table("Accuracy of the fine-tuned network", head, (row,)),),
  )


def _percent(value: float | None) -> str:
  return "-" if value is None else f"{100 * value:.1f}%"
