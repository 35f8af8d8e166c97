"""Tests of the quiet start and of the check for Keras 2."""

from __future__ import annotations

import gc
import glob
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import pathlib
import platform
import subprocess
import sys
import textwrap
import types
import warnings
from collections.abc import Callable, Iterator

import pytest
from absl import logging as absl_logging

from sbae_tf import runtime

ImportModule = Callable[[str], types.ModuleType]

_NAME = "runtime_test_module"


def _use_plain_streams(monkeypatch: pytest.MonkeyPatch) -> None:
  """As in a process of its own: the streams of `capfd` write past the file descriptors.

  Within the test: `capfd` puts its own in place once more when that starts.
  """
  if sys.stdout.fileno() != 1:
    monkeypatch.setattr(sys, "stdout", os.fdopen(1, "w", closefd=False))
    monkeypatch.setattr(sys, "stderr", os.fdopen(2, "w", closefd=False, buffering=1))


@pytest.fixture
def import_quietly(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ImportModule]:
  """Writes a module of the given source and imports it with `runtime.import_quietly`."""
  monkeypatch.syspath_prepend(str(tmp_path))

  def write(source: str) -> types.ModuleType:
    _use_plain_streams(monkeypatch)
    (tmp_path / f"{_NAME}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    importlib.invalidate_caches()
    return runtime.import_quietly(_NAME)

  yield write
  sys.modules.pop(_NAME, None)


# As TensorFlow 2.15 and its companions print them.
_NOISE = [
  "2024-01-01 00:00:00.0: E external/local_xla/xla/stream_executor/cuda/cuda_dnn.cc:9261] Unable "
  "to register cuDNN factory: Attempting to register factory for plugin cuDNN when one is there",
  "E external/local_xla/xla/stream_executor/cuda/cuda_blas.cc:1515] Unable to register cuBLAS f",
  "W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT Warning: Could not find TensorRT",
  "I external/local_tsl/tsl/cuda/cudart_stub.cc:31] Could not find cuda drivers on your machine",
  "I tensorflow/core/util/port.cc:113] oneDNN custom operations are on. You may see slightly other",
  "I tensorflow/core/platform/cpu_feature_guard.cc:182] This TensorFlow binary is optimized to use",
  "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with "
  "the appropriate compiler flags.",
  "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
  "Using TensorFlow backend",
]


@pytest.mark.parametrize("fd", [1, 2])
def test_known_noise_is_dropped(
  fd: int, import_quietly: ImportModule, capfd: pytest.CaptureFixture[str]
) -> None:
  module = import_quietly(
    f"import os\nfor line in {_NOISE!r}: os.write({fd}, line.encode() + b'\\n')\nX = 1"
  )
  assert module.X == 1
  assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("devices", [[], ["/dev/nvidia0"]])
def test_a_gpu_that_fails_is_printed(
  devices: list[str],
  import_quietly: ImportModule,
  capfd: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  line = "E cuda_driver.cc:274] failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA device\n"
  monkeypatch.setattr(glob, "glob", lambda pattern: devices)
  import_quietly(f"import os; os.write(2, {line.encode()!r})")
  assert capfd.readouterr() == ("", line if devices else "")


def test_what_is_not_known_is_printed(
  import_quietly: ImportModule, capfd: pytest.CaptureFixture[str]
) -> None:
  import_quietly(
    r"""
    import os, sys
    os.write(1, b"Could not find cuda drivers\nnative one\n")
    os.write(2, b"native two\n\n \nTF-TRT Warning\n")
    print("printed")
    print("printed as an error", file=sys.stderr)
    os.write(2, b"\xff is no text\n")
    """
  )
  out, err = capfd.readouterr()
  assert out == ""
  lines = err.splitlines()
  assert sorted(lines) == sorted(
    ["native one", "native two", "printed", "printed as an error"] + ["\ufffd is no text"]
  )
  assert lines.index("native one") < lines.index("native two")


def test_the_backend_line_is_dropped_as_a_whole_only(
  import_quietly: ImportModule, capfd: pytest.CaptureFixture[str]
) -> None:
  import_quietly("print('Error: not Using TensorFlow backend')")
  assert capfd.readouterr().err == "Error: not Using TensorFlow backend\n"


def test_deprecations_are_dropped(
  import_quietly: ImportModule, capfd: pytest.CaptureFixture[str]
) -> None:
  filters = list(warnings.filters)
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import_quietly(
      """
      import warnings
      warnings.warn("distutils is old", DeprecationWarning)
      warnings.warn("will change", FutureWarning)
      ends = "TensorFlow Addons (TFA) has ended development"
      warnings.warn_explicit(ends, UserWarning, "x.py", 1, module="tensorflow_addons.utils")
      """
    )
  assert [str(warning.message) for warning in caught] == []
  assert capfd.readouterr() == ("", "")
  assert list(warnings.filters) == filters


def test_a_warning_of_a_fault_is_printed(
  import_quietly: ImportModule, capfd: pytest.CaptureFixture[str]
) -> None:
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import_quietly(
      "import warnings\nwarnings.warn('numpy.ndarray size changed, may indicate', RuntimeWarning)"
    )
  assert "ndarray size changed" in capfd.readouterr().err + "".join(str(w.message) for w in caught)


def test_what_comes_after_the_import_is_printed(
  import_quietly: ImportModule, capfd: pytest.CaptureFixture[str]
) -> None:
  before = [os.fstat(fd).st_ino for fd in (1, 2)]
  import_quietly("X = 1")
  assert [os.fstat(fd).st_ino for fd in (1, 2)] == before
  os.write(1, b"TF-TRT Warning\n")
  os.write(2, b"Could not find cuda drivers\n")
  assert capfd.readouterr() == ("TF-TRT Warning\n", "Could not find cuda drivers\n")


def test_what_came_before_the_import_stays_in_front(
  import_quietly: ImportModule,
  capfd: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  _use_plain_streams(monkeypatch)
  sys.stdout.write("TF-TRT Warning of before, in the buffer\n")
  os.write(2, b"before\n")
  import_quietly("import os; os.write(2, b'inside\\n')")
  assert capfd.readouterr() == ("TF-TRT Warning of before, in the buffer\n", "before\ninside\n")


@pytest.mark.parametrize(
  ("fault", "error"),
  [
    ("import no_such_module_at_all", ModuleNotFoundError),
    ("raise ImportError('half installed')", ImportError),
    ("1 / 0", ZeroDivisionError),
    ("def f(:", SyntaxError),
    ("raise KeyboardInterrupt", KeyboardInterrupt),
  ],
)
def test_a_failing_import_restores_everything(
  fault: str, error: type, import_quietly: ImportModule, capfd: pytest.CaptureFixture[str]
) -> None:
  before = [os.fstat(fd).st_ino for fd in (1, 2)]
  count = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else None
  filters = list(warnings.filters)
  noise = "" if "(:" in fault else "import os; os.write(1, b'TF-TRT Warning\\nthe reason\\n')\n"
  with pytest.raises(error):
    import_quietly(noise + fault)
  assert capfd.readouterr() == ("", "the reason\n" if noise else "")
  os.write(1, b"out\n")
  os.write(2, b"err\n")
  assert capfd.readouterr() == ("out\n", "err\n")
  assert [os.fstat(fd).st_ino for fd in (1, 2)] == before
  assert list(warnings.filters) == filters
  if count is not None:
    assert len(os.listdir("/proc/self/fd")) == count, "a file descriptor stays open"


def test_a_missing_module_raises_its_own_error() -> None:
  with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
    runtime.import_quietly("no_such_module_at_all")


def test_a_module_is_imported_once(import_quietly: ImportModule) -> None:
  module = import_quietly("X = 1")
  assert sys.modules[_NAME] is module
  assert import_quietly("X = 2") is module
  assert module.X == 1


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
  """Pretends what is installed: whether tf-keras is, and which Keras."""
  monkeypatch.setenv("TF_USE_LEGACY_KERAS", "")  # So that it is restored, also where it is unset.
  monkeypatch.delenv("TF_USE_LEGACY_KERAS")
  find_spec, version = importlib.util.find_spec, importlib.metadata.version

  def pretend(*, tf_keras: bool, keras: str) -> None:
    spec = importlib.util.spec_from_loader("tf_keras", loader=None) if tf_keras else None
    monkeypatch.setattr(
      importlib.util, "find_spec", lambda n, *a: spec if n == "tf_keras" else find_spec(n, *a)
    )
    monkeypatch.setattr(
      importlib.metadata, "version", lambda n: keras if n == "keras" else version(n)
    )

  return pretend


@pytest.mark.parametrize("keras", ["2.15.0", "3.5.0"])
def test_tf_keras_is_switched_on(installed: Callable[..., None], keras: str) -> None:
  installed(tf_keras=True, keras=keras)
  runtime.require_keras_2()
  assert os.environ["TF_USE_LEGACY_KERAS"] == "1"


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_tf_keras_may_be_on_already(
  installed: Callable[..., None], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  installed(tf_keras=True, keras="3.5.0")
  monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
  runtime.require_keras_2()
  assert os.environ["TF_USE_LEGACY_KERAS"] == value


@pytest.mark.parametrize("value", ["0", "false", "False", "", "no"])
def test_an_environment_that_asks_for_keras_3(
  installed: Callable[..., None], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  installed(tf_keras=True, keras="3.5.0")
  monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
  with pytest.raises(ImportError, match=f"TF_USE_LEGACY_KERAS={value}. Set it to 1."):
    runtime.require_keras_2()


def test_keras_3_alone(installed: Callable[..., None]) -> None:
  installed(tf_keras=False, keras="3.0.5")
  with pytest.raises(ImportError, match="pip install tf-keras"):
    runtime.require_keras_2()


def test_keras_2_alone(installed: Callable[..., None]) -> None:
  installed(tf_keras=False, keras="2.15.0")
  runtime.require_keras_2()
  assert "TF_USE_LEGACY_KERAS" not in os.environ


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN's convolutions are for x86")
@pytest.mark.parametrize(
  ("value", "enabled"),
  [(None, True), pytest.param("1", True, marks=pytest.mark.slow), ("0", False)],
)
def test_onednn_computes_unless_the_environment_forbids_it(
  value: str | None, enabled: bool
) -> None:
  code = (
    "import sbae_tf.encoder\n"
    "from tensorflow.python.util import _pywrap_util_port\n"
    "print(_pywrap_util_port.IsMklEnabled())"
  )
  environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
  if value is not None:
    environment["TF_ENABLE_ONEDNN_OPTS"] = value
  done = subprocess.run(
    [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
  )
  assert done.stdout.split()[-1] == str(enabled)


def test_onednn_is_for_x86(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
  monkeypatch.setattr(platform, "machine", lambda: "aarch64")
  runtime.enable_onednn()
  assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ


def test_silence_leaves_what_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
  runtime.silence_tensorflow_logs()
  assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
  monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
  runtime.silence_tensorflow_logs()
  assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "2"


class _Records(logging.Handler):
  def __init__(self) -> None:
    super().__init__()
    self.messages: list[str] = []

  def emit(self, record: logging.LogRecord) -> None:
    self.messages.append(record.getMessage())


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("verbosity", [absl_logging.INFO, absl_logging.WARNING])
def test_quiet_logs(fails: bool, verbosity: int) -> None:
  records = _Records()
  tensorflow, absl = logging.getLogger("tensorflow"), absl_logging.get_absl_logger()
  level, before = tensorflow.level, absl_logging.get_verbosity()
  tensorflow.addHandler(records)
  absl.addHandler(records)
  try:
    absl_logging.set_verbosity(verbosity)
    tensorflow.setLevel(logging.WARNING)
    try:
      with runtime.quiet_logs():
        tensorflow.warning("hidden")
        absl_logging.warning("hidden")
        tensorflow.error("tensorflow's error")
        absl_logging.error("absl's error")
        if fails:
          raise RuntimeError
    except RuntimeError:
      assert fails
    assert records.messages == ["tensorflow's error", "absl's error"]
    tensorflow.warning("shown")
    absl_logging.warning("shown")
    assert records.messages[2:] == ["shown", "shown"]
    assert tensorflow.level == logging.WARNING
    assert absl_logging.get_verbosity() == verbosity
  finally:
    tensorflow.removeHandler(records)
    absl.removeHandler(records)
    tensorflow.setLevel(level)
    absl_logging.set_verbosity(before)


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_after_an_import_as_before(tmp_path, monkeypatch, enabled):
  monkeypatch.syspath_prepend(str(tmp_path))
  (tmp_path / "gc_probe.py").write_text("import gc\nwhile_importing = gc.isenabled()\n")
  (tmp_path / "gc_broken.py").write_text("raise RuntimeError\n")
  monkeypatch.delitem(sys.modules, "gc_probe", raising=False)
  importlib.invalidate_caches()
  before = gc.isenabled()
  (gc.enable if enabled else gc.disable)()
  try:
    assert not runtime.import_quietly("gc_probe").while_importing
    assert gc.isenabled() == enabled
    with pytest.raises(RuntimeError):
      runtime.import_quietly("gc_broken")
    assert gc.isenabled() == enabled
  finally:
    (gc.enable if before else gc.disable)()
