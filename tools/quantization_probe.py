"""Measures what the other formats of an encoder cost: accuracy of a linear probe, and size.

  python -m tools.quantization_probe --encoder=runs/mine/encoder --data=TRAIN --test=TEST

TRAIN and TEST are photographs with classes. A logistic regression learns from the embeddings of
photographs of TRAIN by the SavedModel and by TensorFlow Lite in float32, float16 and int8; each is
measured on TEST, on its own embeddings. The one that learned from the SavedModel's is measured on
all of them, too: an encoder may be changed under a classifier that is there already.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import functools
import importlib.metadata
import json
import pathlib
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sbae_tf import runtime
from sbae_tf.failures import RunError
from tools.benchmarks import machine

if TYPE_CHECKING:
  import numpy as np

_USAGE_ERROR = 2
_CALIBRATED = 200
_BATCH = 50
_SAVED_MODEL = "SavedModel"
_STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # Of what is chosen by cross-validation: 1 / l2 penalty.


@dataclasses.dataclass(frozen=True)
class Photographs:
  """Photographs with classes.

  Attributes:
    description: what they are, in words.
    images: (N, S, S, 3) uint8.
    labels: (N,) int32.
  """

  description: str
  images: np.ndarray
  labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Row:
  """What was measured of a format.

  Attributes:
    name: the format.
    size: of the file, or of all files, in bytes.
    median: the median over photographs of the embedding's largest difference from the
      SavedModel's, as a part of the largest number of all.
    largest: the largest over photographs of the same.
    own: accuracy of the probe that learned from this format's embeddings.
    given: accuracy of the SavedModel's probe on them.
    changed: photographs that the SavedModel's probe takes for another class than on the
      SavedModel's embeddings.
  """

  name: str
  size: int
  median: float
  largest: float
  own: float
  given: float
  changed: int


def read(spec: str, *, count: int, image_size: int) -> Photographs:
  """Reads photographs evenly over a collection.

  Args:
    spec: as `sbae_tf.data.sources.open_source` takes it.
    count: N, how many at most.
    image_size: S.

  Raises:
    ValueError: it cannot be opened, or has no classes.
  """
  import numpy as np

  from sbae_tf.data.pipeline import evaluation_dataset
  from sbae_tf.data.sources import open_source

  source = open_source(spec, labels=True)
  if source.labels is None or len(source.class_names) < 2:
    raise ValueError(f"Expected photographs of two classes or more. Received: {spec}")
  indices = np.unique(np.linspace(0, len(source) - 1, count).astype(np.int64))
  part = source.subset(indices, f"{len(indices):,} of {source.description}")
  batches = list(evaluation_dataset(part, batch_size=_BATCH, image_size=image_size))
  return Photographs(
    part.description,
    np.concatenate([batch["image"].numpy() for batch in batches]),
    np.concatenate([batch["label"].numpy() for batch in batches]),
  )


def measure(encoder_path: str, train: Photographs, test: Photographs) -> list[Row]:
  """Converts an encoder, and probes what came of it.

  Args:
    encoder_path: folder of a SavedModel of an encoder.
    train: what the probe learns from, and of which some calibrate int8.
    test: what it is measured on.

  Returns:
    The SavedModel's row, then those of TensorFlow Lite.
  """
  import numpy as np
  import tensorflow as tf

  from sbae_tf.export import load_encoder
  from sbae_tf.formats import tflite
  from sbae_tf.formats.portable import save_portable

  served = tf.saved_model.load(encoder_path).signatures["serving_default"]
  ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    _SAVED_MODEL: lambda images: served(images=tf.constant(images))["embedding"].numpy()
  }
  sizes = {_SAVED_MODEL: sum(p.stat().st_size for p in pathlib.Path(encoder_path).rglob("*"))}
  some = train.images[:: max(1, len(train.images) // _CALIBRATED)]
  with tempfile.TemporaryDirectory() as folder:
    save_portable(load_encoder(encoder_path), folder, image_size=train.images.shape[1])
    for quantize in tflite.QUANTIZATIONS:
      content = tflite.convert(folder, quantize=quantize, photographs=some)
      name = f"TensorFlow Lite, {'float32' if quantize == 'none' else quantize}"
      sizes[name] = len(content)
      ways[name] = functools.partial(_embed, content)
  rows: list[Row] = []
  for name, way in ways.items():
    inputs, heldout = (
      np.concatenate([way(part[i : i + _BATCH]) for i in range(0, len(part), _BATCH)])
      for part in (train.images, test.images)
    )
    probe = _probe(inputs, train.labels)
    if name == _SAVED_MODEL:
      given, expected, answers = probe, heldout, probe.predict(heldout)
    differences = np.abs(heldout - expected).max(axis=1) / np.abs(expected).max()
    rows.append(
      Row(
        name,
        sizes[name],
        median=float(np.median(differences)),
        largest=float(differences.max()),
        own=float(probe.score(heldout, test.labels)),
        given=float(given.score(heldout, test.labels)),
        changed=int(np.sum(given.predict(heldout) != answers)),
      )
    )
  return rows


def _embed(content: bytes, images: np.ndarray) -> np.ndarray:
  from sbae_tf.formats import tflite

  return tflite.run(content, images)["embedding"]


def _probe(features: np.ndarray, labels: np.ndarray) -> Any:
  """Logistic regression, its strength chosen by cross-validation."""
  from sklearn.linear_model import LogisticRegression
  from sklearn.model_selection import GridSearchCV, StratifiedKFold
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler

  return GridSearchCV(
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    {"logisticregression__C": _STRENGTHS},
    cv=StratifiedKFold(5, shuffle=True, random_state=0),
  ).fit(features, labels)


def markdown(
  rows: Sequence[Row], setting: Mapping[str, str], train: Photographs, test: Photographs
) -> str:
  """The measurement as a page.

  Args:
    rows: as `measure` gives them.
    setting: how: `command`, `date`, `revision`, `machine`, `versions` and `encoder`.
    train: what the probe learned from.
    test: what it was measured on.
  """
  count, best = len(test.labels), rows[0].own
  deviation, chance = (best * (1 - best) / count) ** 0.5, 1 / len(set(test.labels))
  lines = [
    "# Other formats of the encoder: accuracy of a linear probe",
    "",
    f"`{setting['command']}`, {setting['date']}, sbae_tf {setting['revision']}.",
    f"{setting['machine']}. {setting['versions']}.",
    "",
    f"Encoder: {setting['encoder']}. Logistic regression (scikit-learn) on the standardized "
    "`embedding`, its l2 strength by 5-fold cross-validation. Learned from "
    f"{train.description}; measured on {test.description}. Of so many, the standard deviation of "
    f"an accuracy is {100 * deviation:.1f}%; a guess at random has {100 * chance:.0f}%. "
    "Differences are parts of the embedding's largest number. int8 cuts off what is beyond the "
    f"ranges that {_CALIBRATED} photographs of the training set gave: a rare one may be far off.",
    "",
    "| format | MB | difference of the embedding, median photograph | largest | accuracy | "
    "accuracy of the SavedModel's probe | photographs that it takes for another class |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    *(
      f"| {row.name} | {row.size / 1e6:.2f} | {row.median:.1e} | {row.largest:.1e} | "
      f"{row.own:.1%} | {row.given:.1%} | {row.changed} of {count} |"
      for row in rows
    ),
  ]
  return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
  """Runs the tool.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0; 2 after a user's mistake, said in one line.
  """
  parser = argparse.ArgumentParser(
    prog="python -m tools.quantization_probe",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("--encoder", required=True, metavar="FOLDER", help="a SavedModel of an encoder")
  add("--data", required=True, metavar="TRAIN", help="photographs that the probe learns from")
  add("--test", required=True, metavar="TEST", help="photographs that it is measured on")
  add("--train_count", type=int, default=1000, help="how many of TRAIN; default: 1000")
  add("--test_count", type=int, default=500, help="how many of TEST; default: 500")
  add("--out", default="tools/results/formats.md", help="the page; default: %(default)s")
  flags = parser.parse_args(arguments)
  runtime.silence_tensorflow_logs()
  runtime.start_tensorflow()
  from sbae_tf.export import load_encoder

  try:
    encoder = load_encoder(flags.encoder)
    size = encoder.config.data.image_size
    train = read(flags.data, count=flags.train_count, image_size=size)
    test = read(flags.test, count=flags.test_count, image_size=size)
  except (ValueError, RunError) as error:
    print(f"quantization_probe: {' '.join(str(error).split())}", file=sys.stderr)
    return _USAGE_ERROR
  packages = ("tensorflow", "tensorflow-io", "scikit-learn", "numpy")
  setting = {
    "command": shlex.join(["python", "-m", "tools.quantization_probe", *arguments]),
    "date": datetime.date.today().isoformat(),
    "revision": machine.revision(),
    "machine": machine.machine(),
    "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages),
    "encoder": _describe(flags.encoder, encoder.config),
  }
  page = markdown(measure(flags.encoder, train, test), setting, train, test)
  pathlib.Path(flags.out).write_text(page, encoding="utf-8")
  print(page, end="")
  return 0


def _describe(path: str, config: Any) -> str:
  """An encoder in words: what it is, and how it was trained."""
  training = json.loads(pathlib.Path(path, "assets", "training.json").read_text(encoding="utf-8"))
  branches = ", ".join(config.branch_names)
  steps = f"{training['steps']:,} steps of {config.batch_size} on {training['data']}"
  return f"`{config.backbone}`, {branches}, {config.precision}, {steps}"


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
