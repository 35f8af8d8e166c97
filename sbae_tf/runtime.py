"""The process around TensorFlow: Keras 2 on every TensorFlow, oneDNN, and a quiet start.

Imports no TensorFlow itself, so that a command line can check its flags first.
"""

from __future__ import annotations

import contextlib
import gc
import glob
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import re
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator

from absl import logging as absl_logging

# Lines that TensorFlow and its companions print at import although nothing is wrong. What is not
# listed here is printed again after the import: a real fault must stay visible.
_NOISE = re.compile(
  "|".join(
    (
      r"Unable to register cu(DNN|FFT|BLAS) factory",  # TF 2.15: the GPU wheel registers twice.
      r"cuda_(dnn|fft|blas)\.cc",
      r"TF-TRT Warning",
      r"Could not find cuda drivers",
      r"cudart_stub\.cc",
      r"oneDNN custom operations are on",
      r"TensorFlow binary is optimized",
      r"To enable the following instructions",
      r"rebuild TensorFlow with the appropriate compiler flags",
      r"All log messages before absl::InitializeLog",
      r"computation_placer\.cc",
      r"^Using TensorFlow backend",  # keras-cv, on stdout.
    )
  )
)
# Said where there is no GPU, which is no fault; where there is one, it is the fault.
_NOISE_WITHOUT_GPU = re.compile(r"failed call to cuInit")


def require_keras_2() -> None:
  """Makes `tf.keras` Keras 2 on every TensorFlow.

  TensorFlow up to 2.15 has Keras 2; later ones have it as the package `tf-keras`, which they use
  if the environment says so before `tf.keras` is first touched.

  Raises:
    ImportError: Keras 3 is installed without tf-keras, or the environment asks for Keras 3.
  """
  if importlib.util.find_spec("tf_keras") is not None:
    if os.environ.setdefault("TF_USE_LEGACY_KERAS", "1").lower() not in ("1", "true"):
      raise ImportError(
        "sbae_tf needs Keras 2, but the environment has TF_USE_LEGACY_KERAS="
        f"{os.environ['TF_USE_LEGACY_KERAS']}. Set it to 1."
      )
  elif importlib.metadata.version("keras").startswith("3."):
    raise ImportError(
      "sbae_tf needs Keras 2, which TensorFlow after 2.15 has as a package of its own: "
      "pip install tf-keras"
    )


def enable_onednn() -> None:
  """Has TensorFlow use oneDNN's convolutions on every x86 processor.

  TensorFlow itself leaves them off on a processor without AVX-512, where SimpleNet's training step
  then takes 1.5 times as long (`tools/results/step_avx2.md`). Does nothing once TensorFlow is
  imported, which reads the variable then. A `TF_ENABLE_ONEDNN_OPTS` in the environment wins.
  """
  if platform.machine().lower() in ("x86_64", "amd64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def silence_tensorflow_logs() -> None:
  """Hides TensorFlow's own INFO and WARNING lines; for command lines, before TensorFlow starts.

  A `TF_CPP_MIN_LOG_LEVEL` in the environment wins.
  """
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def import_quietly(name: str) -> types.ModuleType:
  """Imports a module without the start-up noise of TensorFlow and its companions.

  Known harmless lines on stdout and stderr (also those printed by native code), end-of-life and
  deprecation warnings are dropped; every other line is printed once the import is over.

  Args:
    name: the module's dotted name, such as `"keras_cv"`.

  Returns:
    The module.

  Raises:
    ImportError: as the import does.
  """
  if name in sys.modules:
    return sys.modules[name]
  with _filtered_output(), _without_collection(), warnings.catch_warnings():
    for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
      warnings.simplefilter("ignore", category)
    # The end of addons' life; that tensorflow-io's native part, which is not used, does not load.
    warnings.filterwarnings("ignore", category=UserWarning, module="tensorflow_(addons|io)")
    return importlib.import_module(name)


def start_tensorflow() -> None:
  """Imports TensorFlow and has it look for devices, both without noise."""
  tensorflow = import_quietly("tensorflow")
  with _filtered_output():
    tensorflow.config.list_physical_devices()


def processors() -> int:
  """The number of logical processors that this process may use, 1 or more."""
  if hasattr(os, "sched_getaffinity"):  # Not on macOS.
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
  """Stops Python's garbage collector for the length of a block.

  What an import makes stays, and looking through it again and again takes an eighth of the time
  that TensorFlow takes to import.
  """
  was_enabled = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    if was_enabled:
      gc.enable()


@contextlib.contextmanager
def _filtered_output() -> Iterator[None]:
  """Captures file descriptors 1 and 2, and prints on leaving what is not noise."""
  sys.stdout.flush()
  sys.stderr.flush()
  with tempfile.TemporaryFile() as captured:
    saved = [(fd, os.dup(fd)) for fd in (1, 2)]
    try:
      for fd, _ in saved:
        os.dup2(captured.fileno(), fd)
      yield
    finally:
      sys.stdout.flush()
      sys.stderr.flush()
      for fd, copy in saved:
        os.dup2(copy, fd)
        os.close(copy)
      captured.seek(0)
      for line in captured.read().decode(errors="replace").splitlines():
        if line.strip() and not _is_noise(line):
          print(line, file=sys.stderr)


def _is_noise(line: str) -> bool:
  if _NOISE_WITHOUT_GPU.search(line):
    return not glob.glob("/dev/nvidia[0-9]*")
  return _NOISE.search(line) is not None


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
  """Hides the warnings of TensorFlow's Python code for the length of a block.

  For what warns although all is well: MirroredStrategy without a GPU, that it will not use NCCL;
  the saving of functional models, that their layers have no functions of their own.
  """
  tensorflow_logger = logging.getLogger("tensorflow")
  level, verbosity = tensorflow_logger.level, absl_logging.get_verbosity()
  tensorflow_logger.setLevel(logging.ERROR)
  absl_logging.set_verbosity(absl_logging.ERROR)
  try:
    yield
  finally:
    tensorflow_logger.setLevel(level)
    absl_logging.set_verbosity(verbosity)
