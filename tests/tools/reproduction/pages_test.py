"""The pages and plots, made of records with known numbers."""

from __future__ import annotations

import dataclasses

import pytest
import tensorflow as tf

from tools.reproduction import findings, other_tables, pages, tables
from tools.reproduction.cells import CALTECH, HELD_OUT, IMAGENETTE, RGBD
from tools.reproduction.records import Records

MINUTES = (0.0, 1.0, 3.0)


def _row(page: str, start: str) -> list[str]:
  """The cells of the row that starts so."""
  (line,) = (line for line in page.splitlines() if line.startswith(f"| {start} |"))
  return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(name="probe")
def _probe(record):
  """Makes a seed's linear probe of a method with one accuracy on all layers."""

  def make(method, top1, seed=0, **changes):
    layer = {"top1": top1, "top5": 0.9}
    layers = {f"conv{i}": layer for i in range(1, 6)}
    values = {"layers": layers, "best_layer": "conv3", "top1": top1, "top5": 0.9}
    commands = tuple(
      f"python -m {program} --seed={seed} --data=DATA/imagenette96/train "
      f"--workdir=RUNS/imagenette96/{method}/seed{seed}/x"
      for program in ("pretrain", "evaluate")
    )
    given = {"method": method, "title": method.upper(), "seed": seed, "values": values}
    return record(**{**given, "commands": commands, **changes})

  return make


def test_a_row_of_table_1(record, methods):
  linear = {**record().values}
  records = [
    record(values={**linear, "top1": 0.5}, pretraining_seconds=540.0),
    record(values={**linear, "top1": 0.7, "best_layer": "conv4"}, seed=1),
    record(protocol="finetune", values={"top1": 0.8, "top5": 0.99}, evaluation_seconds=60.0),
    record(dataset=CALTECH, values={**linear, "top1": 0.25}),
  ]
  page = tables.table1(records, methods).markdown(())
  imagenette, caltech = page.split(f"## {CALTECH}")
  assert _row(imagenette, "split-brain SimpleNet, Lab") == [
    *("split-brain SimpleNet, Lab", "60.0 ± 14.1 (2)", "90.0 ± 0.0 (2)", "conv3, conv4"),
    *("80.0 (1)", "99.0 (1)", "2,304", "10.0 ± 0.0 (2)", "11.0 ± 0.0 (2)"),
    *("2.0 ± 0.0 (2)", "1.0 (1)", "A", "1"),
  ]
  assert _row(caltech, "split-brain SimpleNet, Lab")[1] == "25.0 (1)"
  missing = _row(imagenette, "split-brain ResNet18, Lab")
  assert missing[1:3] == ["not measured"] * 2 and missing[-2:] == ["", ""]
  assert "*not measured*: no record" in page
  assert "- A: 2 x Processor, 8 GiB; tensorflow 2.15.1; sbae_tf 1a2b3c4." in page
  assert "# 1: seeds 0, 1\npython -m sbae_tf.pretrain --seed=0\n" in page
  assert "table1.png" not in page
  assert "![" in tables.table1(records, methods).markdown({"table1.png"})


def test_methods_that_only_records_know_have_a_row(record, methods):
  other = record(method="denoising_gaussian_50", title="denoising, gaussian 50%")
  page = tables.table1([other], methods).markdown(())
  assert _row(page.split(f"## {CALTECH}")[0], "denoising, gaussian 50%")[3] == "conv3"
  assert "denoising, gaussian 50%" not in page.split(f"## {CALTECH}")[1]
  # The family has a table of its own.
  family = record(method=methods.family[-1].name, title="one of the family")
  assert "one of the family" not in tables.table1([family], methods).markdown(())


def test_flags_that_some_seeds_were_pretrained_without_are_told(probe, methods):
  both = [probe("random", 0.5, seed) for seed in (0, 1)]
  here = both[0].commands
  there = dataclasses.replace(both[0], commands=(f"{here[0]} --jit_compile=false", here[1]))
  page = tables.table3([there, both[1]], methods).markdown(())
  assert "# 1: seeds 0, 1; not always with --jit_compile=false\npython -m pretrain" in page
  assert "not always" not in tables.table3(both, methods).markdown(())


def test_rows_of_one_command_tell_the_seeds_of_all(probe, methods):
  trained = ("python -m pretrain", "python -m evaluate")
  rows = [
    probe(name, 0.5, seed, commands=trained)
    for name, seed in (("random", 0), ("autoencoder_lab", 0), ("autoencoder_lab", 1))
  ]
  page = tables.table3(rows, methods).markdown(())
  assert "# 1: seeds 0, 1\npython -m pretrain\n" in page


def test_commands_are_of_the_first_seed_and_what_measures_is_told_once(probe, methods):
  records = [probe(name, 0.5, seed) for name in ("random", "autoencoder_lab") for seed in (1, 0)]
  page = tables.table3(records, methods).markdown(())
  assert page.count("python -m pretrain") == 2
  assert "# 1: seeds 0, 1\npython -m pretrain --seed=0 --data=DATA/imagenette96/train " in page
  assert "RUNS/imagenette96/random/seed0/x" in page
  assert page.count("python -m evaluate") == 1
  assert (
    "# after each\npython -m evaluate --seed=SEED --data=DATA/DATASET/train --workdir=RUN/x" in page
  )
  other = tables.table3([*records[:2], probe("autoencoder_lab", 0.5, commands=("a", "b"))], methods)
  assert "# after 2\nb\n" in other.markdown(()) and "# after 1\n" in other.markdown(())


def test_machines_have_letters(probe, methods):
  records = [
    probe("random", 0.5),
    probe("random", 0.5, 2, revision="5e6f7a8"),
    probe("random", 0.5, 1, machine="another"),
    probe(methods.ab_to_l.name, 0.5, machine="another", date="2026-01-05"),
  ]
  page = tables.table3(records, methods).markdown(())
  assert _row(page, methods.random.title)[-2:] == ["A, B", "2"]
  assert _row(page, methods.ab_to_l.title)[-2:] == ["A", "1"]
  assert "- A: another; " in page and "; sbae_tf 1a2b3c4, 5e6f7a8.\n" in page
  assert "Measured from 2026-01-02 to 2026-01-05." in page


def test_earlier_recipes_are_counted(probe, record, methods):
  older = {**record().config, "epochs": 3}
  records = [probe("random", 0.1, config=older), probe("random", 0.5)]
  page = tables.table3(records, methods).markdown(())
  assert _row(page, methods.random.title)[1] == "50.0 (1)"
  assert "measured again since, in `cells.jsonl` and not here: 1." in page


def _few(record, method, seed, frozen, tuned, **changes):
  values = {
    way: {str(n): {"mean": base + n / 1000} for n in (1, 16)}
    for way, base in (("frozen", frozen), ("finetuned", tuned))
  }
  return record(protocol="few_shot", method=method, seed=seed, values=values, **changes)


def test_table_2_has_a_column_a_count(record, methods):
  records = [_few(record, "random", seed, 0.3, 0.2) for seed in range(3)]
  page = tables.table2(records, methods).markdown(())
  assert _row(page, "labels a class:")[1:3] == ["1", "16"]
  scratch = _row(page, "supervised from scratch")
  assert scratch[1:3] == ["20.1 ± 0.0 (3)", "21.6 ± 0.0 (3)"]
  assert _row(page, f"{methods.random.title}, frozen")[2] == "31.6 ± 0.0 (3)"
  assert _row(page, "SimCLR, fine-tuned")[1] == "not measured"


def test_table_4_has_a_table_a_machine(record, probe, methods):
  timed = {"minutes": 1.0, "training_seconds": 63.0, "pretraining_seconds": 90.0}
  ours = f"{methods.ours.name}_1min"
  untrained = {**timed, "minutes": 0.0, "training_seconds": 0.0}
  records = [
    probe(f"{methods.ours.name}_0min", 0.4, **untrained),
    probe(ours, 0.5, title=methods.ours.title, **timed),
    probe(ours, 0.6, 1, title=methods.ours.title, **timed),
    _few(record, ours, 0, 0.3, 0.2, **timed),
    probe(ours, 0.9, title=methods.ours.title, hardware="a GPU", **timed),
  ]
  page = tables.table4(records, methods, MINUTES).markdown(())
  gpu, cpu = page.split("## 2 x Processor")
  assert "## a GPU" in gpu
  rows = [line for line in cpu.splitlines() if line.startswith(f"| {methods.ours.title} |")]
  found = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
  assert found[0][1:6] == ["0", "0.0 (1)", "2,304", "1.5 (1)", "40.0 (1)"] and found[0][-1] == "2"
  assert found[1] == [
    *(methods.ours.title, "1", "1.1 ± 0.0 (2)", "2,304", "1.5 ± 0.0 (2)", "55.0 ± 7.1 (2)"),
    *("conv3", "31.6 (1)", "A", "1"),
  ]
  assert found[2][1:3] == ["3", "not measured"]
  assert "| 90.0 (1) |" in gpu and "| 90.0 (1) |" not in cpu
  nothing = tables.table4([], methods, MINUTES).markdown(())
  assert "## no machine yet" in nothing


def test_table_5_is_over_all_trainings(record, methods):
  ways = {
    way: {
      "mean_iou": 0.0,  # The mean of the runs is made here.
      "runs": [
        {"mean_iou": base + i / 10, "mean_accuracy": 0.6, "pixel_accuracy": 0.8} for i in range(2)
      ],
    }
    for way, base in (("given_weights", 0.4), ("random_weights", 0.2))
  }
  made = {"method": methods.ours.name, "protocol": "segmentation(seeds=2)", "values": ways}
  page = other_tables.table5([record(**made), record(seed=1, **made)], methods).markdown(())
  given = _row(page, methods.ours.title)
  assert given[1:5] == ["45.0 ± 5.8 (4)", "60.0 ± 0.0 (4)", "80.0 ± 0.0 (4)", "2.0 ± 0.0 (2)"]
  assert _row(page, "the same network, random weights")[1] == "25.0 ± 5.8 (4)"
  other = record(**{**made, "method": "split_brain", "title": "AlexNet"})
  page = other_tables.table5([other], methods).markdown(())
  assert _row(page, "AlexNet")[1] == "45.0 ± 7.1 (2)"
  assert _row(page, methods.ours.title)[1] == "not measured"
  nothing = other_tables.table5([], methods).markdown(())
  assert _row(nothing, methods.ours.title)[1] == "not measured"


def test_table_6_has_a_column_a_branch(record, methods):
  def made(method, loss, **changes):
    values = {"HHA->L": loss, "total": 2 * loss}
    return record(
      method=method.name,
      dataset=RGBD,
      protocol=HELD_OUT,
      values=values,
      commands=("pretrain it", ""),
      **changes,
    )

  records = [made(methods.depth, 0.25), made(methods.depth, 0.75, seed=1)]
  page = other_tables.table6([*records, made(methods.depth_random, 1.5)], methods).markdown(())
  assert _row(page, "weights")[1:3] == ["HHA->L", "total"]
  assert _row(page, methods.depth.title)[1:3] == ["0.500 ± 0.354 (2)", "1.000 ± 0.707 (2)"]
  assert _row(page, methods.depth_random.title)[1] == "1.500 (1)"
  assert "pretrain it" in page and "# after" not in page  # Nothing else measured it.
  assert "| not measured |" in other_tables.table6([], methods).markdown(())


def test_differences_are_those_of_the_seeds(record, probe, methods):
  ours = methods.ours.name
  records = [probe(ours, top, seed) for seed, top in enumerate((0.70, 0.68, 0.72))]
  records += [probe("random", top, seed) for seed, top in enumerate((0.55, 0.54, 0.53))]
  records += [probe("denoising_masking_10", 0.56), probe("denoising_gaussian_10", 0.58)]
  after = (ours, 0.6), ("simclr", 0.65), ("denoising_masking_10", 0.56)
  took = {ours: 180.0, "simclr": 168.0, "denoising_masking_10": 192.0}
  records += [
    probe(f"{name}_3min", top, minutes=3.0, training_seconds=took[name]) for name, top in after
  ]
  records += [_few(record, ours, 0, 0.5, 0.6), _few(record, "random", 0, 0.9, 0.25)]
  found = {(each.what, each.than): each for each in findings.differences(records, methods, (3.0,))}
  random = found["linear probe, 9,000 numbers", methods.random.title]
  assert random.value.mean == pytest.approx((0.15 + 0.14 + 0.19) / 3) and random.value.count == 3
  assert random.aim is None and random.steps == "2,304, 2,304"
  best = found["linear probe, 9,000 numbers", "DENOISING_GAUSSIAN_10, the best of 2"]
  assert best.value.mean == pytest.approx(0.12)
  assert found["linear probe, 9,000 numbers", methods.l_to_ab.title].value is None
  timed = {than: each for (what, than), each in found.items() if "after 3 minutes" in what}
  assert timed["SimCLR"].value.mean == pytest.approx(-0.05)
  assert timed[methods.denoising[0].title].value.mean == pytest.approx(0.04)
  assert timed[methods.random.title].value.mean == pytest.approx(0.05)
  assert timed["SimCLR"].minutes == "3.0, 2.8"
  assert timed[methods.random.title].minutes == "" == random.minutes
  assert "linear probe after 3 minutes, 2 x Processor" in {what for what, _ in found}
  few = "supervised from scratch"
  assert found["16 labels a class, frozen", few].value.mean == pytest.approx(0.25)
  assert found["16 labels a class, fine-tuned", few].value.mean == pytest.approx(0.35)


def test_aims_are_for_the_default_preset_with_all_of_its_epochs(record, probe, methods):
  small = {"protocol": "linear_probe(layers='', dimensions=2304)"}
  whole, ours = methods.whole.name, methods.ours.name
  elsewhere = {"layers": {"conv3": {"top1": 0.45}}, "best_layer": "conv1", "top1": 0.5}
  records = [probe(whole, 0.8), probe("random", 0.5, values=elsewhere), probe(whole, 0.78, **small)]
  records += [probe("random", 0.55, **small), probe("l_to_ab_kmeans", 0.6, **small)]
  records += [probe(ours, 0.7, **small, steps=288), _few(record, whole, 0, 0.5, 0.6)]
  found = findings.differences(records, methods, (3.0,))
  rows = {(each.what, each.ours, each.than): each for each in found}
  title = methods.whole.title
  random = rows["linear probe, 9,000 numbers", title, methods.random.title]
  assert random.value.mean == pytest.approx(0.3) and random.aim == "18 or more"
  same = rows["linear probe, 9,000 numbers", title, f"{methods.random.title}, on the same layer"]
  assert same.value.mean == pytest.approx(0.35) and same.aim == "18 or more"
  random = rows["linear probe, 2,304 numbers", title, methods.random.title]
  assert random.value.mean == pytest.approx(0.23) and random.aim == "18 or more"
  random = rows["linear probe, 2,304 numbers", methods.ours.title, methods.random.title]
  assert random.value.mean == pytest.approx(0.15) and random.aim is None
  assert random.steps == "288, 2,304"
  single = rows["linear probe, 2,304 numbers", title, methods.l_to_ab.title]
  assert single.value.mean == pytest.approx(0.18) and single.aim == "above 0"
  # What is not measured has a row for the numbers that the tables have.
  assert ("linear probe, 9,000 numbers", title, methods.simclr.title) not in rows
  assert rows["linear probe, 2,304 numbers", title, methods.simclr.title].value is None
  few = rows["16 labels a class, frozen", title, "supervised from scratch"]
  assert few.value is None and few.aim == "8 or more"
  assert ("linear probe", title, methods.random.title) not in rows
  (row, *_) = (each for each in findings.differences([], methods, ()) if each.ours == title)
  assert (row.what, row.value) == ("linear probe", None)


def test_all_is_written(record, probe, methods, tmp_path):
  records = Records(tmp_path)
  pages.check(records)
  pages.write(records, methods, minutes=MINUTES, command="the command")
  files = {"README.md", "cells.csv", *(f"table{i}.md" for i in range(1, 7))}
  assert {path.name for path in tmp_path.iterdir()} == files
  assert "linear probe" in (tmp_path / "README.md").read_text()
  ours = methods.ours.name
  untrained = probe(f"{ours}_0min", 0.4, minutes=0.0, training_seconds=0.0)
  records.add(untrained)
  pages.write(records, methods, minutes=MINUTES, command="the command")
  assert not (tmp_path / "table4.png").exists()  # A point alone is no plot.
  for seed in (0, 1):
    records.add(probe(ours, 0.5 + seed / 10, seed))
    records.add(probe(f"{ours}_1min", 0.5, seed, minutes=1.0, title=methods.ours.title))
    records.add(_few(record, ours, seed, 0.3, 0.2))
    records.add(_few(record, f"{ours}_1min", seed, 0.3, 0.2, minutes=1.0))
  pages.write(records, methods, minutes=MINUTES, command="the command")
  pictures = {"table1.png", "table2.png", "table3.png", "table4.png", "table4_few_shot.png"}
  assert {path.name for path in tmp_path.iterdir()} == {*files, "cells.jsonl", *pictures}
  for name in pictures:
    assert tf.io.decode_png((tmp_path / name).read_bytes()).shape[1] >= 700
    page = (tmp_path / f"{name[:6]}.md").read_text()
    assert f"]({name})" in page
  index = (tmp_path / "README.md").read_text()
  assert "`the command`" in index and "| not measured |" in index
  assert IMAGENETTE in index
