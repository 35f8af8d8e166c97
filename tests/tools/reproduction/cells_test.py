"""Cells: which of them the tables want, their commands, and what tells recipes apart."""

from __future__ import annotations

import dataclasses
import types

import pytest

from sbae_tf import evaluate, flags, presets
from sbae_tf.config import Component
from tools.reproduction import cells, recipe
from tools.reproduction.cells import (
  CALTECH,
  CAMVID,
  HELD_OUT,
  IMAGENETTE,
  RGBD,
  SHOWN,
  Cell,
  Places,
)
from tools.reproduction.methods import lineup, parse_denoising

MINUTES = (0.0, 1.0, 10.0)


@pytest.fixture(name="wanted")
def _wanted(methods):
  return cells.of_tables(cells.TABLES, methods, seeds=(0, 1, 2), minutes=MINUTES)


def test_every_command_is_one_that_the_programs_take():
  every = lineup(epochs=24, denoising=parse_denoising("all"))
  places = Places.of("/data", "/runs of mine")
  for cell in cells.of_tables(cells.TABLES, every, seeds=(0, 7), minutes=MINUTES):
    steps = None if cell.method.minutes is None else 123
    arguments = cell.pretrain(places, steps=steps)
    assert arguments[:2] == ("-m", "sbae_tf.pretrain")
    config, workdir = flags.parse(arguments[2:])
    part = "rgb" if cell.dataset == RGBD else "train"
    assert config.data.path == f"/data/{cell.dataset}/{part}"
    assert str(workdir) == f"/runs of mine/{cell.name}"
    assert config.seed == cell.seed
    if steps:
      assert config.steps == 123
    elif cell.dataset == RGBD:
      assert (config.epochs > 0) == (config.steps > 0) == ("random" not in cell.name)
    elif cell.method.rate and "alexnet" not in cell.name:
      epochs = presets.preset(presets.DEFAULT).epochs if "whole" in cell.name else 24
      assert (config.epochs, config.steps) == (epochs, 0)
    for protocol in cell.protocols:
      arguments = cell.evaluate(places, protocol)
      if protocol == HELD_OUT:
        assert arguments == ()
        continue
      assert arguments[:2] == ("-m", "sbae_tf.evaluate")
      given, (component,) = evaluate._parse(arguments[2:])
      assert component == Component.parse(protocol)
      assert given.encoder == f"/runs of mine/{cell.name}/encoder"
      dataset = CAMVID if component.name == "segmentation" else cell.dataset
      assert given.data == f"/data/{dataset}/train" and given.test == f"/data/{dataset}/test"
      assert given.seed == cell.seed
      assert given.out.startswith(f"/runs of mine/{cell.name}/")


def test_cells_that_tables_share_are_there_once(wanted, methods):
  names = [cell.name for cell in wanted]
  assert len(set(names)) == len(names)
  (random,) = (cell for cell in wanted if cell.name == f"{IMAGENETTE}/random/seed1")
  assert set(random.protocols) == {"linear_probe", "finetune", "few_shot"}
  (layers,) = (c for c in wanted if c.name == f"{IMAGENETTE}/l_to_ab_kmeans/seed0")
  assert set(layers.protocols) == {"linear_probe", "finetune"}
  (timed,) = (c for c in wanted if c.name == f"{IMAGENETTE}/simclr_10min/seed0")
  assert timed.protocols == ("linear_probe", "few_shot(labels='16,64', finetune=False)")
  assert {cell.method.minutes for cell in wanted if cell.dataset == CALTECH} == {None}
  only3 = cells.of_tables([3], methods, seeds=(0,), minutes=MINUTES)
  assert [cell.method.name for cell in only3] == [
    *(f"{presets.DEFAULT}_whole", presets.DEFAULT),
    *("l_to_ab_kmeans", "ab_to_l_kmeans", "autoencoder_kmeans", "random"),
    *(method.name for method in methods.family),
    methods.ours.timed(0).name,
  ]
  assert {method.name for method in methods.family} <= set(presets.PRESETS)
  (ours,) = (c for c in wanted if c.name == f"{IMAGENETTE}/{presets.DEFAULT}/seed0")
  assert "segmentation" in map(cells.protocol_name, ours.protocols)
  assert {c.method.name for c in wanted if c.dataset == RGBD} == {"rgbd_96", "rgbd_96_random"}


def test_a_seed_comes_before_the_next_and_timed_cells_last(wanted):
  untimed = [cell.seed for cell in wanted if cell.method.minutes is None]
  timed = [cell.seed for cell in wanted if cell.method.minutes is not None]
  assert untimed == sorted(untimed) and timed == sorted(timed)
  assert [cell.method.minutes is not None for cell in wanted] == sorted(
    cell.method.minutes is not None for cell in wanted
  )
  assert len(timed) == 3 * 3 * len(MINUTES)


def test_options_of_protocols_are_changed_beside_those_that_tables_give():
  changes = ["few_shot(draws=2)", "few_shot(steps=9, draws=3)", "linear_probe(dimensions=99)"]
  changed = cells.with_options(cells.TIMED_PROTOCOLS, changes)
  assert changed["few_shot"] == "few_shot(labels='16,64', finetune=False, draws=3, steps=9)"
  assert changed["linear_probe"] == "linear_probe(dimensions=99)"
  rest = set(cells.PROTOCOLS) - {"few_shot", "linear_probe"}
  assert all(changed[name] == cells.PROTOCOLS[name] for name in rest)


def test_a_default_preset_of_another_name_stands_beside_the_reports(monkeypatch):
  from tools.reproduction import methods as methods_lib

  monkeypatch.setattr(methods_lib, "OURS", "simplenet_rgb")
  assert lineup(epochs=1, denoising=[("masking", 0.1)]).ours.name == "simplenet_rgb"
  monkeypatch.setattr(methods_lib, "OURS", "split_brain")
  found = lineup(epochs=1, denoising=[("masking", 0.1)])
  assert found.ours not in found.reports
  first = cells.of_tables([1], found, seeds=(0,), minutes=())[0]
  assert first.method == found.ours


def test_some_cells_by_patterns(wanted):
  def names(*patterns):
    return {cell.name for cell in cells.matching(wanted, patterns)}

  assert names() == {cell.name for cell in wanted}
  assert names("random") == {f"{d}/random/seed{s}" for d in (IMAGENETTE, CALTECH) for s in range(3)}
  assert names(f"{CALTECH}/simplenet_r*") == {
    f"{CALTECH}/simplenet_{color}/seed{s}" for color in ("rgb", "rescaled_lab") for s in range(3)
  }
  assert names("*/simclr_*/seed0") == {f"{IMAGENETTE}/simclr_{m}min/seed0" for m in (0, 1, 10)}
  with pytest.raises(ValueError, match=r"--only=simplenet fits no cell.*simplenet_lab"):
    names("simplenet")


def test_protocols_left_for_another_time(wanted):
  kept = cells.without(wanted, ["finetune", "linear_probe"])
  left = {cells.protocol_name(p) for cell in kept for p in cell.protocols}
  assert left == {"few_shot", "segmentation", cells.HELD_OUT}
  assert all(cell.protocols for cell in kept) and len(kept) < len(wanted)
  assert cells.without(wanted, []) == wanted
  with pytest.raises(ValueError, match=r"--without=probe fits no cell.*linear_probe"):
    cells.without(wanted, ["probe", "finetune"])


def _digest(cell: Cell, *, timed: bool = False) -> str:
  return recipe.digest(recipe.deciding(cell.config(), timed=timed), timed=timed)


def test_a_recipe_is_the_same_for_all_seeds_and_data_sets(methods):
  cell = Cell(methods.reports[1], IMAGENETTE, 0, ())
  same = [
    dataclasses.replace(cell, seed=5),
    dataclasses.replace(cell, dataset=CALTECH),
    dataclasses.replace(cell, method=cell.method.with_flags(["--log_seconds=1"])),
  ]
  assert {_digest(each) for each in same} == {_digest(cell)}
  for flag in ("--epochs=23", "--data.crop_area=0.5,1", "--backbone.width=0.5"):
    other = dataclasses.replace(cell, method=cell.method.with_flags([flag]))
    assert _digest(other) != _digest(cell)


def test_a_recipe_tells_a_preset_that_was_changed(methods, monkeypatch):
  cell = Cell(methods.reports[1], IMAGENETTE, 0, ())
  before = _digest(cell)
  changed = presets.PRESETS["simplenet_lab"]
  changed = dataclasses.replace(
    changed, config=dataclasses.replace(changed.config, learning_rate=0.123)
  )
  monkeypatch.setattr(
    presets, "PRESETS", types.MappingProxyType({**presets.PRESETS, "simplenet_lab": changed})
  )
  assert _digest(cell) != before


def test_steps_are_no_part_of_the_recipe_of_what_trains_for_minutes(methods):
  cell = Cell(methods.ours.timed(1.0), IMAGENETTE, 0, ())
  more = Cell(methods.ours.with_flags(["--steps=7"]), IMAGENETTE, 0, ())
  assert _digest(cell, timed=True) == _digest(more, timed=True)
  assert _digest(cell) != _digest(more)


def test_fields_that_are_new_do_not_change_a_recipe(methods):
  cell = Cell(methods.ours, IMAGENETTE, 0, ())
  part = recipe.deciding(cell.config(), timed=False)
  older = {key: value for key, value in part.items() if key != "color_placement"}
  assert recipe.digest(older, timed=False) == _digest(cell)
  gone = {**part, "of_another_time": 1}
  assert recipe.digest(gone, timed=False) != _digest(cell)


def test_commands_are_shown_without_this_machines_folders(methods):
  cell = Cell(methods.random, IMAGENETTE, 2, ("linear_probe",))
  assert cells.shown(cell.pretrain(SHOWN)) == (
    "python -m sbae_tf.pretrain --preset=random --data=DATA/imagenette96/train --seed=2 "
    "--workdir=RUNS/imagenette96/random/seed2"
  )


def test_data_sets_that_are_not_there_are_an_error(methods, tmp_path):
  wanted = [Cell(methods.random, IMAGENETTE, 0, ())]
  for part in ("train", "test"):
    with pytest.raises(ValueError, match=f"imagenette96/{part}"):
      cells.data_folders(tmp_path, wanted)
    (tmp_path / IMAGENETTE / part).mkdir(parents=True)
  cells.data_folders(tmp_path, wanted)
  wanted = [Cell(methods.ours, IMAGENETTE, 0, ("segmentation",))]
  with pytest.raises(ValueError, match="camvid/train.*has camvid and imagenette96"):
    cells.data_folders(tmp_path, wanted)
  with pytest.raises(ValueError, match="rgbd/rgb"):
    cells.data_folders(tmp_path, [Cell(methods.depth, RGBD, 0, (HELD_OUT,))])
