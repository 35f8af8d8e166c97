from __future__ import annotations

import pytest

from sbae_tf import export_request
from sbae_tf.command_line import UsageError
from sbae_tf.export_request import Request, parse
from sbae_tf.formats import tflite
from sbae_tf.trained import CHOICES


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  for name in ("encoder", "run"):
    (tmp_path / name).mkdir()
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_reads_flags():
  request = parse(["--workdir=run", "--format=tflite", "--quantize=int8", "--data=p", "--out=o"])
  assert request == Request(
    "o", format="tflite", workdir="run", quantize="int8", data="p", checkpoint="best"
  )
  assert parse(["--encoder=encoder", "--out=o"]) == Request("o", encoder="encoder")
  request = parse(["--workdir=run", "--rescale", "--out=o"])
  assert request == Request("o", workdir="run", rescale=True)


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ("--encoder=encoder", "required: --out"),
    ("--out=o", "one of --encoder and --workdir"),
    ("--out=o --encoder=encoder --workdir=run", "one of --encoder and --workdir"),
    ("--out=o --encoder=nowhere", "no folder --encoder=nowhere"),
    ("--out=o --workdir=nowhere", "no folder --workdir=nowhere"),
    ("--out=run --encoder=encoder", "--out=run is there already"),
    ("--out=o --encoder=encoder --format=pb", "--format.*'pb'.*tflite"),
    ("--out=o --encoder=encoder --format=colorizer", "--format=colorizer needs --workdir"),
    ("--out=o --encoder=encoder --format=onnx --quantize=float16", "for --format=tflite alone"),
    ("--out=o --encoder=encoder --format=tflite --quantize=int8", "needs --data"),
    ("--out=o --encoder=encoder --format=tflite --rescale", "--rescale is for fine-tuning"),
    ("--out=o --encoder=encoder --image_size=64", "--format=tflite and onnx"),
    ("--out=o --encoder=encoder --format=onnx --image_size=-8", "above 0. Received: -8"),
    ("--out=o --encoder=encoder --format=onnx --image_size=big", "--image_size.*'big'"),
    ("--out=o --encoder=encoder --colour=red", "--colour=red"),
    ("--out=o --enc=encoder", "--enc=encoder"),
  ],
)
def test_says_what_is_wrong_in_one_line(flags, message):
  with pytest.raises(UsageError, match=message) as caught:
    parse(flags.split())
  assert "\n" not in str(caught.value)


def test_refuses_a_link_to_nowhere(folder):
  (folder / "o").symlink_to("nowhere")
  with pytest.raises(UsageError, match="--out=o is there already"):
    parse(["--encoder=encoder", "--out=o"])


def test_help_names_everything(capsys):
  with pytest.raises(SystemExit) as caught:
    parse(["--help"])
  assert caught.value.code == 0
  text = capsys.readouterr().out
  assert all(line == line.rstrip() and len(line) <= 100 for line in text.splitlines())
  for name in (*export_request.FORMATS, *CHOICES, *tflite.QUANTIZATIONS):
    assert name in text


def test_choices_are_those_of_the_modules():
  # Written twice, for the flags are read before TensorFlow is there.
  actions = {action.dest: action for action in export_request._parser()._actions}
  assert tuple(actions["checkpoint"].choices) == CHOICES
  assert tuple(actions["quantize"].choices) == tflite.QUANTIZATIONS
