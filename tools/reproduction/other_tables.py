"""The pages of photographs without a class: with one for every pixel, and with depth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tools.reproduction import spread
from tools.reproduction.cells import CAMVID, HELD_OUT, IMAGENETTE, RGBD
from tools.reproduction.methods import Lineup
from tools.reproduction.page import MISSING, Page
from tools.reproduction.records import Record
from tools.reproduction.spread import Spread, Value
from tools.reproduction.tables import percent, with_others

_SEGMENTATION = "segmentation"
_WAYS = {"given_weights": "{}", "random_weights": "the same network, random weights"}
_MEASURES = {"mean IoU": "mean_iou", "mean accuracy": "mean_accuracy", "pixels": "pixel_accuracy"}


def table5(records: Sequence[Record], methods: Lineup) -> Page:
  """Mean intersection over union, from pretrained and from random weights."""
  page = Page(
    f"Table 5: a class for every pixel, {CAMVID}",
    f"The encoder, pretrained on {IMAGENETTE} without labels, and a fully convolutional head on it "
    f"are trained on {CAMVID}'s masks and measured on its test part.",
    "Numbers are percent: mean ± standard deviation over seeds of this training, their number in "
    "parentheses. A seed decides the head's weights, windows, order, and the random weights.",
  )
  rows = []
  for name, title in with_others([methods.ours], records, IMAGENETTE, (_SEGMENTATION,)):
    group = spread.group(records, IMAGENETTE, name)
    commands, machines = page.sources(group, _SEGMENTATION)
    minutes = group.spread(_SEGMENTATION, lambda record: record.evaluation_seconds)
    for way, words in _WAYS.items():
      found = [_runs(group.by_protocol.get(_SEGMENTATION, {}).values(), way, m) for m in _MEASURES]
      rows.append(
        [
          words.format(title),
          *map(percent, found),
          MISSING if minutes is None else minutes.text(1 / 60),
          *(machines, commands),
        ]
      )
  page.add_table(("weights", *_MEASURES, "minutes of both", "machine", "commands"), rows)
  return page


def _runs(records: Iterable[Record], way: str, measure: str) -> Spread | None:
  """A measure of all trainings of a way, a key of `_WAYS`; None where there are none."""
  values = [
    run[_MEASURES[measure]]
    for record in records
    for run in (record.values.get(way) or {"runs": ()})["runs"]
  ]
  return Spread.of(values)


def table6(records: Sequence[Record], methods: Lineup) -> Page:
  """Held-out losses of photographs with depth."""
  page = Page(
    f"Table 6: photographs with depth, {RGBD}",
    "After Sec. 4.2 of Zhang, Isola, Efros, *Split-Brain Autoencoders*, CVPR 2017: one tower "
    "predicts depth as HHA (horizontal disparity, height, angle with gravity) from color, the "
    "other color from HHA. The photographs have no classes to probe; what stands here are the "
    "losses on those that are held out, the smaller the better: mean squared errors of HHA and of "
    "L, and the cross-entropy of ab's bins in nats.",
    "Mean ± standard deviation over seeds, the number of seeds in parentheses.",
  )
  groups = [(m, spread.group(records, RGBD, m.name)) for m in (methods.depth_random, methods.depth)]
  names = list(
    dict.fromkeys(
      name
      for _, group in groups
      for record in group.by_protocol.get(HELD_OUT, {}).values()
      for name in record.values
    )
  )
  rows = []
  for method, group in groups:
    commands, machines = page.sources(group, HELD_OUT)
    losses = [group.spread(HELD_OUT, _loss(name)) for name in names]
    steps = group.by_seed(lambda record: record.steps, HELD_OUT)
    minutes = group.by_seed(lambda record: record.pretraining_seconds, HELD_OUT)
    rows.append(
      [
        method.title,
        *(MISSING if loss is None else loss.text(digits=3) for loss in losses or [None]),
        MISSING if steps is None else f"{steps.mean:,.0f}",
        MISSING if minutes is None else minutes.text(1 / 60),
        *(machines, commands),
      ]
    )
  head = ("weights", *(names or ["losses"]), "steps", "minutes", "machine", "commands")
  page.add_table(head, rows)
  return page


def _loss(name: str) -> Value:
  return lambda record: record.values[name]
