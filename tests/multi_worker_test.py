"""Real worker processes on this machine: they train as one, end as one, and go on as one."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import cluster
from tests import probe_photographs

_ROOT = pathlib.Path(cluster.__file__).parents[1]
_FLAGS = (
  "--backbone.width=0.25",
  "--backbone.synchronized=true",
  "--image_size=32",
  "--data.embedded_crops=96",
  "--data.heldout_limit=21",
  "--batch_size=16",
  "--panel_images=2",
  "--learning_rate=0.001",
  "--log_seconds=0.5",
)


class _Workers:
  """Worker processes of one cluster, each with a folder for temporary files of its own."""

  def __init__(
    self,
    folder: pathlib.Path,
    workdir: pathlib.Path,
    *flags: str,
    each: tuple[tuple[str, ...], ...] = ((), ()),
  ):
    count = len(each)
    self.logs = [folder / f"worker{i}.log" for i in range(count)]
    self.scratch = [folder / f"scratch{i}" for i in range(count)]
    addresses = [f"localhost:{port}" for port in _free_ports(count)]
    self.processes = []
    for index in range(count):
      self.scratch[index].mkdir(exist_ok=True)
      task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
      self.processes.append(
        subprocess.Popen(
          [
            *(sys.executable, "-m", "sbae_tf.pretrain", f"--workdir={workdir}"),
            *("--strategy=multi_worker_mirrored", *_FLAGS, *flags, *each[index]),
          ],
          cwd=_ROOT,
          env={**os.environ, "TF_CONFIG": json.dumps(task), "TMPDIR": str(self.scratch[index])},
          stdout=subprocess.DEVNULL,
          stderr=self.logs[index].open("w"),
        )
      )

  def wait(self, seconds: float = 240.0) -> list[int]:
    """The exit statuses, within so many seconds."""
    try:
      return [process.wait(seconds) for process in self.processes]
    finally:
      for process in self.processes:
        process.kill()
        process.wait()

  def wait_for(self, text: str, seconds: float = 240.0) -> None:
    """Until the first worker's log has a text."""
    end = time.monotonic() + seconds
    while text not in self.log(0):
      assert time.monotonic() < end and self.processes[0].poll() is None, self.log(0)
      time.sleep(0.2)

  def log(self, index: int) -> str:
    return self.logs[index].read_text()


def _free_ports(count: int) -> list[int]:
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for each in sockets:
      each.bind(("localhost", 0))
    return [each.getsockname()[1] for each in sockets]


def _weights(workdir: pathlib.Path) -> dict[str, np.ndarray]:
  (path,) = sorted((workdir / "checkpoints").glob("step-*"))[-1:]
  reader = tf.train.load_checkpoint(str(path / "state"))
  return {
    name: reader.get_tensor(name)
    for name in reader.get_variable_to_shape_map()
    if name.startswith("model/")
  }


def _alone(workdir: pathlib.Path, *flags: str) -> dict[str, np.ndarray]:
  """The weights of one worker with one device."""
  command = [sys.executable, "-m", "sbae_tf.pretrain", f"--workdir={workdir}", *_FLAGS, *flags]
  subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)
  return _weights(workdir)


def _assert_close(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
  assert ours.keys() == theirs.keys() and len(ours) > 20
  for name, value in ours.items():
    np.testing.assert_allclose(value, theirs[name], rtol=0.01, atol=5e-4, err_msg=name)


@pytest.mark.slow
def test_two_workers_make_the_weights_of_one_and_the_chief_alone_writes(tmp_path):
  """Twenty steps in four epochs; the last batch of held-out photographs is uneven."""
  flags = (
    "--steps=20",
    "--initialization.name=kmeans",
    "--initialization.photographs=32",
    f"--probe.path={probe_photographs.write(tmp_path / 'known', probe_photographs.TRAIN)}",
    f"--probe.test_path={probe_photographs.write(tmp_path / 'asked', probe_photographs.TEST)}",
    "--probe.epochs=2",
  )
  workers = _Workers(tmp_path, tmp_path / "two", *flags)
  assert workers.wait() == [0, 0], workers.log(0) + workers.log(1)
  _assert_close(_weights(tmp_path / "two"), _alone(tmp_path / "one", *flags))
  lines = [
    json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()
  ]
  heldout = [line["heldout/total"] for line in lines if "heldout/total" in line]
  assert len(heldout) == 4  # Once an epoch: by one worker.
  theirs = [json.loads(line) for line in (tmp_path / "one" / "metrics.jsonl").open()]
  assert heldout == pytest.approx(
    [x["heldout/total"] for x in theirs if "heldout/total" in x], rel=1e-3
  )
  both = [
    {x["step"]: x["probe/knn_top1"] for x in run if "probe/knn_top1" in x}
    for run in (lines, theirs)
  ]
  assert list(both[0]) == [12, 20]
  assert both[0] == pytest.approx(both[1], abs=0.051)  # Two of 40.
  assert (tmp_path / "two" / "encoder" / "saved_model.pb").exists()
  assert not list(workers.scratch[1].iterdir())  # What the other one wrote is gone.
  # Every line says whose it is.
  for index, name in enumerate(("worker 0 of 2, chief", "worker 1 of 2")):
    lines = [line for line in workers.log(index).splitlines() if "step " in line]
    assert len(lines) > 4 and all(f"[{name}]" in line for line in lines)


@pytest.mark.slow
def test_when_one_worker_dies_the_other_ends_and_both_go_on(tmp_path):
  """Then a signal to one of them ends both, with a checkpoint."""
  flags = ("--steps=600", "--checkpoint_minutes=0.02")
  workers = _Workers(tmp_path, tmp_path / "two", *flags)
  checkpoints = tmp_path / "two" / "checkpoints"
  workers.wait_for("step 12/600")
  workers.processes[1].kill()
  start = time.monotonic()
  assert workers.wait(120)[0] == 1
  assert time.monotonic() - start < 90
  last = workers.log(0).splitlines()[-1]
  assert last.startswith("pretrain: This is worker 0 of 2, chief: another worker ended")
  assert "resumes from the last checkpoint" in last
  left = sorted(path.name for path in checkpoints.glob("step-*"))
  assert left
  workers = _Workers(tmp_path, tmp_path / "two", *flags)
  workers.wait_for(f"Resuming from step {int(left[-1][5:])} of 600")
  workers.wait_for("/600  epoch")
  workers.processes[1].send_signal(signal.SIGTERM)
  assert workers.wait(60) == [143, 143], workers.log(0) + workers.log(1)
  last = max(int(path.name[5:]) for path in checkpoints.glob("step-*"))
  assert f"Interrupted: saved step {last} of 600" in workers.log(0)
  assert f"Interrupted: saved step {last} of 600" in workers.log(1)


@pytest.mark.slow
def test_workers_of_other_flags_are_refused(tmp_path):
  """Told of the same run, for a folder would refuse the other's flags first."""
  workers = _Workers(
    tmp_path, tmp_path / "two", "--steps=20", each=((), ("--learning_rate=0.002",))
  )
  assert workers.wait(120) == [1, 2]
  assert "Expected the same flags on every worker" in workers.log(1).splitlines()[-1]
  assert "another worker ended" in workers.log(0).splitlines()[-1]
