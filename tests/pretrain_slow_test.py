"""The command line at its real size: minutes each."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
import tensorflow as tf

pytestmark = pytest.mark.slow


def _pretrain(*arguments: str, cwd) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, "-m", "sbae_tf.pretrain", *arguments],
    cwd=cwd,
    capture_output=True,
    text=True,
  )


def _heldout(workdir) -> list[dict[str, float]]:
  lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
  return [line for line in lines if "heldout/total" in line]


def test_the_default_command_trains_and_then_says_that_it_is_complete(tmp_path):
  result = _pretrain("--strategy=mirrored", "--epochs=12", cwd=tmp_path)
  assert result.returncode == 0, result.stderr
  workdir = tmp_path / "runs" / "split_brain_96_kmeans"
  heldout = _heldout(workdir)
  assert len(heldout) == 12
  # A head that knows nothing pays log 100 = 4.6 nats a pixel for either branch.
  assert heldout[-1]["heldout/L->ab"] < 0.75 * math.log(100)
  assert heldout[-1]["heldout/ab->L"] < 0.95 * math.log(100)
  assert "runs/split_brain_96_kmeans/encoder" in result.stdout and "Try next:" in result.stdout
  features = tf.saved_model.load(str(workdir / "encoder"))(tf.zeros((1, 96, 96, 3), tf.uint8))
  assert features["conv5"].shape == (1, 12, 12, 192)
  again = _pretrain("--strategy=mirrored", "--epochs=12", cwd=tmp_path)
  assert again.returncode == 0 and "complete already" in again.stdout


@pytest.mark.parametrize(
  ("preset", "part"),
  [
    ("split_brain_96_kmeans", 0.9),
    ("simplenet_lab", 0.9),
    # Where a bin means another color in every photograph, less can be told in 60 steps.
    ("simplenet_rescaled_lab", 0.97),
    ("simplenet_rgb", 0.9),
    ("resnet18_lab", 0.9),
    ("split_brain_96_gamut", 0.9),
  ],
)
def test_learns_from_real_photographs(preset, part, test_data, tmp_path):
  """Held-out losses fall to a part of those of a head that knows nothing."""
  result = _pretrain(
    f"--preset={preset}",
    f"--data={test_data}/imagenette96/train",
    "--workdir=run",
    "--steps=60",
    "--learning_rate=1e-3",
    "--data.heldout_limit=256",
    cwd=tmp_path,
  )
  assert result.returncode == 0, result.stderr
  last = _heldout(tmp_path / "run")[-1]
  branches = [name for name in last if name.startswith("heldout/") and name != "heldout/total"]
  assert len(branches) == 2
  assert sum(last[name] for name in branches) < part * 2 * math.log(100)
