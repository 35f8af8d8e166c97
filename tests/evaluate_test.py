"""The command line of evaluation: in this process, and as the process that a user starts."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf

from sbae_tf import evaluate
from sbae_tf.checkpoints import Checkpoints, Saved
from sbae_tf.evaluation import runner
from sbae_tf.model import PretrainModel
from sbae_tf.run_folder import RunFolder
from tests import mean_color

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module", name="encoder")
def _encoder(tmp_path_factory) -> str:
  return mean_color.save(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module", name="photos")
def _photos(tmp_path_factory) -> pathlib.Path:
  return mean_color.write_photographs(tmp_path_factory.mktemp("photos"), 60, broken=(4,))


def _flags(encoder: str, data: object, out: object, *more: str) -> list[str]:
  return [
    *(f"--encoder={encoder}", f"--data={data}", f"--out={out}", "--image_size=8"),
    *("--max_skipped=0.1", "--protocol=linear_probe,knn", "--knn.layer=color", *more),
  ]


def test_writes_a_report(encoder, photos, tmp_path, capsys):
  out = tmp_path / "out"
  flags = _flags(encoder, photos, out, "--knn.k=1", f"--cache={tmp_path / 'cache'}")
  assert evaluate.main(flags) == 0
  output = capsys.readouterr()
  assert (
    f"60 images in {photos}, 2 classes: 12 of them, a fifth of every class, held out to test\n"
    in output.err
  )
  lines = output.out.splitlines()[-4:]  # A first import within this process may print.
  assert lines[0] == f"Left out: 1 photographs; listed in {out}/skipped.tsv"
  assert re.fullmatch(r"linear_probe  \d+\.\d% by a linear classifier on blocks/4", lines[1])
  assert re.fullmatch(r"knn           \d+\.\d% by 1 nearest on color", lines[2])
  assert lines[3] == f"Report: {out}/report.html"
  report = json.loads((out / "report.json").read_text())
  assert report["command"].startswith("python -m sbae_tf.evaluate --encoder=")
  assert report["subject"]["name"] == encoder and report["protocols"]["knn"]["options"]["k"] == 1
  assert not (out / "features").exists() and list((tmp_path / "cache").rglob("*.npy"))
  assert evaluate.main(flags) == 0  # All is there.
  output = capsys.readouterr()
  assert output.out.splitlines() == lines and "knn: is there already" in output.err


@pytest.mark.slow
def test_a_run_without_an_export(small_config, photos, tmp_path, capsys):
  folder = RunFolder(tmp_path / "run")
  folder.open(small_config)
  for step, loss in ((10, 1.0), (20, 2.0)):
    state = tf.train.Checkpoint(model=PretrainModel(small_config))
    Checkpoints(folder.checkpoints, state, kept=2).save(Saved(step, {"total": loss}))
  flags = [f"--workdir={folder.path}", f"--data={photos}", f"--test={photos}", "--max_skipped=1"]
  checksums = set()
  for choice, step in (("best", 10), ("newest", 20)):
    more = [f"--checkpoint={choice}", f"--out={tmp_path / choice}", "--protocol=knn"]
    assert evaluate.main([*flags, *more]) == 0
    report = json.loads((tmp_path / choice / "report.json").read_text())
    assert report["subject"]["name"] == f"{folder.path}, {choice} checkpoint of step {step}"
    assert report["subject"]["image_size"] == 32 and report["subject"]["path"] is None
    checksums.add(report["identity"]["encoder_sha256"])
  assert len(checksums) == 2
  capsys.readouterr()
  assert evaluate.main([*flags, f"--out={tmp_path / 'x'}", "--image_size=33"]) == 2
  assert "multiples of 8. Received: 33 x 33" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--batch_size=0"], "Expected --batch_size of 1 or more. Received: 0"),
    (["--max_skipped=2"], "Expected --max_skipped from 0 to 1"),
    (["--checkpoint=best"], "--checkpoint is one of --workdir"),
    (["--protocols=knn"], "Unrecognized arguments: --protocols=knn. See --help"),
    (["--protocol=nonesuch"], "Unknown protocol 'nonesuch'. Known: few_shot, "),
    (["--few_shot.draws=3"], "--few_shot.draws=3 is an option of few_shot, which is not run"),
    (["--knn.k=0"], "protocol 'knn': Expected k of 1 or more. Received: 0"),
    (["--knn.k=x"], "Expected option 'k' of protocol 'knn' to be int"),
    (["--encoder=/nowhere"], "There is no SavedModel in /nowhere"),
    (["--signature=L"], "The SavedModel in .* has no signature 'L'"),
    (["--workdir=/nowhere"], "Argument --workdir: not allowed with argument --encoder"),
    (["--data=/nowhere"], ".*/nowhere"),
    (["--data={photos}/red"], "Expected photographs of two classes or more. Received: 40 images"),
    (["--test={other}"], "Expected the same classes in both parts. Only in the first: blue, red"),
    (["--data={single}"], "Expected --test: every class has one photograph"),
    (["--max_skipped=0"], "1 of 60 images cannot be read, more than --max_skipped=0 accepts"),
    (["--out={photos}"], "--out=.* holds other files and no report"),
    (["--knn.layer=conv3"], "Expected a layer of blocks/4, color, large. Received: conv3"),
    (["--linear_probe.layers=conv3"], "Expected a layer of blocks/4, color, large. Received: con"),
  ],
)
def test_mistakes_are_one_line(encoder, photos, tmp_path, capsys, flags, message):
  (tmp_path / "other").mkdir()
  for name in ("green", "yellow"):
    (tmp_path / "other" / name).mkdir()
    (tmp_path / "other" / name / "0.png").write_bytes((photos / "red" / "000.png").read_bytes())
  places = {"photos": photos, "other": tmp_path / "other", "single": tmp_path / "other"}
  flags = [flag.format(**places) for flag in flags]
  before = sorted(photos.rglob("*"))
  assert evaluate.main(_flags(encoder, photos, tmp_path / "out", *flags)) == 2
  error = capsys.readouterr().err.splitlines()
  assert re.match(f"evaluate: {message}", error[-1]), error
  assert not any("Traceback" in line for line in error)
  assert sorted(photos.rglob("*")) == before


def test_photographs_with_masks_need_no_classes(encoder, photos, tmp_path, capsys):
  data = tmp_path / "photos"
  shutil.copytree(photos / "red", data)
  flags = [f"--encoder={encoder}", f"--data={data}", "--image_size=8", "--protocol=segmentation"]
  more = [f"--out={tmp_path / 'out'}", "--max_skipped=0.1", "--segmentation.masks=/nowhere"]
  assert evaluate.main([*flags, *more]) == 2
  told, error = capsys.readouterr().err.splitlines()[-2:]
  assert told.endswith("8 of them, a fifth, held out to test")
  assert re.match("evaluate: Expected photographs with masks by the option masks='/nowhere'", error)


def test_a_fault_is_no_users_mistake(encoder, photos, tmp_path, monkeypatch):
  monkeypatch.setattr(runner, "check_same_classes", lambda *_: int("a fault"))
  with pytest.raises(ValueError, match="a fault"):
    evaluate.main(_flags(encoder, photos, tmp_path / "out"))


def test_what_cannot_go_on_has_status_1(photos, tmp_path, capsys):
  infinite = mean_color.save(tmp_path / "model", scale=float("inf"))
  assert evaluate.main(_flags(infinite, photos, tmp_path / "out")) == 1
  assert re.match("evaluate: Feature 'blocks/4' of .* is not fin", _last_line(capsys))


def _last_line(capsys) -> str:
  return capsys.readouterr().err.splitlines()[-1]


def test_help_needs_no_tensorflow():
  done = subprocess.run(
    [
      *(sys.executable, "-c"),
      "import sys; from sbae_tf import evaluate\n"
      "try: evaluate.main(['--help'])\n"
      "except SystemExit as e: print(e.code, sorted({'tensorflow', 'numpy'} & set(sys.modules)))",
    ],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.endswith("\n0 []\n") and done.stderr == ""
  assert "\n  python -m sbae_tf.evaluate --encoder=runs/mine/encoder" in done.stdout
  assert "\n  linear_probe  A linear classifier on" in done.stdout


@pytest.mark.slow
def test_a_signal_ends_it_and_the_same_command_goes_on(encoder, tmp_path):
  photos = mean_color.write_photographs(tmp_path / "photos", 3000)
  out = tmp_path / "out"
  command = [
    *(sys.executable, "-m", "sbae_tf.evaluate"),
    *_flags(encoder, photos, out, "--protocol=knn,linear_probe", "--batch_size=1"),
  ]
  process = subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE, text=True)
  end = time.monotonic() + 300
  # Within the features of the second protocol.
  while not list(out.glob("features/*/.blocks*")):
    assert time.monotonic() < end and process.poll() is None, process.communicate()
    time.sleep(0.02)
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate(timeout=60)
  assert process.returncode == 130, errors
  assert errors.splitlines()[-1] == "evaluate: Interrupted by SIGINT. The same command goes on."
  assert "Traceback" not in errors
  assert not list(out.rglob(".*")) and not list(out.rglob("blocks*"))
  before = json.loads((out / "report.json").read_text())["protocols"]
  assert list(before) == ["knn"]
  done = subprocess.run(command, cwd=_ROOT, stderr=subprocess.PIPE, text=True, check=True)
  assert "knn: is there already" in done.stderr
  after = json.loads((out / "report.json").read_text())["protocols"]
  assert list(after) == ["knn", "linear_probe"] and after["knn"] == before["knn"]
