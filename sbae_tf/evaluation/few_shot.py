"""Accuracy with a few labels a class, by a classifier on frozen features and by fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from sbae_tf.evaluation import plots
from sbae_tf.evaluation.fine_tuner import FineTuner, check_options
from sbae_tf.evaluation.finetune import names_of
from sbae_tf.evaluation.labelled import draw, split
from sbae_tf.evaluation.logistic_regression import fit_logistic, top_k_accuracy
from sbae_tf.evaluation.protocol import Context, Figure, Json, Protocol, Section, Table
from sbae_tf.evaluation.repeats import in_percent, seed_of, std

_CURVE = "few_shot.png"
_EPOCHS = 20  # Into which the steps are cut: the learning rate falls to 0.14 of what it was.
_HELD = 0.25  # Of the largest draws, to choose the layer on: of two labels a class one.
# Of the regularization, for any number of labels. There are more features than photographs: planes
# tell the classes apart without error, and it only decides among them. Weaker ones, down to 1e-5,
# gave the same within half a point (a split-brain SimpleNet, conv3 and conv5, ten classes), 1e-3 up
# to 2.6 less with 64 labels a class. One that is chosen on a quarter of the photographs misses
# these: 0 to 1 less with 4 to 64.
_STRENGTH = 1e-4

_Draws = Mapping[int, Sequence[np.ndarray]]  # Labels a class to each draw's photographs.
_Accuracies = Mapping[int, Sequence[float]]


@dataclasses.dataclass(frozen=True)
class FewShot(Protocol):
  """Measures both ways on the same draws.

  Attributes: as the arguments of `build`.
  """

  labels: tuple[int, ...]
  draws: int
  layer: str
  dimensions: int
  finetune: bool
  steps: int
  batch_size: int
  learning_rate: float
  layer_decay: float
  layers: tuple[str, ...]
  grid: int
  crop_area: float

  def run(self, context: Context) -> Section:
    if self.layer and self.layer not in context.subject.shapes:
      known = ", ".join(sorted(context.subject.shapes))
      raise ValueError(f"Expected `layer` of {known}. Received: '{self.layer}'")
    draws, left_out = self._draws(context)
    # First, for it may turn out that the encoder cannot be trained.
    finetuned = self._finetuned(context, draws) if self.finetune else {}
    layer = self.layer or self._best_layer(context, draws)
    ways = {
      f"frozen {layer}": self._frozen(context, draws, layer),
      **({"fine-tuned": finetuned} if finetuned else {}),
    }
    section = _section(layer, ways, left_out=left_out)
    return dataclasses.replace(section, figures=_figures(context, ways))

  def _draws(self, context: Context) -> tuple[_Draws, list[int]]:
    """The draws by labels a class, and the numbers of labels that are too many."""
    labels, class_names = context.train.labels, context.train.class_names
    counts = np.bincount(labels, minlength=len(class_names))
    kept = [number for number in self.labels if number <= counts.min()]
    left_out = [number for number in self.labels if number > counts.min()]
    told = f"class '{class_names[int(counts.argmin())]}' has {counts.min()} photographs"
    if not kept:
      raise ValueError(f"Expected `labels` that every class has: {told}. Received: {left_out}")
    if left_out:
      context.say(f"few_shot: left out are {', '.join(map(str, left_out))} labels: {told}")
    return {
      number: [
        draw(labels, number, seed=seed_of(context.seed, index)) for index in range(self.draws)
      ]
      for number in kept
    }, left_out

  def _finetuned(self, context: Context, draws: _Draws) -> _Accuracies:
    """Test accuracies after so many steps; nothing chooses an epoch."""
    accuracies: dict[int, list[float]] = {}
    with context.subject.training() as encoder:
      tuner = FineTuner(
        context.subject,
        encoder,
        classes=len(context.train.class_names),
        layers=self.layers,
        batch_size=self.batch_size,
        learning_rate=self.learning_rate,
        layer_decay=self.layer_decay,
        grid=self.grid,
        crop_area=self.crop_area,
      )
      for number, each in draws.items():
        accuracies[number] = []
        for index, indices in enumerate(each):
          tuner.fit(
            context.train.subset(indices),
            steps=self.steps,
            steps_per_epoch=-(-self.steps // _EPOCHS),
            seed=seed_of(context.seed, index),
          )
          accuracies[number].append(_top1(tuner.logits_of(context.test), context.test.labels))
        context.say(f"few_shot: fine-tuned on {number} a class: {in_percent(accuracies[number])}%")
    return accuracies

  def _frozen(self, context: Context, draws: _Draws, layer: str) -> _Accuracies:
    """Test accuracies of logistic regression on a layer."""
    features = context.features.get(context.train, layer, dimensions=self.dimensions)
    test = context.features.get(context.test, layer, dimensions=self.dimensions)
    accuracies: dict[int, list[float]] = {}
    for number, each in draws.items():
      accuracies[number] = [
        self._accuracy(context, features, indices, test, context.test.labels) for indices in each
      ]
      context.say(f"few_shot: frozen {layer}, {number} a class: {in_percent(accuracies[number])}%")
    return accuracies

  def _best_layer(self, context: Context, draws: _Draws) -> str:
    """The layer that is best on a held part of each of the largest draws, in the mean."""
    layers = context.subject.maps or tuple(sorted(context.subject.shapes))
    labels = context.train.labels
    parts = []
    for index, indices in enumerate(draws[max(draws)]):
      first, second = split(labels[indices], _HELD, seed=seed_of(context.seed, index))
      parts.append((indices[first], indices[second]))
    if not len(parts[0][1]):
      context.say(f"few_shot: one label a class cannot choose a layer: {layers[-1]} is taken")
      return layers[-1]
    context.features.prepare(context.train, layers, dimensions=self.dimensions)
    means = {}
    for layer in layers:
      features = context.features.get(context.train, layer, dimensions=self.dimensions)
      means[layer] = np.mean(
        [self._accuracy(context, features, a, features[b], labels[b]) for a, b in parts]
      )
    return max(layers, key=lambda layer: means[layer])

  def _accuracy(
    self,
    context: Context,
    features: np.ndarray,
    indices: np.ndarray,
    test: np.ndarray,
    labels: np.ndarray,
  ) -> float:
    """Of a classifier that learnt from some of the training photographs."""
    classifier = fit_logistic(
      features[indices],
      context.train.labels[indices],
      strengths=(_STRENGTH,),
      seed=context.seed,
      classes=len(context.train.class_names),
    )
    return _top1(classifier.predict_scores(test), labels)


def build(
  *,
  labels: str = "1,2,4,8,16,32,64",
  draws: int = 5,
  layer: str = "",
  dimensions: int = 9000,
  finetune: bool = True,
  steps: int = 200,
  batch_size: int = 32,
  learning_rate: float = 1e-3,
  layer_decay: float = 1.0,
  layers: str = "",
  grid: int = 3,
  crop_area: float = 0.5,
) -> FewShot:
  """Measures with a few labels a class, several draws of each number.

  The draws are decided by the seed and the classes of the photographs alone: the same for both
  ways, and for every encoder. That of fewer labels is a part of that of more.

  Args:
    labels: photographs a class, with commas between. What a class does not have is left out.
    draws: of each number.
    layer: whose frozen features are classified; empty: the best one on parts of the largest draws
      that are held back for it. Test photographs choose nothing.
    dimensions: to about which frozen maps are resized.
    finetune: whether the network is fine-tuned as well.
    steps: of fine-tuning, for any number of labels; the learning rate loses a tenth after every
      twentieth of them.
    batch_size: B of fine-tuning. Fewer photographs are repeated to fill it, each time cut anew.
    learning_rate: of fine-tuning, at first.
    layer_decay: each layer's learning rate is that of the next one times this, the classifier
      being the last; 1: one rate for all.
    layers: names of the features that the fine-tuned network's classifier sees, with commas
      between; empty: all maps.
    grid: that classifier sees means of each map over so many cells a side; 1: over all of it.
    crop_area: the smallest part of a photograph's area that a random crop keeps, in (0, 1].

  Raises:
    ValueError: an option is out of range.

  Reference: Budhkar, Casabuena and Iyengar 2019, Table 2.
  """
  numbers = names_of(labels)
  if not numbers or not all(number.isdigit() and int(number) for number in numbers):
    raise ValueError(f"Expected `labels` such as '1,2,4', each 1 or more. Received: '{labels}'")
  for name, value in (("draws", draws), ("dimensions", dimensions), ("steps", steps)):
    if value < 1:
      raise ValueError(f"Expected `{name}` of 1 or more. Received: {value}")
  check_options(
    batch_size=batch_size,
    learning_rate=learning_rate,
    layer_decay=layer_decay,
    grid=grid,
    crop_area=crop_area,
  )
  return FewShot(
    labels=tuple(sorted({int(number) for number in numbers})),
    draws=draws,
    layer=layer,
    dimensions=dimensions,
    finetune=finetune,
    steps=steps,
    batch_size=batch_size,
    learning_rate=learning_rate,
    layer_decay=layer_decay,
    layers=names_of(layers),
    grid=grid,
    crop_area=crop_area,
  )


def _top1(scores: np.ndarray, labels: np.ndarray) -> float:
  accuracy = top_k_accuracy(scores, labels, 1)
  assert accuracy is not None  # It is for k above 1 only.
  return accuracy


def _figures(context: Context, ways: Mapping[str, _Accuracies]) -> tuple[Figure, ...]:
  try:
    plots.check_matplotlib()
  except ValueError as error:
    context.say(f"few_shot: no picture. {error}")
    return ()
  plots.accuracy_curve(
    context.folder / _CURVE,
    title="Accuracy with few labels",
    xlabel="labels a class",
    ylabel="top-1 accuracy",
    series={
      way: (list(each), [float(np.mean(v)) for v in each.values()], [*map(std, each.values())])
      for way, each in ways.items()
    },
    log_x=True,
    chance=1 / len(context.train.class_names),
  )
  caption = (
    "Mean top-1 accuracy on the test photographs; the bars are standard deviations over draws of "
    "the labels."
  )
  return (Figure("Accuracy with few labels", _CURVE, caption),)


def _section(layer: str, ways: Mapping[str, _Accuracies], *, left_out: Sequence[int]) -> Section:
  values: dict[str, Json] = {"layer": layer, "frozen": {}, "finetuned": {}}
  for key, each in zip(("frozen", "finetuned"), ways.values()):
    values[key] = {
      str(number): {"mean": float(np.mean(v)), "std": std(v), "draws": list(v)}
      for number, v in each.items()
    }
  values["left_out"] = list(left_out)
  frozen = next(iter(ways.values()))
  most, draws = max(frozen), len(frozen[max(frozen)])
  summary = ", ".join(f"{in_percent(each[most])}% {way}" for way, each in ways.items())
  without = f"; classes are too small for {', '.join(map(str, left_out))}" if left_out else ""
  return Section(
    f"{summary}, by {most} labels a class{without}",
    values,
    tables=(
      Table(
        f"Top-1 accuracy in percent, mean and standard deviation of {draws} draws",
        ("Labels a class", *map(str, frozen)),
        tuple((way, *map(in_percent, each.values())) for way, each in ways.items()),
      ),
    ),
  )
