"""The command line of embeddings: in this process, and as the process that a user starts."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sbae_tf import embed, embedder
from sbae_tf.embedding_manifest import read_manifest
from tests import mean_color

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module", name="encoder")
def _encoder(tmp_path_factory) -> str:
  return mean_color.save(tmp_path_factory.mktemp("model") / "model")


def _flags(encoder: str, data: object, out: object, *more: str) -> list[str]:
  return [
    *(f"--encoder={encoder}", f"--data={data}", f"--out={out}", "--features=color"),
    *("--image_size=8", *more),
  ]


def _assert_error(capsys, message: str) -> None:
  """The last of at most two lines: the first is the source's description."""
  lines = capsys.readouterr().err.splitlines()
  assert re.match(f"embed: {message}", lines[-1]), lines
  assert len(lines) <= 2


def test_writes_embeddings(encoder, tmp_path, capsys):
  photos = mean_color.write_photographs(tmp_path / "photos", 20, broken=(3,))
  out = tmp_path / "out"
  flags = _flags(encoder, photos, out, "--labels", "--shard_size=12", "--max_skipped=0.1")
  assert embed.main(flags) == 0
  output = capsys.readouterr()
  summary = (
    f"19 embeddings (color 3; float32) in 2 npy shards, 0.0 MB: {out}\n"
    f"Left out: 1; listed in {out}/skipped.tsv\n"
    f"Look at them:  python -m tools.neighbors --embeddings={out} --query=PHOTOGRAPH "
    "--out=grid.png\n"
  )
  assert output.out.endswith(summary)  # A first import within this process may print.
  assert output.err.splitlines()[0] == f"20 images in {photos}, 2 classes"
  names = (out / "names-00000-of-00002.txt").read_text().splitlines()
  array = np.load(out / "embeddings-00000-of-00002.npy")
  np.testing.assert_allclose(array, mean_color.expected(names), atol=1e-6)
  manifest = read_manifest(out)
  assert manifest.about["encoder"] == encoder and manifest.settings.data == str(photos)
  assert embed.main(flags) == 0  # All is there.
  assert capsys.readouterr().out == summary


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--batch_size=0"], "Expected --batch_size of 1 or more. Received: 0"),
    (["--max_skipped=2"], "Expected --max_skipped from 0 to 1"),
    (["--format=csv"], "Argument --format: invalid choice: 'csv'"),
    (["--feature=x"], "Unrecognized arguments: --feature=x. See --help"),
    (["--features=conv3"], "Expected features of blocks/4, color, large, scalar. Received: conv3"),
    (["--data=/nowhere"], ".*/nowhere"),
    (["--encoder=/nowhere"], "There is no SavedModel in /nowhere"),
    (["--format=tfrecord", "--dtype=float16"], "TFRecord holds float32 only"),
    (["--max_skipped=0"], "1 of 9 images cannot be read, more than --max_skipped=0 accepts"),
  ],
)
def test_mistakes_are_one_line(encoder, tmp_path, capsys, flags, message):
  photos = mean_color.write_photographs(tmp_path / "photos", 9, broken=(3,))
  assert embed.main(_flags(encoder, photos, tmp_path / "out", *flags)) == 2
  _assert_error(capsys, message)


def test_another_configuration_is_refused(encoder, tmp_path, capsys):
  photos = mean_color.write_photographs(tmp_path / "photos", 3)
  assert embed.main(_flags(encoder, photos, tmp_path / "out")) == 0
  capsys.readouterr()
  assert embed.main(_flags(encoder, photos, tmp_path / "out", "--dtype=float16")) == 2
  _assert_error(capsys, ".*made otherwise: dtype is float32 there and float16 here. Give another")


def test_what_cannot_go_on_has_status_1(encoder, tmp_path, capsys):
  photos = mean_color.write_photographs(tmp_path / "photos", 3)
  flags = _flags(encoder, photos, tmp_path / "out", "--features=large", "--dtype=float16")
  assert embed.main(flags) == 1
  assert "embed: Feature 'large' of " in capsys.readouterr().err


def test_a_fault_is_no_users_mistake(encoder, tmp_path, monkeypatch):
  def fail(*_: object, **__: object) -> None:
    raise ValueError("a fault")

  monkeypatch.setattr(embedder, "embed", fail)
  photos = mean_color.write_photographs(tmp_path / "photos", 3)
  with pytest.raises(ValueError, match="a fault"):
    embed.main(_flags(encoder, photos, tmp_path / "out"))


def _start(arguments: list[str]) -> subprocess.Popen[str]:
  return subprocess.Popen(
    [sys.executable, "-m", "sbae_tf.embed", *arguments],
    cwd=_ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_help_needs_no_tensorflow():
  done = subprocess.run(
    [
      *(sys.executable, "-c"),
      "import sys; from sbae_tf import embed\n"
      "try: embed.main(['--help'])\n"
      "except SystemExit as e: print(e.code, sorted({'tensorflow', 'numpy'} & set(sys.modules)))",
    ],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.endswith("\n0 []\n") and done.stderr == ""
  assert "\n  python -m sbae_tf.embed --encoder=runs/mine/encoder" in done.stdout


@pytest.mark.slow
def test_a_signal_ends_it_and_the_same_command_goes_on(encoder, tmp_path):
  photos = mean_color.write_photographs(tmp_path / "photos", 3000)
  out, whole = tmp_path / "out", tmp_path / "whole"
  more = ("--batch_size=1", "--shard_size=100")
  process = _start(_flags(encoder, photos, out, *more))
  end = time.monotonic() + 120
  while not (out / "embeddings-00002-of-00030.npy").exists():
    assert time.monotonic() < end and process.poll() is None, process.communicate()
    time.sleep(0.02)
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate(timeout=30)
  assert process.returncode == 130, errors
  assert errors.splitlines()[-1] == "embed: Interrupted by SIGINT. The same command goes on."
  assert "Traceback" not in errors
  done = len(read_manifest(out).shards)
  assert 3 <= done < 30 and len(list(out.glob("embeddings-*"))) == done
  assert not list(out.glob(".*"))
  for folder in (out, whole):
    process = _start(_flags(encoder, photos, folder, *more))
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert output.startswith("3,000 embeddings")
  assert {path.name: path.read_bytes() for path in out.iterdir()} == {
    path.name: path.read_bytes() for path in whole.iterdir()
  }


@pytest.mark.slow
def test_a_killed_run_goes_on(encoder, tmp_path):
  photos = mean_color.write_photographs(tmp_path / "photos", 3000)
  out = tmp_path / "out"
  flags = _flags(encoder, photos, out, "--batch_size=1", "--shard_size=100")
  process = _start(flags)
  end = time.monotonic() + 120
  while not (out / "embeddings-00002-of-00030.npy").exists():
    assert time.monotonic() < end and process.poll() is None, process.communicate()
    time.sleep(0.02)
  os.kill(process.pid, signal.SIGKILL)
  process.communicate()
  process = _start(flags)
  _, errors = process.communicate(timeout=300)
  assert process.returncode == 0, errors
  assert "photographs are there already." in errors
  names = [name for file in sorted(out.glob("names-*")) for name in file.read_text().splitlines()]
  arrays = [np.load(file) for file in sorted(out.glob("embeddings-*"))]
  assert len(set(names)) == 3000 and not list(out.glob(".*"))
  np.testing.assert_allclose(np.concatenate(arrays), mean_color.expected(names), atol=1e-6)
