"""An environment with PyTorch, apart from TensorFlow's: their needs contradict each other."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from tools.benchmarks.contestant import ROOT

FOLDER = ROOT / ".venv-torch"
# First without CUDA, which is gigabytes. Not every machine reaches that index.
_INDICES = (("--index-url", "https://download.pytorch.org/whl/cpu"), ())
_TORCH = ("torch", "torchvision")
_OTHERS = ("numpy", "opencv-python-headless", "pillow", "simplejpeg")
_IMPORTS = "import cv2, numpy, PIL, simplejpeg, torch, torchvision"


def python(
  folder: pathlib.Path = FOLDER, *, run: Callable[[Sequence[str]], bool] | None = None
) -> pathlib.Path:
  """The interpreter of the environment, which is made if it is not there.

  Args:
    folder: the environment's.
    run: runs a command and returns whether it succeeded; by default as a process, whose output goes
      to the folder's `install.log`.

  Returns:
    The path of `python`.

  Raises:
    RuntimeError: it cannot be made.
  """
  interpreter, finished, log = folder / "bin/python", folder / ".finished", folder / "install.log"
  if finished.is_file():
    return interpreter
  print(f"Making {folder} with PyTorch, OpenCV, Pillow and simplejpeg: some minutes, once.")
  shutil.rmtree(folder, ignore_errors=True)  # Unfinished.
  folder.mkdir(parents=True)
  run = run or (lambda command: _succeeds(command, log))
  install = [str(interpreter), "-m", "pip", "install", "--no-input", "--progress-bar=off"]
  if not run([sys.executable, "-m", "venv", str(folder)]) or not run([*install, *_OTHERS]):
    raise RuntimeError(f"Cannot make the environment with PyTorch, see {log}")
  for index in _INDICES:
    # What pip installed may still not work: a torch from one place with a torchvision from another.
    # Hence the import, and --upgrade for the second time.
    if run([*install, "--upgrade", "--retries=1", *index, *_TORCH]) and run(
      [str(interpreter), "-c", _IMPORTS]
    ):
      finished.touch()
      return interpreter
  raise RuntimeError(f"Cannot install PyTorch, see {log}. Or give --torch_python.")


def _succeeds(command: Sequence[str], log: pathlib.Path) -> bool:
  with log.open("ab") as output:
    return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode == 0
