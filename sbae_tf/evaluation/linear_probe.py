"""A linear classifier on the frozen features of each layer: top-1 and top-5 accuracy.

Maps are resized to about 9,000 numbers, bilinearly and antialiased. AlexNet's get the sizes of
Zhang et al. 2017: 9,600 (conv1, conv3, conv4) and 9,216 (conv2, conv5).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sbae_tf.evaluation import plots
from sbae_tf.evaluation.logistic_regression import fit_logistic, top_k_accuracy
from sbae_tf.evaluation.protocol import Context, Figure, Json, Protocol, Section, Table

_BARS = "linear_probe.png"

_Layers = Mapping[str, Mapping[str, Json]]  # What was found, by layer.


@dataclasses.dataclass(frozen=True)
class LinearProbe(Protocol):
  """Fits a classifier for each layer.

  Attributes: as the arguments of `build`.
  """

  layers: tuple[str, ...]
  dimensions: int

  def run(self, context: Context) -> Section:
    layers = self.layers or context.subject.maps or tuple(context.subject.shapes)
    for data in (context.train, context.test):
      context.features.prepare(data, layers, dimensions=self.dimensions)
    found = {layer: self._measure(context, layer) for layer in layers}
    # By what the strengths were chosen on, too: test photographs choose nothing.
    best = max(found, key=lambda layer: found[layer]["validation"] or 0.0)
    top1, top5 = found[best]["top1"], found[best]["top5"]
    return Section(
      f"{_percent(top1)} by a linear classifier on {best}"
      + ("" if top5 is None else f"; {_percent(top5)} among its first five"),
      {"layers": found, "best_layer": best, "top1": top1, "top5": top5},
      tables=(_table(found),),
      figures=_figures(context, found),
    )

  def _measure(self, context: Context, layer: str) -> dict[str, Json]:
    train = context.features.get(context.train, layer, dimensions=self.dimensions)
    classifier = fit_logistic(
      *(train, context.train.labels),
      seed=context.seed,
      classes=len(context.train.class_names),
      say=lambda line: context.say(f"linear_probe: {layer}, {line}"),
    )
    test = context.features.get(context.test, layer, dimensions=self.dimensions)
    scores, labels = classifier.predict_scores(test), context.test.labels
    return {
      "top1": top_k_accuracy(scores, labels, 1),
      "top5": top_k_accuracy(scores, labels, 5),
      "strength": classifier.strength,
      "validation": classifier.validation_accuracy,
      "dimensions": train.shape[1],
    }


def build(*, layers: str = "", dimensions: int = 9000) -> LinearProbe:
  """Measures how well a linear classifier does on each layer.

  It is multinomial logistic regression on standardized features; see `fit_logistic`. The strength
  of its regularization is chosen on a fifth of the training part, and so is the best layer.

  Args:
    layers: names of features, with commas between; empty: all maps, or all features where there is
      no map.
    dimensions: to about which maps are resized; vectors stay as they are.

  Raises:
    ValueError: `dimensions` is not positive.

  Reference: Zhang, Isola and Efros 2017, arXiv:1611.09842, section 4.1.

  Differs from the paper: resizing is antialiased, see `FeatureCache`; the classifier is fitted to
  its optimum on central squares, not by stochastic gradient descent on random crops.
  """
  if dimensions < 1:
    raise ValueError(f"Expected `dimensions` of 1 or more. Received: {dimensions}")
  names = tuple(dict.fromkeys(name.strip() for name in layers.split(",") if name.strip()))
  return LinearProbe(names, dimensions)


def _table(found: _Layers) -> Table:
  head = ("Layer", "Dimensions", "Top-1", "Top-5", "Top-1 on the chosen part", "Regularization")
  rows = tuple(
    (
      layer,
      f"{values['dimensions']:,}",
      *map(_percent, (values["top1"], values["top5"], values["validation"])),
      f"{values['strength']:.0e}",
    )
    for layer, values in found.items()
  )
  return Table("Accuracy by layer", head, rows)


def _figures(context: Context, found: _Layers) -> tuple[Figure, ...]:
  try:
    plots.check_matplotlib()
  except ValueError as error:
    context.say(f"linear_probe: no picture. {error}")
    return ()
  plots.layer_bars(
    context.folder / _BARS,
    title="Linear classifiers on frozen features",
    layers=list(found),
    values=[values["top1"] for values in found.values()],
    ylabel="top-1 accuracy",
    chance=1 / len(context.test.class_names),
  )
  caption = "Top-1 accuracy on the test photographs, by the layer that the classifier sees."
  return (Figure("Accuracy by layer", _BARS, caption),)


def _percent(value: float | None) -> str:
  return "-" if value is None else f"{100 * value:.1f}%"
