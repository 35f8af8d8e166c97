"""Means and standard deviations over seeds, and which records they are of."""

from __future__ import annotations

import numpy as np
import pytest

from tools.reproduction import spread
from tools.reproduction.spread import Spread


def test_mean_and_deviation_of_known_numbers():
  found = Spread.of([0.5, 0.6, 0.7])
  assert (found.mean, found.deviation, found.count) == pytest.approx((0.6, 0.1, 3))
  values = np.random.default_rng(0).uniform(size=7)
  found = Spread.of(values)
  assert found.mean == pytest.approx(values.mean())
  assert found.deviation == pytest.approx(values.std(ddof=1))
  assert Spread.of([]) is None
  assert Spread.of([0.5]) == Spread(0.5, None, 1)


def test_a_spread_in_words():
  assert Spread(0.6789, 0.0123, 3).text(100) == "67.9 ± 1.2 (3)"
  assert Spread(0.6789, None, 1).text(100) == "67.9 (1)"
  assert Spread(0.05, 0.01, 2).text(100, sign=True) == "+5.0 ± 1.0 (2)"
  assert Spread(-0.05, None, 1).text(100, sign=True) == "-5.0 (1)"
  assert Spread(-0.0001, None, 1).text(100, sign=True) == "+0.0 (1)"


def _probes(record, *tops, **changes):
  return [
    record(seed=seed, values={**record().values, "top1": top}, **changes)
    for seed, top in enumerate(tops)
  ]


def test_only_records_of_the_newest_recipe_and_form_belong_together(record):
  older = {**record().config, "epochs": 3}
  records = [
    *_probes(record, 0.1, 0.1, 0.1, config=older),
    *_probes(record, 0.5, 0.7),
    *_probes(record, 0.2, method="another"),
    *_probes(record, 0.3, dataset="caltech101_96"),
    record(protocol="finetune(epochs=1)", values={"top1": 0.1}),
    record(protocol="finetune", values={"top1": 0.8}),
  ]
  found = spread.group(records, "imagenette96", "simplenet_lab")
  assert found.spread("linear_probe", spread.top1) == Spread.of([0.5, 0.7])
  assert found.spread("finetune", spread.top1) == Spread(0.8, None, 1)
  assert found.spread("knn", spread.top1) is None
  assert found.left_out == 4
  assert spread.group(records, "imagenette96", "nothing") == spread.EMPTY


def test_the_form_of_a_protocol_is_the_one_of_most_methods(record):
  small = {"protocol": "linear_probe(dimensions=9)"}
  records = [
    *(record(method=name, values={"top1": 0.5}, **small) for name in ("a", "b")),
    *(record(method="a", values={"top1": 0.6}, seed=seed) for seed in (0, 1)),
    record(method="c", values={"top1": 0.7}),
  ]
  group = spread.group(records, "imagenette96", "a")
  assert group.spread("linear_probe", spread.top1) == Spread(0.6, 0.0, 2)  # As many: the newest.
  records.append(record(method="d", values={"top1": 0.8}, **small))
  group = spread.group(records, "imagenette96", "a")
  assert group.form("linear_probe") == small["protocol"] and group.left_out == 2
  assert group.spread("linear_probe", spread.top1) == Spread(0.5, None, 1)
  large = spread.group(records, "imagenette96", "a", form="linear_probe")
  assert large.spread("linear_probe", spread.top1) == Spread(0.6, 0.0, 2)
  other = spread.group(records, "imagenette96", "c")
  assert other.spread("linear_probe", spread.top1) == Spread(0.7, None, 1)
  assert spread.difference(group, other, "linear_probe", spread.top1) is None
  assert spread.difference(large, other, "linear_probe", spread.top1).mean == pytest.approx(-0.1)


def test_a_difference_is_within_a_seed(record):
  ours = spread.group(_probes(record, 0.5, 0.7, 0.6), "imagenette96", "simplenet_lab")
  theirs = spread.group(_probes(record, 0.4, 0.5, method="b"), "imagenette96", "b")
  found = spread.difference(ours, theirs, "linear_probe", spread.top1)
  assert found.mean == pytest.approx(0.15) and found.count == 2
  assert found.deviation == pytest.approx(np.std([0.1, 0.2], ddof=1))
  assert spread.difference(ours, spread.EMPTY, "linear_probe", spread.top1) is None


def test_a_difference_on_the_layer_that_was_chosen_for_each_seed(record):
  mine = [
    record(seed=seed, values={**record().values, "best_layer": layer, "top1": 0.9})
    for seed, layer in enumerate(("conv5", "conv4"))
  ]
  ours = spread.group(mine, "imagenette96", "simplenet_lab")
  theirs = spread.group(_probes(record, 0.8, 0.8, 0.8, method="b"), "imagenette96", "b")
  where = spread.top1_where(ours)  # The fixture has 0.5 + i / 100 on conv_i.
  found = spread.difference(ours, theirs, "linear_probe", spread.top1, where)
  assert found.mean == pytest.approx(0.9 - (0.55 + 0.54) / 2) and found.count == 2


def test_numbers_that_a_record_does_not_have_are_left_out(record):
  few = {"frozen": {"1": {"mean": 0.2}, "16": {"mean": 0.4}}, "finetuned": None}
  records = [
    record(protocol="few_shot", values=few),
    record(protocol="few_shot", seed=1, values={"frozen": {"1": {"mean": 0.3}}}),
  ]
  found = spread.group(records, "imagenette96", "simplenet_lab")
  assert found.spread("few_shot", spread.few_shot("frozen", 1)) == Spread.of([0.2, 0.3])
  assert found.spread("few_shot", spread.few_shot("frozen", 16)) == Spread(0.4, None, 1)
  assert found.spread("few_shot", spread.few_shot("finetuned", 1)) is None
  assert spread.label_counts(records) == [1, 16]
  layers = spread.group([record()], "imagenette96", "simplenet_lab")
  assert layers.spread("linear_probe", spread.layer_top1("conv2")).mean == pytest.approx(0.52)
  assert layers.spread("linear_probe", spread.layer_top1("conv9")) is None


def test_the_pretraining_that_counts_is_the_one_before_what_is_shown(record):
  again = record(protocol="finetune", values={"top1": 0.7}, training_seconds=60.0)
  records = [record(), record(seed=1, training_seconds=800.0), again]
  found = spread.group(records, "imagenette96", "simplenet_lab")

  def seconds(*protocols):
    return found.by_seed(lambda record: record.training_seconds, *protocols)

  assert seconds("linear_probe") == Spread.of([600.0, 800.0])
  assert seconds("finetune") == Spread.of([60.0])
  assert seconds("linear_probe", "finetune") == Spread.of([60.0, 800.0])
  assert seconds("few_shot") is None
