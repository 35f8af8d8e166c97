"""The torture of a run: its plan, its comparison, its words; and, slow, a short real one."""

from __future__ import annotations

import collections
import json
import pathlib
import shutil
import signal
import sys

import pytest
import tensorflow as tf

from tools import torture
from tools.torture import Kill, Life


@pytest.fixture(name="peaceful")
def _peaceful(tmp_path) -> pathlib.Path:
  """A folder with what is compared of a finished run."""
  folder = tmp_path / "peaceful"
  variables = {"weight": tf.Variable([[1.0, 2.0]]), "steps": tf.Variable(7, dtype=tf.int64)}
  for prefix in ("checkpoints/step-00000003/state", "encoder/variables/variables"):
    (folder / prefix).parent.mkdir(parents=True)
    tf.train.Checkpoint(**variables).write(str(folder / prefix))
  lines = [
    {"step": 1, "time": 1.0, "loss/total": 3.0},
    {"step": 3, "time": 2.0, "heldout/total": 2.5},
  ]
  (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
  return folder


@pytest.fixture(name="tortured")
def _tortured(peaceful, tmp_path) -> pathlib.Path:
  """The same run; other times, and other lines between the held-out ones."""
  folder = tmp_path / "tortured"
  shutil.copytree(peaceful, folder)
  lines = (folder / "metrics.jsonl").read_text().replace('"time": ', '"time": 5')
  (folder / "metrics.jsonl").write_text('{"step": 1, "time": 0, "loss/total": 1.0}\n' + lines)
  return folder


def _differences(tortured, peaceful) -> dict[str, list[str]]:
  return {what: names for what, names in torture.compare(tortured, peaceful).items() if names}


def test_the_same_run_has_no_differences(tortured, peaceful):
  assert _differences(tortured, peaceful) == {}
  assert set(torture.compare(tortured, peaceful)) == {
    "2 variables of the last checkpoint",
    "2 variables of the exported encoder",
    "1 held-out lines of metrics.jsonl",
    "partial files left",
  }


@pytest.mark.parametrize(
  "prefix", ["checkpoints/step-00000003/state", "encoder/variables/variables"]
)
def test_a_single_bit_is_a_difference(prefix, tortured, peaceful):
  other = tf.Variable([[1.0, 2.0000002]])
  tf.train.Checkpoint(weight=other, steps=tf.Variable(7, dtype=tf.int64)).write(
    str(tortured / prefix)
  )
  (names,) = _differences(tortured, peaceful).values()
  assert names == ["weight/.ATTRIBUTES/VARIABLE_VALUE"]


def test_what_is_not_there_is_a_difference(tortured, peaceful):
  shutil.rmtree(tortured / "encoder")
  (names,) = _differences(tortured, peaceful).values()
  assert len(names) == 2


def test_nothing_on_either_side_is_no_agreement(tortured, peaceful):
  for folder in (tortured, peaceful):
    (folder / "metrics.jsonl").write_text("")
  assert list(_differences(tortured, peaceful).values()) == [["nothing to compare"]]


@pytest.mark.parametrize("change", ["value", "twice", "missing"])
def test_heldout_lines_are_compared(change, tortured, peaceful):
  lines = (tortured / "metrics.jsonl").read_text().splitlines(keepends=True)
  lines = {
    "value": [line.replace("2.5", "2.5000001") for line in lines],
    "twice": [*lines, lines[-1]],
    "missing": lines[:-1],
  }[change]
  (tortured / "metrics.jsonl").write_text("".join(lines))
  (names,) = _differences(tortured, peaceful).values()
  assert names == ["line 1, step 3" if change == "twice" else "line 0, step 3"]


def test_partial_files_are_found(tortured, peaceful):
  (tortured / "checkpoints" / ".step-00000004.1.aside").mkdir()
  assert _differences(tortured, peaceful) == {
    "partial files left": ["checkpoints/.step-00000004.1.aside"]
  }


def test_the_plan():
  plan = torture.plan(20, startup=6.0, training=28.0, seed=0)
  assert plan == torture.plan(20, startup=6.0, training=28.0, seed=0)
  assert plan != torture.plan(20, startup=6.0, training=28.0, seed=1)
  assert collections.Counter(kill.after for kill in plan) == {
    "start": 4,
    "step": 7,
    "saving": 7,
    "export": 2,
  }
  assert [kill.after for kill in plan[-2:]] == ["export", "export"]
  assert all(kill.seconds <= 6.0 for kill in plan if kill.after == "start")
  assert all(kill.seconds <= 4.0 for kill in plan if kill.after == "step")
  assert {kill.signal for kill in plan} == {signal.SIGKILL, signal.SIGTERM, signal.SIGINT}


def test_a_life_is_killed(tmp_path):
  kill = Kill("start", 0.5, signal.SIGKILL)
  life = torture.live([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, kill)
  assert (life.kill, life.status, life.step) == (kill, -signal.SIGKILL, 0)
  assert 0.5 <= life.lived < 10


def test_a_life_that_ends_before_was_not_killed(tmp_path):
  (tmp_path / "checkpoints" / "step-00000012").mkdir(parents=True)
  for after in ("start", "saving"):
    life = torture.live([sys.executable, "-c", ""], tmp_path, Kill(after, 1.0, signal.SIGKILL))
    assert (life.kill, life.status, life.took, life.step) == (None, 0, 0.0, 12)


@pytest.mark.parametrize(
  ("after", "name"),
  [("saving", "checkpoints/.step-00000003.{}.aside"), ("export", ".encoder.{}.aside")],
)
def test_what_an_earlier_life_left_is_not_seen_again(after, name, tmp_path):
  assert not torture.seen(tmp_path, after, 0.0, ())
  (tmp_path / name.format(1)).mkdir(parents=True)
  before = torture.partial(tmp_path)
  assert before == (name.format(1),)
  assert torture.seen(tmp_path, after, 0.0, ())
  assert not torture.seen(tmp_path, after, 0.0, before)
  (tmp_path / name.format(2)).mkdir()
  assert torture.seen(tmp_path, after, 0.0, before)


def test_a_first_step_is_seen_in_the_metrics(tmp_path):
  for line, expected in (("", False), ('{"step": 1, "time": 5.0}\n', True), ('{"step": 1', False)):
    (tmp_path / "metrics.jsonl").write_text(line)
    assert torture.seen(tmp_path, "step", 4.0, ()) == expected
    assert not torture.seen(tmp_path, "step", 6.0, ())


def test_a_life_with_a_wrong_status_is_an_error(tmp_path):
  code = "import sys, time; time.sleep(60 * len(sys.argv[1:])); sys.exit('a fault')"
  with pytest.raises(RuntimeError, match=r"(?s)status \(0,\). Received: 1. It said:\na fault"):
    torture.live([sys.executable, "-c", code], tmp_path, None)
  kill = Kill("step", 0.0, signal.SIGTERM)
  (tmp_path / "metrics.jsonl").write_text('{"step": 1, "time": 1e12}\n')
  with pytest.raises(RuntimeError, match=r"status \(0, 143\). Received: -15"):
    torture.live([sys.executable, "-c", code, "wait"], tmp_path, kill)


def test_the_result_is_told():
  kill = Kill("saving", 0.25, signal.SIGTERM)
  lives = [Life(kill, 8.0, 0.5, 143, 20, (".best.1.aside",)), Life(None, 9.0, 0.0, 0, 30, ())]
  found = {"4 things": [], "5 others": ["b"]}
  text = torture.markdown(lives, lives[1], found, ["python", "-m", "x"])
  assert "# Resume: 1 kills" in text and "**DIFFERENCES**" in text
  assert "| 4 things | 0 |" in text and "| 5 others | 1: b |" in text
  assert "| 1 | SIGTERM | 0.25 s after saving | 8.0 | 143 | 20 | .best.1.aside |" in text
  assert "ended the process after 0.5 s at most" in text
  assert "**the same bits**" in torture.markdown(lives, lives[1], {"4 things": []}, ["x"])


@pytest.mark.slow
def test_two_kills(tmp_path):
  out = tmp_path / "torture.md"
  assert torture.main(["--kills=2", "--steps=90", "--seed=3", f"--out={out}"]) == 0
  text = out.read_text()
  assert "# Resume: 2 kills" in text and "**the same bits**" in text
