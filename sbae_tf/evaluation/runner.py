"""Runs protocols on a subject, and writes the report."""

from __future__ import annotations

import hashlib
import importlib
import pathlib
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import sklearn
import tensorflow as tf

from sbae_tf import plugins
from sbae_tf.config import Component
from sbae_tf.data import pipeline
from sbae_tf.evaluation import readable
from sbae_tf.evaluation.feature_cache import FeatureCache
from sbae_tf.evaluation.labelled import Labelled, check_same_classes
from sbae_tf.evaluation.protocol import Context, Json, Protocol
from sbae_tf.evaluation.report_folder import Finding, ReportFolder
from sbae_tf.evaluation.subject import Subject


def evaluate(
  subject: Subject,
  train: Labelled,
  test: Labelled,
  *,
  protocols: Sequence[Component],
  folder: str | pathlib.Path,
  seed: int = 0,
  cache: str | pathlib.Path | None = None,
  batch_size: int = 256,
  max_pixels: int = pipeline.MAX_PIXELS,
  max_skipped: float = 0.01,
  command: str = "",
  say: Callable[[str], None] = print,
) -> dict[str, Json]:
  """Runs protocols and writes `report.json`, `report.html` and their pictures.

  A protocol that was run in the folder before, with the same options on the same photographs and
  the same encoder, is not run again.

  Args:
    subject: the encoder.
    train: photographs that classifiers learn from.
    test: those that they are measured on.
    protocols: names and options.
    folder: of the report; new, empty, or one to go on with.
    seed: of splits, draws and weights.
    cache: folder of the features; None for `features` in `folder`. Many evaluations may share one.
    batch_size: photographs that the encoder sees at a time.
    max_pixels: photographs with more are left out.
    max_skipped: the part of the photographs that may be left out, in [0, 1]; those that cannot be
      read are named in `skipped.tsv`.
    command: that this is, for the report.
    say: tells the user a line about the progress.

  Returns:
    What `report.json` holds: under `"protocols"`, by name, `"options"`, `"seconds"`, `"summary"`
    and `"values"`.

  Raises:
    ValueError: a protocol or an option is unknown, the photographs have other classes, too many
      cannot be read, or the folder holds something else.
    RunError: a feature is not finite, or a file cannot be written.
  """
  check_same_classes(train, test)
  built = _build(protocols)
  for part in (train, test):
    if not part.classes and needs_classes(protocols):
      raise ValueError(f"Expected photographs with classes. Received: {part.source.description}")
  report = ReportFolder(folder)
  with report.locked():
    report.begin(
      _facts(subject, train, test, seed=seed, command=command, skipped=report.count_skipped()),
      identity=_identity(subject, train, test, seed=seed, max_pixels=max_pixels),
      options={name: options for name, (_, options) in built.items()},
    )
    missing = [name for name in built if name not in report.findings]
    for name in built.keys() - set(missing):
      say(f"{name}: is there already")
    if missing:
      kept = readable.leave_out_unreadable(
        {"train": train, "test": test},
        image_size=subject.image_size,
        max_pixels=max_pixels,
        max_skipped=max_skipped,
        file=report.skipped,
      )
      features = FeatureCache(
        subject,
        report.path / "features" if cache is None else pathlib.Path(cache).expanduser(),
        batch_size=batch_size,
        max_pixels=max_pixels,
        say=say,
      )
      report.facts["skipped"] = report.count_skipped()
      context = Context(subject, kept["train"], kept["test"], features, report.path, seed, say)
      for name in missing:
        protocol, options = built[name]
        start = time.monotonic()
        section = protocol.run(context)
        report.add(name, Finding(options, time.monotonic() - start, section))
        say(f"{name}: {section.summary}")
    report.write_page(_page_facts(report.facts))
  return report.to_json()


def needs_classes(protocols: Sequence[Component]) -> bool:
  """Whether one of the protocols needs photographs with classes."""
  found = [plugins.find("protocol", component.name) for component in protocols]
  return any(plugin.constants.get("NEEDS_CLASSES", True) for plugin in found)


def _build(protocols: Sequence[Component]) -> dict[str, tuple[Protocol, dict[str, Json]]]:
  """Each protocol and all of its options, by name; before any work."""
  built = {}
  for component in protocols:
    if component.name in built:
      raise ValueError(f"Expected every protocol once. Received: '{component.name}' twice")
    plugin = plugins.find("protocol", component.name)
    protocol = plugin.build(**component.options)
    built[component.name] = protocol, plugin.complete(component.options)
  if not built:
    raise ValueError(f"Expected protocols of {', '.join(plugins.names('protocol'))}. Received none")
  return built


def _facts(
  subject: Subject, train: Labelled, test: Labelled, *, seed: int, command: str, skipped: int
) -> dict[str, Json]:
  # By name, for an import statement would be a circle: the package's own module leads to others.
  package = importlib.import_module("sbae_tf")
  return {
    "subject": {
      "name": subject.name,
      "path": subject.path,
      "image_size": subject.image_size,
      "features": {name: list(shape) for name, shape in subject.shapes.items()},
    },
    "train": train.source.description,
    "test": test.source.description,
    "classes": list(train.class_names),
    "skipped": skipped,
    "seed": seed,
    "command": command,
    "versions": {
      "sbae_tf": package.__version__,
      "tensorflow": tf.__version__,
      "numpy": np.__version__,
      "scikit-learn": sklearn.__version__,
      "python": platform.python_version(),
    },
  }


def _identity(
  subject: Subject, train: Labelled, test: Labelled, *, seed: int, max_pixels: int
) -> dict[str, Json]:
  """What must be the same for findings to stand in one report."""
  return {
    "encoder_sha256": subject.checksum,
    "image_size": subject.image_size,
    "train_sha256": _sha256(train),
    "test_sha256": _sha256(test),
    "seed": seed,
    "max_pixels": max_pixels,
  }


def _sha256(data: Labelled) -> str:
  digest = hashlib.sha256(data.labels.astype("<i4").tobytes())
  texts: Iterable[str] = (*data.class_names, *data.source.identity)
  for text in texts:
    digest.update(b"\0" + text.encode())
  return digest.hexdigest()


def _page_facts(facts: Mapping[str, Json]) -> dict[str, str]:
  """For the top of the page."""
  shown = {
    "Encoder": f"{facts['subject']['name']}",
    "Photographs": f"{facts['subject']['image_size']} x {facts['subject']['image_size']} pixels",
    "Trained on": facts["train"],
    "Tested on": facts["test"],
    "Left out": f"{facts['skipped']:,} that cannot be read" if facts["skipped"] else "",
    "Classes": f"{len(facts['classes']):,}" if facts["classes"] else "",
    "Seed": f"{facts['seed']}",
    "Command": facts["command"],
    "Versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
  }
  return {name: value for name, value in shown.items() if value}
