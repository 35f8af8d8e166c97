"""The command in a process of its own, and what it prints."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from sbae_tf import export_cli
from sbae_tf.checked_export import DifferenceError, Written
from sbae_tf.formats import onnx

_ONNX_PYTHON = os.environ.get("SBAE_ONNX_PYTHON", sys.executable)


@pytest.fixture(scope="module")
def saved_model(encoder_folder) -> pathlib.Path:
  return encoder_folder


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, "-m", "sbae_tf.export", *arguments],
    env={**os.environ, **variables},
    capture_output=True,
    text=True,
    timeout=300,
  )


def test_help_needs_no_tensorflow(tmp_path):
  (tmp_path / "tensorflow.py").write_text("raise ImportError('TensorFlow is not to be imported')")
  done = _run("--help", PYTHONPATH=f"{tmp_path}:{os.getcwd()}")
  assert (done.returncode, done.stderr) == (0, "")
  assert "--quantize" in done.stdout
  done = _run("--out=o", PYTHONPATH=f"{tmp_path}:{os.getcwd()}")
  assert done.returncode == 2
  assert done.stderr == "export: Expected one of --encoder and --workdir. See --help\n"


@pytest.mark.slow
def test_writes_and_tells(saved_model, tmp_path):
  out = tmp_path / "encoder.tflite"
  done = _run(f"--encoder={saved_model}", "--format=tflite", f"--out={out}")
  assert done.returncode == 0, done.stderr
  assert done.stderr == ""
  assert done.stdout.startswith(f"Wrote {out}: tflite, 0.")
  assert (
    "Run by TensorFlow Lite on 32 of 512 heldout crops of 10 embedded photographs." in done.stdout
  )
  assert "  embedding  " in done.stdout
  again = _run(f"--encoder={saved_model}", "--format=tflite", f"--out={out}")
  assert (again.returncode, again.stdout) == (2, "")
  assert "is there already" in again.stderr


@pytest.mark.slow
def test_writes_onnx(saved_model, tmp_path):
  for package in ("tf2onnx", "onnxruntime"):
    if not onnx.has(package, python=_ONNX_PYTHON):
      pytest.skip(f"{_ONNX_PYTHON} has no {package}")
  out = tmp_path / "encoder.onnx"
  flags = [f"--encoder={saved_model}", "--format=onnx", f"--onnx_python={_ONNX_PYTHON}"]
  done = _run(*flags, f"--out={out}")
  assert done.returncode == 0, done.stderr
  assert "Run by onnxruntime on 32 of 512 heldout crops" in done.stdout
  assert out.stat().st_size > 100_000


def _main(monkeypatch, result) -> int:
  def export(request):
    if isinstance(result, Exception):
      raise result
    return result

  monkeypatch.setattr("sbae_tf.checked_export.export", export)
  return export_cli.main(["--encoder=.", "--format=tflite", "--out=new"])


def test_tells_what_it_found(monkeypatch, capsys):
  written = Written(
    1_234_567, "3 photographs", "TensorFlow Lite", {"conv1": 1.2e-6, "a": 0.0}, 1e-4
  )
  assert _main(monkeypatch, written) == 0
  assert capsys.readouterr().out == (
    "Wrote new: tflite, 1.2 MB.\n"
    "Run by TensorFlow Lite on 3 photographs.\n"
    "Largest difference from the SavedModel, as a part of the largest number (at most 0.0001):\n"
    "  conv1  1.2e-06\n"
    "  a      0\n"
  )


def test_tells_the_rates_of_layers_that_were_scaled(monkeypatch, capsys):
  rates = {"tower/conv1": 0.25, "tower/conv2": 4.0, "tower/conv3": float("nan")}
  written = Written(2_000_000, "3 photographs", "TensorFlow", {"a": 1e-6}, 1e-4, rates)
  assert _main(monkeypatch, written) == 0
  text = capsys.readouterr().out
  assert "Scaled its layers, which learned at 0.25 to 4 times their mean rate, to learn at" in text
  assert "Largest difference from the SavedModel as it was" in text


def test_says_when_nothing_was_checked(monkeypatch, capsys):
  assert _main(monkeypatch, Written(2_000_000, "3 photographs", "", {}, 1e-4)) == 0
  assert "Not checked" in capsys.readouterr().out


@pytest.mark.parametrize(
  ("error", "status"),
  [(DifferenceError("other numbers"), 1), (OSError(28, "No space left"), 1)],
)
def test_ends_in_one_line(monkeypatch, capsys, error, status):
  assert _main(monkeypatch, error) == status
  output = capsys.readouterr()
  assert output.out == ""
  assert output.err.startswith("export: ")
  assert output.err.count("\n") == 1


def test_a_mistake_in_files_is_told_in_one_line(capsys, tmp_path):
  assert export_cli.main([f"--encoder={tmp_path}", f"--out={tmp_path}/new"]) == 2
  assert capsys.readouterr().err.startswith(f"export: There is no SavedModel in {tmp_path}")


def test_a_fault_is_not_taken_for_a_users_mistake(monkeypatch):
  with pytest.raises(ValueError, match="a fault"):
    _main(monkeypatch, ValueError("a fault"))  # Raised here, and not in the package.
