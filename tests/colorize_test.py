"""The command line of colorization, and the whole way from a run of pretraining."""

from __future__ import annotations

import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import skimage.color
from PIL import Image

from sbae_tf import colorize, pretrain
from sbae_tf.model import PretrainModel
from tests import sure_colors

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module", name="run")
def _run(small_config, tmp_path_factory) -> pathlib.Path:
  model = sure_colors.model(small_config)
  return sure_colors.save_run(model, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module", name="photos")
def _photos(tmp_path_factory) -> pathlib.Path:
  return sure_colors.write_photographs(tmp_path_factory.mktemp("data") / "photos")


def _flags(run: object, data: object, out: object, *more: str) -> list[str]:
  return [f"--workdir={run}", f"--data={data}", f"--out={out}", "--max_skipped=1", *more]


def test_colorizes(run, photos, tmp_path, capsys):
  out = tmp_path / "out"
  assert colorize.main(_flags(run, photos, out, "--grid=2")) == 0
  output = capsys.readouterr()
  lines = output.out.splitlines()[-5:]  # A first import within this process may print.
  assert lines[0] == f"5 photographs in color, of which 1 were gray: {out}/colorized"
  numbers = r"PSNR \d+\.\d\d dB, RMSE of ab \d+\.\d\d, over all pixels \d+\.\d\d"
  assert re.fullmatch(f"colorized      {numbers}", lines[1])
  assert re.fullmatch(f"without color  {numbers}", lines[2])
  assert lines[3:] == [
    f"Left out: 2; listed in {out}/skipped.tsv",
    f"Look at them:  {out}/grid.png",
  ]
  assert output.err.splitlines()[0] == f"7 images in {photos}"
  assert (out / "grid.png").is_file() and (out / "colorized" / "red" / "odd.png").is_file()
  settings = json.loads((out / "settings.json").read_text())
  assert settings["settings"]["temperature"] == 0.38 and settings["about"]["step"] == 10
  assert colorize.main(_flags(run, photos, out, "--grid=2", "--temperature=0.38")) == 0
  output = capsys.readouterr()
  assert output.out.splitlines() == lines and "5 of 7 photographs are there already" in output.err


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--image_size=0"], "Expected --image_size of 1 or more. Received: 0"),
    (["--decode=median"], "Argument --decode: invalid choice: 'median'"),
    (["--decode=mode", "--temperature=0.5"], "--temperature is one of --decode=annealed_mean"),
    (["--temperature=0"], "Expected --temperature above 0, at most 1. Received: 0.0"),
    (["--quality=90"], "--quality is one of --format=jpeg"),
    (["--format=jpeg", "--quality=0"], "Expected --quality from 1 to 100. Received: 0"),
    (["--grid=-1"], "Expected --grid of 0 or more. Received: -1"),
    (["--workdir=/nowhere"], "There is no run in /nowhere"),
    (["--data=/nowhere"], ".*/nowhere"),
  ],
)
def test_mistakes_are_one_line(run, photos, tmp_path, capsys, flags, message):
  assert colorize.main(_flags(run, photos, tmp_path / "out", *flags)) == 2
  lines = capsys.readouterr().err.splitlines()
  assert re.match(f"colorize: {message}", lines[-1]), lines
  assert not any("Traceback" in line for line in lines)


def test_a_run_that_cannot(small_config, photos, tmp_path, capsys):
  model = sure_colors.model(small_config, branches=["a,b->L"])
  run = sure_colors.save_run(model, tmp_path / "run")
  assert colorize.main(_flags(run, photos, tmp_path / "out")) == 2
  expected = "colorize: Expected a branch L->a,b to colorize with. Received: ab->L"
  assert capsys.readouterr().err.splitlines()[1].startswith(expected)
  assert not (tmp_path / "out").exists()


def test_how_colors_are_decoded(small_config, run, photos, tmp_path):
  def temperature(model: PretrainModel, *flags: str) -> float | None:
    parsed = colorize._parse(_flags(run, photos, tmp_path, *flags))
    return colorize._colorizer(parsed, model).temperature

  bins = sure_colors.model(small_config)
  assert temperature(bins) == temperature(bins, "--decode=annealed_mean") == 0.38
  assert temperature(bins, "--temperature=0.2") == 0.2
  assert temperature(bins, "--decode=mean") == 1.0
  assert temperature(bins, "--decode=mode") == 0.0
  regression = sure_colors.model(small_config, branches=["L->a,b:regression"])
  assert temperature(regression) is None
  for flag in ("--decode=mode", "--decode=annealed_mean", "--temperature=0.2"):
    with pytest.raises(ValueError, match="by regression"):
      temperature(regression, flag)


def test_help_needs_no_tensorflow():
  done = subprocess.run(
    [
      *(sys.executable, "-c"),
      "import sys; from sbae_tf import colorize\n"
      "try: colorize.main(['--help'])\n"
      "except SystemExit as e: print(e.code, sorted({'tensorflow', 'numpy'} & set(sys.modules)))",
    ],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.endswith("\n0 []\n") and done.stderr == ""
  assert "\n  python -m sbae_tf.colorize --workdir=runs/mine" in done.stdout
  assert all(len(line) <= 100 for line in done.stdout.splitlines())


@pytest.mark.slow
def test_from_a_short_run_to_a_folder_of_frames(tmp_path):
  run = tmp_path / "run"
  flags = "--data.embedded_crops=64 --image_size=32 --backbone.width=0.25 --batch_size=16"
  assert pretrain.main([f"--workdir={run}", "--epochs=1", *flags.split()]) == 0
  frames, out, whole = tmp_path / "frames", tmp_path / "out", tmp_path / "whole"
  (frames / "scene").mkdir(parents=True)
  for number in range(60):
    frame = Image.fromarray(sure_colors.photograph(180, 241, seed=number // 20))
    frame.convert("L").save(frames / "scene" / f"{number:06d}.png")
  command = [sys.executable, "-m", "sbae_tf.colorize", f"--workdir={run}", f"--data={frames}"]
  process = subprocess.Popen(
    [*command, f"--out={out}"], cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )
  end = time.monotonic() + 120
  while not (out / "colorized" / "scene" / "000009.png").exists():
    assert time.monotonic() < end and process.poll() is None, process.communicate()
    time.sleep(0.02)
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate(timeout=60)
  assert process.returncode == 130, errors
  assert errors.splitlines()[-1] == "colorize: Interrupted by SIGINT. The same command goes on."
  assert 10 <= len(list(out.rglob("*.png"))) < 60 and not list(out.rglob(".*"))
  for folder in (out, whole):
    done = subprocess.run(
      [*command, f"--out={folder}"], cwd=_ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("60 photographs in color, of which 60 were gray: ")
    assert "PSNR" not in done.stdout
  for name in ("metrics.tsv", "metrics.json", "colorized/scene/000059.png"):
    assert (out / name).read_bytes() == (whole / name).read_bytes()
  first = np.asarray(Image.open(frames / "scene" / "000000.png").convert("RGB"))
  result = np.asarray(Image.open(out / "colorized" / "scene" / "000000.png"))
  lightness = [skimage.color.rgb2lab(each)[..., 0] for each in (first, result)]
  assert result.shape == first.shape and np.abs(lightness[0] - lightness[1]).mean() < 0.5
  assert np.ptp(result.astype(int), axis=-1).max() > 3
