"""The plot of a run's losses, from its metrics."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import tensorflow as tf

pytest.importorskip("matplotlib")

from tools import plot_run


@pytest.fixture(name="workdir")
def _workdir(tmp_path):
  lines = [
    {"step": 1, "time": 0.5, "loss/L->ab": 4.5, "loss/ab->L": 4.6, "learning_rate": 1e-4},
    {"step": 2, "time": 0.9, "loss/L->ab": 4.1, "loss/ab->L": 4.5, "images_per_second": 100.0},
    {"step": 2, "time": 1.0, "heldout/L->ab": 4.2, "heldout/ab->L": 4.4},
  ]
  (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
  return tmp_path


def test_reads_each_scalar_with_its_steps(workdir):
  series = plot_run.read_series(workdir / "metrics.jsonl")
  assert series["loss/L->ab"] == ([1, 2], [4.5, 4.1])
  assert series["heldout/ab->L"] == ([2], [4.4])
  assert "time" not in series and "step" not in series


def test_draws_a_plot_a_branch(workdir):
  plot_run.draw(workdir, workdir / "loss.png", title="A run")
  picture = tf.io.decode_png((workdir / "loss.png").read_bytes())
  assert picture.shape[1] == 800  # Two branches of 400 pixels.
  assert len(set(picture.numpy().reshape(-1, picture.shape[2])[:, 0].tolist())) > 10


def test_tells_the_run_in_a_line(workdir):
  line = plot_run.summarize(workdir)
  assert line.startswith(f"| {workdir.name} | 2 | 100 | L->ab 4.200, ab->L 4.400 | ")
  assert f"tensorflow {tf.__version__}" in line


def test_a_folder_without_metrics_is_one_line(tmp_path):
  result = subprocess.run(
    [sys.executable, "-m", "tools.plot_run", str(tmp_path), f"--out={tmp_path}/loss.png"],
    capture_output=True,
    text=True,
  )
  assert result.returncode == 2
  assert result.stderr == f"plot_run: No metrics.jsonl in {tmp_path}: not a run's folder.\n"
