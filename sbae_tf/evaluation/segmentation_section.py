"""What the segmentation protocol tells: numbers, tables, a curve and a picture."""

from __future__ import annotations

import collections
import dataclasses
import io
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sbae_tf.evaluation import label_sheet, plots
from sbae_tf.evaluation.confusion import Confusion
from sbae_tf.evaluation.epochs import Epoch
from sbae_tf.evaluation.label_classes import LabelClasses
from sbae_tf.evaluation.protocol import Context, Figure, Json, Section, Table
from sbae_tf.evaluation.repeats import in_percent, std
from sbae_tf.evaluation.segmented import Segmented

_CURVE, _SHEET = "segmentation.png", "segmentation_maps.png"

_MEASURES: Mapping[str, Callable[[Confusion], float]] = {
  "Mean IoU": lambda confusion: confusion.mean_iou,
  "Mean accuracy": lambda confusion: confusion.mean_accuracy,
  "Pixel accuracy": lambda confusion: confusion.pixel_accuracy,
}


@dataclasses.dataclass(frozen=True)
class Run:
  """A training, and what came of it.

  Attributes:
    seed: of it.
    epochs: all.
    best: that which was kept; None for the last.
    confusion: of the test photographs' pixels.
  """

  seed: int
  epochs: Sequence[Epoch]
  best: Epoch | None
  confusion: Confusion


@dataclasses.dataclass(frozen=True)
class Way:
  """What was trained from, as often as there are seeds.

  Attributes:
    name: of the way.
    runs: one for each seed.
    predicted: labels of the photographs that are shown, (H, W) uint8 each, by the first run.
  """

  name: str
  runs: Sequence[Run]
  predicted: Sequence[np.ndarray]


def make_section(
  context: Context,
  ways: Sequence[Way],
  *,
  classes: LabelClasses,
  test: Segmented,
  shown: Sequence[int],
  facts: Mapping[str, Json],
  left_out: Mapping[str, tuple[str, str]],
) -> Section:
  """Puts together what was found, and draws it.

  Args:
    context: of the protocol.
    ways: at least one.
    classes: of the pixels.
    test: the photographs that were measured.
    shown: indices of those that are in the picture.
    facts: more for `report.json`; among them whether the encoder was "frozen".
    left_out: photographs without a usable mask, each with a reason and a detail.
  """
  told = ", ".join(f"{_over(way, _MEASURES['Mean IoU'])}% from {way.name}" for way in ways)
  without = f"; {len(left_out):,} photographs have no usable mask" if left_out else ""
  return Section(
    f"mean IoU {told}, {len(classes)} classes, {'frozen' if facts['frozen'] else 'fine-tuned'}, "
    f"seeds: {len(ways[0].runs)}{without}",
    {
      **facts,
      "classes": dict(zip(map(str, classes.numbers), classes.names)),
      **{way.name.replace(" ", "_"): _values(way, classes) for way in ways},
      "left_out": dict(collections.Counter(reason for reason, _ in left_out.values())),
    },
    tables=(_measures(ways), _by_class(ways, classes), *_left_out(left_out)),
    figures=(*_curve(context, ways), *_pictures(context, ways, classes, test, shown)),
  )


def _over(way: Way, measure: Callable[[Confusion], float]) -> str:
  """Of a number, mean and standard deviation over the seeds, in percent."""
  return _spread([measure(run.confusion) for run in way.runs])


def _spread(values: Sequence[float]) -> str:
  """Over those seeds in which there is a number; a dash for none."""
  known = [value for value in values if not math.isnan(value)]
  return in_percent(known) if known else "-"


def _values(way: Way, classes: LabelClasses) -> Json:
  """Of a way, for `report.json`."""
  runs = [
    {
      "seed": run.seed,
      "mean_iou": _number(run.confusion.mean_iou),
      "mean_accuracy": _number(run.confusion.mean_accuracy),
      "pixel_accuracy": _number(run.confusion.pixel_accuracy),
      "iou": dict(zip(classes.names, map(_number, run.confusion.iou))),
      "best_epoch": (run.best or run.epochs[-1]).number,
      "curve": [
        {
          "epoch": epoch.number,
          "loss": epoch.loss,
          "validation_mean_iou": epoch.accuracy,
          "validation_loss": epoch.validation_loss,
        }
        for epoch in run.epochs
      ],
    }
    for run in way.runs
  ]
  found = [run.confusion.mean_iou for run in way.runs]
  return {"mean_iou": _number(float(np.mean(found))), "std": _number(std(found)), "runs": runs}


def _number(value: float) -> float | None:
  return None if math.isnan(value) else float(value)


def _measures(ways: Sequence[Way]) -> Table:
  rows = []
  for way in ways:
    epochs = "/".join(str((run.best or run.epochs[-1]).number) for run in way.runs)
    rows.append((way.name, *(_over(way, each) for each in _MEASURES.values()), epochs))
  return Table(
    f"Pixels of whole test photographs, in percent; mean and standard deviation of "
    f"{len(ways[0].runs)} seeds",
    ("Trained from", *_MEASURES, "Epochs"),
    tuple(rows),
  )


def _by_class(ways: Sequence[Way], classes: LabelClasses) -> Table:
  pixels = ways[0].runs[0].confusion.counts.sum(axis=1)
  parts = 100 * pixels / max(1, pixels.sum())
  rows = []
  for label, name in enumerate(classes.names):
    found = (_spread([run.confusion.iou[label] for run in way.runs]) for way in ways)
    rows.append((name, f"{parts[label]:.1f}", *found))
  return Table(
    "Intersection over union by class, in percent. A dash: in no test mask, and not predicted; it "
    "does not count in the mean",
    ("Class", "Part of the pixels", *(f"IoU from {way.name}" for way in ways)),
    tuple(rows),
  )


def _left_out(left_out: Mapping[str, tuple[str, str]]) -> tuple[Table, ...]:
  """How many have no usable mask, by reason, with the first of each."""
  first: dict[str, str] = {}
  for name, (reason, detail) in left_out.items():
    first.setdefault(reason, f"{name}: {detail}")
  counts = collections.Counter(reason for reason, _ in left_out.values())
  rows = tuple((reason, f"{counts[reason]:,}", told) for reason, told in first.items())
  head = ("Reason", "Photographs", "The first")
  return (Table("Photographs without a usable mask", head, rows),) if rows else ()


def _curve(context: Context, ways: Sequence[Way]) -> tuple[Figure, ...]:
  """Validation after each epoch, a line a run; none without matplotlib or validation."""
  series: dict[str, tuple[list[int], list[float], None]] = {}
  for way in ways:
    for number, run in enumerate(way.runs, 1):
      judged = [(e.number, e.accuracy) for e in run.epochs if e.accuracy is not None]
      if judged:
        series[f"{way.name}, seed {number}"] = (
          [n for n, _ in judged],
          [a for _, a in judged],
          None,
        )
  if not series:
    return ()
  try:
    plots.check_matplotlib()
  except ValueError as error:
    context.say(f"segmentation: no curve. {error}")
    return ()
  plots.accuracy_curve(
    context.folder / _CURVE,
    title="Segmentation",
    xlabel="epoch",
    ylabel="mean IoU on validation photographs",
    series=series,
  )
  caption = (
    "Mean intersection over union on photographs that were held back for it, after each epoch. The "
    "network of the best epoch of each line was kept."
  )
  return (Figure("Training", _CURVE, caption),)


def _pictures(
  context: Context,
  ways: Sequence[Way],
  classes: LabelClasses,
  test: Segmented,
  shown: Sequence[int],
) -> tuple[Figure, ...]:
  if not shown:
    return ()
  rows = []
  for number, index in enumerate(shown):
    photograph, truth = test.pair(index)
    rows.append((photograph, [truth, *(way.predicted[number] for way in ways)]))
  heads = ["photograph", "truth", *(f"from {way.name}" for way in ways)]
  content = io.BytesIO()
  label_sheet.sheet(rows, heads=heads, class_names=classes.names).save(content, "PNG")
  plots.write_picture(context.folder / _SHEET, content.getvalue())
  caption = (
    f"{len(shown)} of {len(test):,} test photographs, at equal distances, and the classes of their "
    "pixels, true and predicted by the first seed."
  )
  return (Figure("Classes of pixels", _SHEET, caption),)
