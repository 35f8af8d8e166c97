"""Records with known numbers, and processes that only pretend."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import pytest

from sbae_tf import evaluate, flags
from sbae_tf.run_folder import RunFolder
from tools.reproduction import cells, hardware, recipe
from tools.reproduction.methods import Lineup, lineup
from tools.reproduction.records import Record

VALUES = {
  "linear_probe": {
    "layers": {f"conv{i}": {"top1": 0.5 + i / 100, "top5": 0.9} for i in range(1, 6)},
    "best_layer": "conv3",
    "top1": 0.53,
    "top5": 0.9,
  },
  "finetune": {"top1": 0.7, "top5": 0.95},
  "few_shot": {
    way: {str(n): {"mean": base + n / 100, "std": 0.01, "draws": [0.0]} for n in (1, 16)}
    for way, base in (("frozen", 0.2), ("finetuned", 0.1))
  },
}


@pytest.fixture
def methods() -> Lineup:
  """The default ones, with one denoising autoencoder."""
  return lineup(epochs=24, denoising=[("masking", 0.1)])


@pytest.fixture
def record(methods) -> Callable[..., Record]:
  """Makes a record of `simplenet_lab`, seed 0, linear probe, but for what is given."""
  cell = cells.Cell(methods.reports[1], cells.IMAGENETTE, 0, ("linear_probe",))
  base = Record(
    dataset=cells.IMAGENETTE,
    method="simplenet_lab",
    title="split-brain SimpleNet, Lab",
    seed=0,
    minutes=None,
    config=recipe.deciding(cell.config(), timed=False),
    protocol="linear_probe",
    values=VALUES["linear_probe"],
    steps=2304,
    training_seconds=600.0,
    pretraining_seconds=660.0,
    evaluation_seconds=120.0,
    commands=("python -m sbae_tf.pretrain --seed=0", "python -m sbae_tf.evaluate --seed=0"),
    hardware="2 x Processor",
    machine="2 x Processor, 8 GiB",
    revision="1a2b3c4",
    versions={"tensorflow": "2.15.1"},
    date="2026-01-02",
  )

  def make(**changes: object) -> Record:
    return dataclasses.replace(base, **changes)

  return make


class Pretender:
  """Launches processes that end at once, and leave what the real ones would.

  Attributes:
    launched: the arguments of each.
    failing: a word; a process with an argument that has it ends with 1.
    step_seconds: that a step takes.
  """

  def __init__(self) -> None:
    self.launched: list[tuple[str, ...]] = []
    self.failing: str | None = None
    self.step_seconds = 0.5

  def __call__(self, command, share) -> Pretender._Ended:
    self.launched.append(command.arguments)
    command.log.parent.mkdir(parents=True, exist_ok=True)
    if self.failing and any(self.failing in argument for argument in command.arguments):
      command.log.write_text("first\nit went wrong\n")
      return self._Ended(1)
    _, program, *arguments = command.arguments
    # By the real parsers: a flag that is not there any more ends the test.
    if program == "sbae_tf.pretrain":
      self._pretrain(*flags.parse(arguments))
    else:
      assert program == "sbae_tf.evaluate"
      self._evaluate(*evaluate._parse(arguments))
    return self._Ended(0)

  def _pretrain(self, config, workdir: pathlib.Path) -> None:
    folder = RunFolder(workdir)
    folder.open(config)
    if config.epochs:
      steps = config.steps or 10 * config.epochs
      rate = config.batch_size / self.step_seconds
      folder.add_metrics({"step": 1, "loss/total": 1.0})
      folder.add_metrics({"step": steps, "loss/total": 1.0, "images_per_second": rate})
    folder.add_metrics({"step": config.steps, "heldout/total": 2.5})
    folder.encoder.mkdir()

  def _evaluate(self, given, protocols) -> None:
    assert pathlib.Path(given.encoder).is_dir()
    pathlib.Path(given.cache).mkdir(exist_ok=True)
    pathlib.Path(given.out).mkdir(parents=True, exist_ok=True)
    report = {"protocols": {each.name: {"values": VALUES[each.name]} for each in protocols}}
    pathlib.Path(given.out, "report.json").write_text(json.dumps(report))

  @dataclasses.dataclass
  class _Ended:
    status: int

    def poll(self) -> int:
      return self.status

    def send_signal(self, sig: int) -> None:
      raise AssertionError("It has ended.")


@pytest.fixture
def pretender() -> Pretender:
  return Pretender()


@pytest.fixture(autouse=True)
def _machine(monkeypatch) -> None:
  monkeypatch.setattr(hardware, "hardware", lambda: "2 x Processor")
