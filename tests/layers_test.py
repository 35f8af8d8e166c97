"""Tests that imports point down only. Read from the source: nothing is imported."""

from __future__ import annotations

import ast
import graphlib
import pathlib
from collections.abc import Iterator

import pytest

_ROOT = pathlib.Path(__file__).parent.parent / "sbae_tf"

# From the bottom up; a folder stands for its modules. A module may import what is in a row below
# its own, and its own folder. A new module belongs in the lowest row that does.
_LAYERS = (
  (
    *("captions", "cluster", "config", "failures", "interrupts", "output_folder", "plugins"),
    *("precision", "progress_line", "runtime"),
  ),
  (
    *("color", "command_line", "data", "backbones", "initialization", "optimizers", "schedules"),
    *("model_card", "preset_families", "writing"),
  ),
  (
    *("aggregation", "embedding_formats", "encoded_images", "export_request"),
    *("feature_extractor", "quantize"),
  ),
  ("tasks", "embedding_manifest", "encoder"),
  ("formats", "model", "rescaling"),
  ("colorizer", "config_json", "presets", "validation"),
  ("pairing", "run_folder", "serving"),
  ("agreement", "checkpoints", "embedding_folder", "pictures", "progress", "steps", "strategies"),
  ("embedder", "evaluation", "export", "trained"),
  ("checked_export", "colorization", "initial_weights", "online_probe", "training_data"),
  ("training_run",),
  ("training",),
  ("flags", "protocol_flags"),
  ("colorize", "embed", "evaluate", "export_cli", "pretrain"),
)

# What the rows would allow and the design does not.
_ONLY = {
  "captions": set(),
  "cluster": set(),
  "config": set(),
  "export_request": {"command_line"},
  "failures": set(),
  "plugins": set(),
  "runtime": set(),
  "precision": set(),
  "interrupts": set(),
  "output_folder": set(),
  "progress_line": set(),
  "data": {"config", "runtime"},
  "backbones": {"runtime"},
  "initialization": set(),
  "color": {"runtime"},
  "optimizers": {"runtime"},
  "preset_families": {"config"},
  "schedules": {"runtime"},
}

_SLOW = set(
  "keras keras_cv matplotlib numpy PIL scipy skimage sklearn tensorboard tensorflow tf_keras "
  "tensorflow_addons tensorflow_datasets tensorflow_io".split()
)

_MODULES = {
  ".".join(path.relative_to(_ROOT).with_suffix("").parts): path for path in _ROOT.rglob("*.py")
}

# These work before TensorFlow is there, and so import none of `_SLOW`.
_WITHOUT_TENSORFLOW = (
  "__init__ cluster colorize command_line config config_json embed evaluate export_cli "
  "export_request failures flags interrupts model_card output_folder plugins presets "
  "pretrain progress_line protocol_flags run_folder runtime validation writing".split()
) + [module for module in _MODULES if module.startswith("preset_families.")]


def _imports(module: str, *, at_start: bool = False) -> Iterator[str]:
  """The full names that a module imports, also within functions.

  Args:
    module: a key of `_MODULES`.
    at_start: only what is imported when the module is, and not within functions or for types.
  """
  nodes: list[ast.AST] = [ast.parse(_MODULES[module].read_text(encoding="utf-8"))]
  while nodes:
    node = nodes.pop()
    if at_start and isinstance(node, (ast.FunctionDef, ast.Lambda)):
      continue
    if at_start and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
      nodes += node.orelse
      continue
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{module} has a relative import"
      yield from (f"{node.module}.{alias.name}" for alias in node.names)
    nodes += ast.iter_child_nodes(node)


def _own_imports(module: str, *, at_start: bool = False) -> set[str]:
  """The modules of the package that a module imports: keys of `_MODULES`."""
  found = set()
  for name in _imports(module, at_start=at_start):
    package, _, name = name.partition(".")
    if package == "sbae_tf":
      # `from sbae_tf.config import Branch` names a module and what is in it; a folder alone is its
      # `__init__`.
      candidates = (name, name.rpartition(".")[0], f"{name}.__init__", "__init__")
      found.add(next(c for c in candidates if c in _MODULES))
  return found


def _unit(module: str) -> str:
  """A row's entry: the folder of a module, or the module."""
  return module.partition(".")[0]


def _row(unit: str) -> int:
  return next(i for i, row in enumerate(_LAYERS) if unit in row)


_PARTS = sorted(module for module in _MODULES if module != "__init__")


def test_every_module_has_a_row() -> None:
  rows = [unit for row in _LAYERS for unit in row]
  assert len(set(rows)) == len(rows)
  assert {_unit(module) for module in _PARTS} == set(rows)


def test_imports_are_found() -> None:
  # So that the tests below look at something.
  assert {"flags", "run_folder", "training"} <= _own_imports("pretrain")
  assert "training" not in _own_imports("pretrain", at_start=True)
  assert {"data.files", "data.photographs", "data.source"} <= _own_imports("data.sources")
  assert "tensorflow" in set(_imports("model"))


@pytest.mark.parametrize("module", _PARTS)
def test_imports_point_down(module: str) -> None:
  unit = _unit(module)
  for imported in _own_imports(module):
    other = _unit(imported)
    if other == unit and unit != module:
      continue  # Of one folder.
    assert _row(other) < _row(unit), f"{module} imports {imported}"
    assert other in _ONLY.get(unit, {other}), f"{module} imports {imported}"


def test_the_package_starts_with_little() -> None:
  assert _own_imports("__init__", at_start=True) == {"runtime"}


def test_data_knows_nothing_of_colors_and_tasks() -> None:
  above = {"color", "quantize", "tasks", "aggregation", "backbones", "model", "encoder", "training"}
  modules = [module for module in _PARTS if _unit(module) == "data"]
  assert len(modules) > 3
  assert not {_unit(imported) for m in modules for imported in _own_imports(m)} & above


@pytest.mark.parametrize("module", _WITHOUT_TENSORFLOW)
def test_no_tensorflow(module: str) -> None:
  # The package itself and the command line import it later, within a function.
  at_start = module in ("__init__", "colorize", "embed", "evaluate", "export_cli", "pretrain")
  outside = {name.partition(".")[0] for name in _imports(module, at_start=at_start)}
  assert not outside & _SLOW
  assert _own_imports(module, at_start=at_start) <= set(_WITHOUT_TENSORFLOW)


def test_folders_import_no_tensorflow() -> None:
  # A component's folder is imported to find the component.
  for module in _PARTS:
    if module.endswith(".__init__"):
      assert not set(_imports(module)), f"{module} imports something"


def test_no_cycles() -> None:
  graph = {module: _own_imports(module) - {module} for module in _PARTS}
  order = list(graphlib.TopologicalSorter(graph).static_order())  # Raises where there is one.
  assert set(order) >= set(_PARTS)
