"""Tests of the command line around the run: help, a quiet start, and whose fault an error is."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import types
from typing import Any

import pytest

import sbae_tf
from sbae_tf import flags, pretrain
from sbae_tf.failures import WriteError

_ROOT = pathlib.Path(sbae_tf.__file__).parent.parent


def _run(code: str, folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
  """Runs code in a Python of its own, in a folder."""
  environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
  return subprocess.run(
    [sys.executable, "-c", textwrap.dedent(code)],
    cwd=folder,
    env={**environment, "PYTHONPATH": str(_ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )


@pytest.mark.parametrize("arguments", ["--help", "-h", "--helpfull", "--epochs=x --help"])
def test_help(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
  assert pretrain.main(arguments.split()) == 0
  out, err = capsys.readouterr()
  assert out.startswith(flags.help_text()) and err == ""
  rest = out[len(flags.help_text()) :]
  assert "the same command resumes" in rest and "130, 143 " in rest
  assert all(len(line) <= 100 for line in rest.splitlines())


def test_help_needs_no_tensorflow(tmp_path: pathlib.Path) -> None:
  done = _run(
    """
    import sys
    from sbae_tf import pretrain
    status = pretrain.main(["--help"])
    slow = {"tensorflow", "keras", "tf_keras", "tensorflow_io", "keras_cv", "numpy", "PIL"}
    print(status, sorted(slow & set(sys.modules)), file=sys.stderr)
    """,
    tmp_path,
  )
  assert done.stderr == "0 []\n"
  assert done.stdout.startswith(flags.help_text())


def test_a_mistake_in_the_flags_needs_no_tensorflow(tmp_path: pathlib.Path) -> None:
  done = _run(
    """
    import sys
    from sbae_tf import pretrain
    status = pretrain.main(["--epochs=-1"])
    print(status, sorted({"tensorflow", "keras", "numpy"} & set(sys.modules)))
    """,
    tmp_path,
  )
  assert done.stdout == "2 []\n"
  assert done.stderr.startswith("pretrain: Expected `epochs`")


def test_the_start_is_quiet(tmp_path: pathlib.Path) -> None:
  done = _run("import sbae_tf; sbae_tf.Encoder; sbae_tf.preset", tmp_path)
  assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_the_package_starts_no_tensorflow(tmp_path: pathlib.Path) -> None:
  done = _run(
    """
    import sys
    import sbae_tf
    sbae_tf.preset("split_brain"), sbae_tf.PretrainConfig(), sbae_tf.Branch, sbae_tf.Component
    dir(sbae_tf)
    print(sorted({"tensorflow", "keras", "tf_keras", "numpy"} & set(sys.modules)))
    """,
    tmp_path,
  )
  assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_public_names() -> None:
  for name in sbae_tf.__all__:
    assert getattr(sbae_tf, name).__name__ == name
    assert name in dir(sbae_tf)
  with pytest.raises(AttributeError, match="'sbae_tf' has no attribute 'nonesuch'"):
    sbae_tf.nonesuch  # noqa: B018


_RAISE = "def fault(): raise ValueError('no')\n"


def _module(name: str, source: str = _RAISE, **names: Any) -> types.ModuleType:
  module = types.ModuleType(name)
  vars(module).update(names)
  exec(compile(source, f"{name}.py", "exec"), vars(module))
  return module


def _caught(call: Any) -> ValueError:
  with pytest.raises(ValueError) as error:
    call()
  return error.value


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("sbae_tf.somewhere", True),
    ("sbae_tf.data.files", True),
    ("tensorflow.python", False),
    ("sbae_tf_extras.files", False),
    ("my_package.sbae_tf.files", False),
    ("json.decoder", False),
  ],
)
def test_raised_by_package(name: str, expected: bool) -> None:
  assert pretrain._raised_by_package(_caught(_module(name).fault)) is expected


def test_raised_by_package_looks_at_the_innermost_frame() -> None:
  other = _module("tensorflow.python")
  calls = "def call(): fault()\n"
  through = _module("sbae_tf.model", calls, fault=other.fault)
  assert pretrain._raised_by_package(_caught(through.call)) is False
  back = _module("tensorflow.python", calls, fault=_module("sbae_tf.model").fault)
  assert pretrain._raised_by_package(_caught(back.call)) is True


def test_raised_by_package_of_errors_that_were_explained() -> None:
  explains = """
    def call():
      try:
        fault()
      except ValueError as error:
        raise ValueError("explained") from error
  """
  module = _module("sbae_tf.x", textwrap.dedent(explains), fault=_module("numpy.x").fault)
  assert pretrain._raised_by_package(_caught(module.call)) is True


def _raises(error: BaseException) -> Any:
  def raises(*_: Any) -> None:
    raise error

  return raises


def test_a_fault_of_a_library_keeps_its_traceback(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
  monkeypatch.setattr(pretrain, "_pretrain", lambda *_: _module("tensorflow.python").fault())
  with pytest.raises(ValueError, match="^no$"):
    pretrain.main([f"--workdir={tmp_path / 'run'}"])
  monkeypatch.setattr(pretrain, "_pretrain", _raises(RuntimeError("deep")))
  with pytest.raises(RuntimeError, match="^deep$"):
    pretrain.main([f"--workdir={tmp_path / 'run'}"])
  assert capsys.readouterr() == ("", "")


def test_a_mistake_that_a_run_finds_is_one_line(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
  source = "def fault(): raise ValueError('Cannot read\\n  a.png.')\n"
  monkeypatch.setattr(pretrain, "_pretrain", lambda *_: _module("sbae_tf.training", source).fault())
  assert pretrain.main([f"--workdir={tmp_path / 'run'}"]) == 2
  assert capsys.readouterr() == ("", "pretrain: Cannot read a.png.\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interruption_is_one_line(
  number: int,
  status: int,
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.setattr(pretrain, "_pretrain", lambda *_: os.kill(os.getpid(), number))
  assert pretrain.main([f"--workdir={tmp_path / 'run'}"]) == status
  assert capsys.readouterr() == (
    "",
    f"pretrain: Interrupted by {signal.Signals(number).name}. The same command resumes from the "
    "last checkpoint.\n",
  )


def test_what_cannot_be_written_is_one_line(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
  monkeypatch.setattr(pretrain, "_pretrain", _raises(WriteError("Cannot write x:\n full.")))
  assert pretrain.main([f"--workdir={tmp_path / 'run'}"]) == 1
  assert capsys.readouterr() == ("", "pretrain: Cannot write x: full.\n")


def test_main_hands_on_what_was_asked_for(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  calls = []
  monkeypatch.setattr(pretrain, "_pretrain", lambda *arguments: calls.append(arguments))
  arguments = ["--preset=resnet18_lab", f"--workdir={tmp_path / 'run'}", "--epochs=3"]
  assert pretrain.main(arguments) == 0
  assert calls == [flags.parse(arguments)]
  assert not (tmp_path / "run").exists()
