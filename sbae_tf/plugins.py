"""Finds a component by its module's name, and reads its options without importing it.

A component is a module with a function `build`: what comes before the `*` in its signature is
given by the package, the keyword-only arguments after it are the options that a user may set.
`"lab"` of the kind `"color"` is the file `sbae_tf/color/lab.py`; a name with a dot, such as
`"my_package.my_space"`, is a module of the user's own.

The signature and the module's constants are read from the source by `ast`: a configuration is
checked, and `--help` written, before TensorFlow is imported.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import pathlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

# What the configuration calls a component, and the folder that holds its modules.
KINDS = types.MappingProxyType(
  {
    "color": "color",
    "backbone": "backbones",
    "aggregation": "aggregation",
    "initialization": "initialization",
    "task": "tasks",
    "quantizer": "quantize",
    "optimizer": "optimizers",
    "schedule": "schedules",
    "protocol": "evaluation",
  }
)


@dataclasses.dataclass(frozen=True)
class Option:
  """A keyword-only argument of a component's `build`.

  Attributes:
    type: the annotation as it is written, such as `"float"`.
    default: the literal default; `required` where there is none.
    required: whether `build` has no default for it.
  """

  type: str
  default: Any
  required: bool


@dataclasses.dataclass(frozen=True)
class Plugin:
  """A component's module as far as its source tells.

  Attributes:
    kind: a key of `KINDS`.
    name: the module's name, as a configuration gives it.
    module: the module's full dotted name.
    summary: the first line of the module's docstring.
    options: name to `Option`, in the order of the signature.
    constants: the module-level names in capitals that hold a literal, such as `STRIDE`. `NEEDS`
      names a package that not every installation has, `NEEDS_NOTE` says who has it.
  """

  kind: str
  name: str
  module: str
  summary: str
  options: Mapping[str, Option]
  constants: Mapping[str, Any]

  @property
  def needs(self) -> str | None:
    """The optional package that the component needs, or None."""
    return self.constants.get("NEEDS")

  def build(self, *args: Any, **options: Any) -> Any:
    """Imports the module and calls its `build`.

    Raises:
      ValueError: an option is unknown or out of range, or its package is not installed.
    """
    self.check(options)
    build = importlib.import_module(self.module).build
    try:
      return build(*args, **options)
    except ValueError as error:  # Of a library, too, which does not say what asked for it.
      raise ValueError(f"{self.kind} '{self.name}': {error}") from error

  def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the defaults of those that are not among them; required ones have none."""
    return {k: o.default for k, o in self.options.items() if not o.required} | dict(options)

  def check(self, options: Mapping[str, Any]) -> None:
    """Checks options against the signature of `build`, and that its package is installed.

    Raises:
      ValueError: names what is wrong and lists the right options.
    """
    for key, value in options.items():
      if key not in self.options:
        known = ", ".join(self.options) or "none"
        raise ValueError(
          f"Unknown option '{key}' of {self.kind} '{self.name}'. Its options: {known}."
        )
      expected = self.options[key].type
      if not _is_of_type(value, expected):
        raise ValueError(
          f"Expected option '{key}' of {self.kind} '{self.name}' to be {expected}. "
          f"Received: {value!r}."
        )
    missing = [key for key, o in self.options.items() if o.required and key not in options]
    if missing:
      raise ValueError(f"{self.kind} '{self.name}' needs the option '{missing[0]}'.")
    if self.needs and not _is_installed(self.needs):
      others = ", ".join(n for n in names(self.kind) if not find(self.kind, n).needs)
      note = self.constants.get("NEEDS_NOTE", "")
      raise ValueError(
        f"{self.kind} '{self.name}' needs {self.needs}, which is not installed. {note} "
        f"Without it there are: {others}.".replace("  ", " ")
      )


def names(kind: str) -> tuple[str, ...]:
  """The names of a kind's own components, sorted.

  Args:
    kind: a key of `KINDS`.
  """
  folder = pathlib.Path(__file__).parent / KINDS[kind]
  found = (_read(kind, path.stem, _own_module(kind, path.stem), path) for path in _modules(folder))
  return tuple(plugin.name for plugin in found if plugin is not None)


def find(kind: str, name: str) -> Plugin:
  """A component by name.

  Args:
    kind: a key of `KINDS`.
    name: a file's name in the kind's folder, or the dotted name of a module elsewhere.

  Raises:
    ValueError: there is none of that name; lists those that there are.
  """
  module = name if "." in name else _own_module(kind, name)
  plugin = None
  if name and not name.startswith("_"):
    try:
      spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
      spec = None
    if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
      plugin = _read(kind, name, module, pathlib.Path(spec.origin))
  if plugin is None:
    raise ValueError(f"Unknown {kind} '{name}'. Known: {', '.join(names(kind))}.")
  return plugin


def _is_installed(module: str) -> bool:
  try:
    return importlib.util.find_spec(module) is not None
  except ModuleNotFoundError:  # Of a part of a package that is not there.
    return False


def _own_module(kind: str, name: str) -> str:
  return f"sbae_tf.{KINDS[kind]}.{name}"


def _modules(folder: pathlib.Path) -> list[pathlib.Path]:
  return sorted(p for p in folder.glob("*.py") if not p.name.startswith("_"))


@functools.cache
def _read(kind: str, name: str, module: str, path: pathlib.Path) -> Plugin | None:
  """Reads a module's source; None where it has no `build` (the kind's own types, say)."""
  try:
    tree = ast.parse(path.read_text(encoding="utf-8"))
  except SyntaxError as error:
    raise ValueError(f"{kind} '{name}': cannot read {path}: {error}.") from error
  build = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "build"), None)
  if build is None:
    return None
  try:
    options = dict(_options(build.args))
  except ValueError as error:
    raise ValueError(f"{kind} '{name}': {error}") from error
  return Plugin(
    kind=kind,
    name=name,
    module=module,
    summary=(ast.get_docstring(tree) or "").split("\n", 1)[0],
    options=types.MappingProxyType(options),
    constants=types.MappingProxyType(dict(_constants(tree))),
  )


def _options(arguments: ast.arguments) -> Iterator[tuple[str, Option]]:
  for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults):
    annotation = ast.unparse(argument.annotation) if argument.annotation else "Any"
    if default is None:
      yield argument.arg, Option(type=annotation, default=None, required=True)
      continue
    try:
      value = ast.literal_eval(default)
    except ValueError as error:
      raise ValueError(
        f"expected a literal as the default of option '{argument.arg}'. "
        f"Received: {ast.unparse(default)}."
      ) from error
    yield argument.arg, Option(type=annotation, default=value, required=False)


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
  for node in tree.body:
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
      continue
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if isinstance(target, ast.Name) and target.id.isupper() and not target.id.startswith("_"):
      # An expression is nothing that can be known without importing.
      with contextlib.suppress(ValueError):
        yield target.id, ast.literal_eval(node.value)


_TYPES: dict[str, tuple[type, ...]] = {
  "int": (int,),
  "float": (int, float),
  "str": (str,),
  "bool": (bool,),
  "None": (type(None),),
}


def _is_of_type(value: Any, annotation: str) -> bool:
  """Whether a JSON value fits an annotation such as `float | None`; others are not checked."""
  parts = [part.strip() for part in annotation.split("|")]
  if not set(parts) <= set(_TYPES):
    return True
  if isinstance(value, bool):  # A bool is an int to Python, but 1.0 = true to nobody.
    return "bool" in parts
  return any(isinstance(value, _TYPES[part]) for part in parts)
