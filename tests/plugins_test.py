"""Tests of how plug-ins are found, and of what is read from their source."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import pathlib
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

import sbae_tf
from sbae_tf import plugins, runtime

_ROOT = pathlib.Path(sbae_tf.__file__).parent
_ALL = [(kind, name) for kind in plugins.KINDS for name in plugins.names(kind)]

# One of each kind that will stay, and a module of its folder that is no component.
_EXAMPLES = {
  "color": ("lab", "color_space"),
  "backbone": ("simplenet", "_conv_block"),
  "aggregation": ("concat", "aggregation"),
  "initialization": ("random", "initialization"),
  "task": ("classification", "proxy_task"),
  "quantizer": ("uniform", "quantizer"),
  "optimizer": ("adam", "__init__"),
  "schedule": ("exponential", "__init__"),
  "protocol": ("knn", "feature_cache"),
}

WriteModule = Callable[[str, str], str]


@pytest.fixture
def write_module(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> WriteModule:
  """Writes a module of one's own into a package, and gives its dotted name."""
  package = f"plugins_test_{tmp_path.name}"  # A name of the test's own: modules stay imported.
  (tmp_path / package).mkdir()
  (tmp_path / package / "__init__.py").touch()
  monkeypatch.syspath_prepend(str(tmp_path))

  def write(name: str, source: str) -> str:
    (tmp_path / package / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    importlib.invalidate_caches()
    return f"{package}.{name}"

  return write


@pytest.fixture
def tensorflow() -> None:
  """For the tests that import the components: no other test of this file waits for TensorFlow."""
  runtime.import_quietly("tensorflow")


def test_the_examples_are_all_kinds() -> None:
  assert set(_EXAMPLES) == set(plugins.KINDS)


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_names(kind: str) -> None:
  component, other = _EXAMPLES[kind]
  names = plugins.names(kind)
  assert component in names
  assert other not in names
  assert list(names) == sorted(names)
  files = {path.stem for path in (_ROOT / plugins.KINDS[kind]).glob("*.py")}
  assert {component, other} <= files
  assert set(names) <= files


@pytest.mark.parametrize(("kind", "name"), _ALL)
def test_find(kind: str, name: str) -> None:
  plugin = plugins.find(kind, name)
  assert (plugin.kind, plugin.name) == (kind, name)
  assert plugin.module == f"sbae_tf.{plugins.KINDS[kind]}.{name}"
  assert plugin.summary.endswith("."), "the help shows the first line of the docstring"
  missing_package = plugin.needs and importlib.util.find_spec(plugin.needs) is None
  if not missing_package:
    plugin.check({key: o.default for key, o in plugin.options.items() if not o.required})


@pytest.mark.parametrize("kind", plugins.KINDS)
@pytest.mark.parametrize(
  "name",
  [
    "nonesuch",
    "",
    " ",
    ".",
    "..",
    ".lab",
    "lab.",
    "_grid",
    "a/b",
    "sbae_tf",
    "no.such.module",
    "os.path",
  ]
  + ["json.decoder", "NONE", "lab(", "config.py"],
)
def test_an_unknown_name_lists_the_known(kind: str, name: str) -> None:
  with pytest.raises(ValueError) as error:
    plugins.find(kind, name)
  assert str(error.value) == f"Unknown {kind} '{name}'. Known: {', '.join(plugins.names(kind))}."


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_a_module_that_is_no_component_is_unknown(kind: str) -> None:
  with pytest.raises(ValueError, match=f"Unknown {kind} "):
    plugins.find(kind, _EXAMPLES[kind][1])


@pytest.mark.parametrize(("kind", "name"), _ALL)
def test_what_is_read_is_what_is_imported(kind: str, name: str, tensorflow: None) -> None:
  plugin = plugins.find(kind, name)
  module = importlib.import_module(plugin.module)
  signature = inspect.signature(module.build).parameters.values()
  real = {p.name: p for p in signature if p.kind is inspect.Parameter.KEYWORD_ONLY}
  assert list(plugin.options) == list(real)
  for key, option in plugin.options.items():
    assert option.required == (real[key].default is inspect.Parameter.empty)
    if not option.required:
      assert option.default == real[key].default
      assert type(option.default) is type(real[key].default)
    assert option.type.replace('"', "'") == str(real[key].annotation).replace('"', "'")
  for constant, value in plugin.constants.items():
    assert getattr(module, constant) == value
  capitals = {n for n in vars(module) if n.isupper() and not n.startswith("_")}
  assert set(plugin.constants) == capitals, "a constant that is no literal cannot be checked early"


def test_an_option_of_a_wrong_type_is_named() -> None:
  plugin = plugins.find("backbone", "simplenet")
  plugin.check({"width": 1})
  plugin.check({"width": 0.5})
  for value in ("wide", True, None, [1.0]):
    with pytest.raises(ValueError) as error:
      plugin.check({"width": value})
    assert str(error.value) == (
      f"Expected option 'width' of backbone 'simplenet' to be float. Received: {value!r}."
    )


def test_an_unknown_option_lists_the_known() -> None:
  with pytest.raises(ValueError) as error:
    plugins.find("optimizer", "sgd").check({"beta_1": 0.5})
  assert str(error.value) == (
    "Unknown option 'beta_1' of optimizer 'sgd'. Its options: momentum, nesterov, weight_decay, "
    "global_clipnorm."
  )
  with pytest.raises(ValueError, match="of color 'rgb'. Its options: none."):
    plugins.find("color", "rgb").check({"gamma": 2.2})


_OWN = '''
  """My schedule."""

  from __future__ import annotations

  import sys

  sys.modules["imported_by_plugins_test"] = sys  # Leaves a trace where it is imported.

  STRIDE = 4
  PAIR: tuple = (1, 2)
  COMPUTED = 2 * STRIDE
  _HIDDEN = 1

  def build(first, *, a: int, b: float | None = None, c: "str" = "x", d: bool = False, e=(1, 2)):
    if a < 0:
      raise ValueError(f"Expected `a` of 0 or more. Received: {a}")
    return first, a, b, c, d, e
'''


def test_a_module_of_ones_own(write_module: WriteModule) -> None:
  name = write_module("mine", _OWN)
  plugin = plugins.find("schedule", name)
  assert (plugin.name, plugin.module, plugin.summary) == (name, name, "My schedule.")
  assert list(plugin.options) == ["a", "b", "c", "d", "e"]
  assert plugin.options["a"].required
  assert dataclasses.astuple(plugin.options["b"]) == ("float | None", None, False)
  assert plugin.options["e"].default == (1, 2)
  assert plugin.constants["STRIDE"] == 4
  assert not {"COMPUTED", "_HIDDEN"} & set(plugin.constants)
  assert plugin.needs is None
  assert "imported_by_plugins_test" not in sys.modules
  try:
    assert plugin.build(7, a=1, b=None, d=True) == (7, 1, None, "x", True, (1, 2))
    assert "imported_by_plugins_test" in sys.modules
  finally:
    sys.modules.pop("imported_by_plugins_test", None)
    sys.modules.pop(name, None)


def test_options_are_completed_by_defaults(write_module: WriteModule) -> None:
  plugin = plugins.find("schedule", write_module("mine", _OWN))
  defaults = {"b": None, "c": "x", "d": False, "e": (1, 2)}
  assert plugin.complete({}) == defaults  # `a` is required.
  assert plugin.complete({"a": 1, "d": True}) == {**defaults, "a": 1, "d": True}


def test_an_annotated_constant_is_read(write_module: WriteModule) -> None:
  # `STRIDE: int = 4` is as good as `STRIDE = 4`.
  assert plugins.find("schedule", write_module("mine", _OWN)).constants.get("PAIR") == (1, 2)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({}, "needs the option 'a'."),
    ({"b": 1.0}, "needs the option 'a'."),
    ({"a": 1.5}, "Expected option 'a' of schedule 'NAME' to be int. Received: 1.5."),
    ({"a": True}, "Expected option 'a' of schedule 'NAME' to be int. Received: True."),
    ({"a": 1, "b": "x"}, "Expected option 'b' of schedule 'NAME' to be float | None."),
    ({"a": 1, "d": 1}, "Expected option 'd' of schedule 'NAME' to be bool. Received: 1."),
    ({"a": 1, "f": 1}, "Unknown option 'f' of schedule 'NAME'. Its options: a, b, c, d, e."),
    ({"a": -1}, "schedule 'NAME': Expected `a` of 0 or more. Received: -1"),
  ],
)
def test_the_options_of_ones_own(
  write_module: WriteModule, options: dict[str, Any], message: str
) -> None:
  name = write_module("mine", _OWN)
  with pytest.raises(ValueError) as error:
    plugins.find("schedule", name).build(None, **options)
  assert message.replace("NAME", name) in str(error.value)
  sys.modules.pop("imported_by_plugins_test", None)


def test_a_module_without_build_is_unknown(write_module: WriteModule) -> None:
  name = write_module("empty", "def make(): pass\n")
  with pytest.raises(ValueError, match=f"Unknown color '{name}'. Known: .*lab"):
    plugins.find("color", name)


@pytest.mark.parametrize(
  "source",
  ["def build(:\n", "SIZE = 3\ndef build(*, size: int = SIZE): pass\n"],
  ids=["syntax", "default"],
)
def test_a_source_that_cannot_be_read_is_named(write_module: WriteModule, source: str) -> None:
  name = write_module("broken", source)
  with pytest.raises(ValueError, match=name):
    plugins.find("schedule", name)


def test_a_missing_package_is_one_line(write_module: WriteModule) -> None:
  name = write_module("needy", "NEEDS = 'no_such_package'\ndef build(): raise AssertionError\n")
  plugin = plugins.find("optimizer", name)
  assert plugin.needs == "no_such_package"
  for call in (lambda: plugin.check({}), plugin.build):
    with pytest.raises(ValueError) as error:
      call()
    message = str(error.value)
    assert message.startswith(f"optimizer '{name}' needs no_such_package, which is not installed")
    assert "Python" not in message  # That is addons' own note.
    assert "adam" in message and "sgd" in message and "lamb" not in message
    assert "\n" not in message


def test_a_missing_part_of_a_missing_package_is_one_line(write_module: WriteModule) -> None:
  name = write_module("needy", "NEEDS = 'no_such_package.part'\ndef build(): pass\n")
  with pytest.raises(ValueError, match="needs no_such_package.part, which is not installed"):
    plugins.find("optimizer", name).check({})


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_components_say_what_they_need(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
  find_spec = importlib.util.find_spec
  for name in plugins.names(kind):
    plugin = plugins.find(kind, name)
    if plugin.needs is None:
      continue
    gone = plugin.needs
    with monkeypatch.context() as patch:
      patch.setattr(
        importlib.util,
        "find_spec",
        lambda n, *a, gone=gone: None if n == gone else find_spec(n, *a),
      )
      with pytest.raises(ValueError, match=f"^{kind} '{name}' needs {gone}, which is not inst"):
        plugin.check({})


def test_nothing_imports_tensorflow() -> None:
  code = """
    import sys
    from sbae_tf import plugins
    for kind in plugins.KINDS:
      for name in plugins.names(kind):
        plugin = plugins.find(kind, name)
        assert isinstance(plugin.options, object) and plugin.summary
    plugins.find("backbone", "sbae_tf.backbones.simplenet").check({"width": 0.5})
    slow = {"tensorflow", "keras", "tf_keras", "tensorflow_io", "keras_cv", "numpy"}
    print(sorted(slow & set(sys.modules)))
  """
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(code)],
    cwd=_ROOT.parent,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
