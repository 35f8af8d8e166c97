"""Tests of the command line around the run: help, a quiet start, and whose fault an error is."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

import sbae_tf
from sbae_tf import flags, pretrain

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


def test_main_hands_on_what_was_asked_for(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  calls = []
  monkeypatch.setattr(pretrain, "_pretrain", lambda *arguments: calls.append(arguments[:2]))
  arguments = ["--preset=resnet18_lab", f"--workdir={tmp_path / 'run'}", "--epochs=3"]
  assert pretrain.main(arguments) == 0
  assert calls == [flags.parse(arguments)]
  assert not (tmp_path / "run").exists()
