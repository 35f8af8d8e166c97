"""Shows the photographs whose embeddings are nearest to a photograph's, as a grid.

  python -m tools.neighbors --embeddings=EMBEDDINGS --query=PHOTOGRAPH --out=grid.png

EMBEDDINGS is a folder of sbae_tf.embed. The query is one of its photographs, by name or by the end
of its name, or any other image file, which the same encoder then embeds. Near is what has the
largest cosine similarity.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sbae_tf import runtime
from sbae_tf.captions import shortened
from sbae_tf.command_line import USAGE_ERROR, Parser, UsageError

if TYPE_CHECKING:
  from sbae_tf.data.source import Source
  from sbae_tf.embedding_manifest import Manifest

_GAP = 8  # Pixels between two photographs.
_FONT = 11  # Pixels.
_LINE = 14
_FRAME = "#d62728"  # Around the query.
_MISSING = 224  # Gray of a photograph that cannot be read any more.


@dataclasses.dataclass(frozen=True)
class Photograph:
  """A photograph with an embedding.

  Attributes:
    index: its number in the source.
    name: its name.
    similarity: the cosine of the angle between its embedding and the query's, in [-1, 1].
  """

  index: int
  name: str
  similarity: float


def find(embeddings: str, query: str, *, feature: str) -> tuple[Photograph, np.ndarray] | None:
  """Finds a photograph among embeddings.

  Args:
    embeddings: their folder.
    query: its name, or the end of it from a slash on.
    feature: which of the features.

  Returns:
    The photograph, and its embedding, (C,) float32; None where there is none of that name.

  Raises:
    ValueError: several names end so; or as `read_shards` does.
  """
  from sbae_tf.embedding_manifest import read_shards

  found: list[tuple[Photograph, np.ndarray]] = []
  for indices, rows in read_shards(embeddings, [feature]):
    for row, name in enumerate(rows.names):
      if name == query or name.endswith(f"/{query}"):
        vector = _flat(rows.features[feature][row : row + 1])[0]
        found.append((Photograph(int(indices[row]), name, 1.0), vector))
  exact = [each for each in found if each[0].name == query]
  if len(found) > 1 and not exact:
    names = ", ".join(photograph.name for photograph, _ in found[:5])
    raise ValueError(
      f"--query={query} is the end of {len(found):,} names, such as {names}. Give more of it."
    )
  return next(iter(exact or found), None)


def nearest(
  embeddings: str, vector: np.ndarray, *, count: int, feature: str, but: int | None = None
) -> list[Photograph]:
  """The photographs whose embeddings are nearest to one. Memory holds one shard.

  Args:
    embeddings: their folder.
    vector: (C,) float32.
    count: how many, at most.
    feature: which of the features.
    but: the number of one that is left out: the query itself.

  Returns:
    The nearest first; of equals the first in the source.

  Raises:
    ValueError: as `read_shards` does.
  """
  from sbae_tf.embedding_manifest import read_shards

  best: list[Photograph] = []
  unit = _unit(vector[np.newaxis])[0]
  for indices, rows in read_shards(embeddings, [feature]):
    similarity = _unit(_flat(rows.features[feature])) @ unit
    if but is not None:
      similarity[indices == but] = -np.inf
    order = np.argsort(-similarity, kind="stable")[:count]
    best += [Photograph(int(indices[i]), rows.names[i], float(similarity[i])) for i in order]
    best = sorted(best, key=lambda photograph: -photograph.similarity)[:count]
  return [photograph for photograph in best if photograph.index != but]


def draw_grid(images: np.ndarray, captions: Sequence[Sequence[str]], *, title: str) -> Image.Image:
  """Photographs row by row, each over its caption; the first one, the query, in a frame.

  Args:
    images: (N, S, S, 3) uint8.
    captions: lines of text of each; too long ones lose their beginnings.
    title: stands above all.

  Returns:
    The picture.
  """
  font = ImageFont.load_default(_FONT)
  side, columns = images.shape[1], math.ceil(math.sqrt(len(images)))
  width = side + _GAP
  height = side + _LINE * max(map(len, captions)) + _GAP
  top = _LINE + 2 * _GAP
  rows = math.ceil(len(images) / columns)
  canvas = Image.new("RGB", (columns * width + _GAP, rows * height + top), "white")
  draw = ImageDraw.Draw(canvas)
  draw.text((_GAP, _GAP), shortened(title, font, canvas.width - 2 * _GAP), "black", font=font)
  for i, (image, lines) in enumerate(zip(images, captions)):
    x, y = _GAP + i % columns * width, top + i // columns * height
    canvas.paste(Image.fromarray(image), (x, y))
    if i == 0:
      draw.rectangle((x - 3, y - 3, x + side + 2, y + side + 2), outline=_FRAME, width=3)
    for number, line in enumerate(lines):
      place = (x, y + side + 2 + number * _LINE)
      draw.text(place, shortened(line, font, side), "black", font=font)
  return canvas


def _flat(values: np.ndarray) -> np.ndarray:
  return np.asarray(values, np.float32).reshape(len(values), -1)


def _unit(vectors: np.ndarray) -> np.ndarray:
  """Vectors of length 1; of length 0 they stay."""
  return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _read(source: Source, indices: Sequence[int], *, side: int, max_pixels: int) -> np.ndarray:
  """(N, S, S, 3) uint8: central squares; gray where a photograph cannot be read any more."""
  from sbae_tf.data import pipeline
  from sbae_tf.data.skipped import Skipped

  part = dataclasses.replace(source, shares=()).subset(np.array(indices), source.description)
  images = np.full((len(indices), side, side, 3), _MISSING, np.uint8)
  for batch in pipeline.evaluation_dataset(
    part,
    batch_size=64,
    image_size=side,
    skipped=Skipped(len(part), limit=1.0),
    max_pixels=max_pixels,
  ).as_numpy_iterator():
    images[batch["index"]] = batch["image"]
  return images


def _open(manifest: Manifest, data: str | None, shown: Sequence[Photograph]) -> Source:
  """The photographs, which must be those of the embeddings."""
  from sbae_tf.data.sources import open_source

  source = open_source(data or manifest.settings.data)
  for photograph in shown:
    # Below the root, for all of them may have moved.
    name = source.names[photograph.index] if photograph.index < len(source) else ""
    below = name[len(source.root) :].lstrip("/")
    if not below or not photograph.name.endswith(below):
      raise ValueError(
        f"{data or manifest.settings.data} no longer holds what the embeddings were made from: "
        f"{photograph.name} is not in its place. Give --data, or make the embeddings again."
      )
  return source


def _embed_file(
  manifest: Manifest, file: str, *, encoder: str | None, feature: str
) -> tuple[Source, np.ndarray]:
  """A source of one image file, and its embedding, (C,) float32."""
  import tensorflow as tf

  from sbae_tf.data import pipeline
  from sbae_tf.data.skipped import Skipped
  from sbae_tf.data.sources import open_source
  from sbae_tf.feature_extractor import FeatureExtractor

  settings = manifest.settings
  path = os.path.abspath(encoder) if encoder else str(manifest.about["encoder"])
  extractor = FeatureExtractor(
    path,
    features=[feature],
    maps=settings.maps,
    dtype=settings.dtype,
    signature=settings.signature,
    image_size=settings.image_size,
  )
  if extractor.checksum != settings.encoder_sha256:
    raise ValueError(
      f"The SavedModel in {path} is another one than the embeddings were made with. Give "
      "--encoder, or make the embeddings again."
    )
  source = open_source(file)
  skipped = Skipped(len(source), limit=1.0)
  dataset = pipeline.evaluation_dataset(
    source,
    batch_size=1,
    image_size=settings.image_size,
    skipped=skipped,
    max_pixels=settings.max_pixels,
  )
  images = [batch["image"] for batch in dataset]
  if len(source) != 1 or not images:
    reason = "; ".join(": ".join(entry) for entry in skipped.entries.values())
    raise ValueError(
      f"Expected --query={file} to be one photograph. {reason or f'It is {len(source):,}'}."
    )
  return source, _flat(extractor(tf.constant(images[0]))[feature].numpy())[0]


def _show(flags: argparse.Namespace) -> str:
  """Draws the grid; returns a table of it."""
  from sbae_tf.embedding_manifest import read_manifest

  manifest = read_manifest(flags.embeddings)
  settings = manifest.settings
  feature = flags.feature or next(iter(settings.features))
  found = find(flags.embeddings, flags.query, feature=feature)
  if found is not None:
    query, vector = found
    own = None
  elif os.path.isfile(os.path.expanduser(flags.query)):
    own, vector = _embed_file(manifest, flags.query, encoder=flags.encoder, feature=feature)
    query = Photograph(-1, flags.query, 1.0)
  else:
    raise ValueError(
      f"--query={flags.query} is neither a name in {flags.embeddings} nor an image file."
    )
  near = nearest(flags.embeddings, vector, count=flags.count, feature=feature, but=query.index)
  shown = near if own else [query, *near]
  if not near:
    raise ValueError(f"There is no other photograph in {flags.embeddings}.")
  source = _open(manifest, flags.data, shown)
  numbers = [photograph.index for photograph in shown]
  images = _read(source, numbers, side=flags.side, max_pixels=settings.max_pixels)
  if own:
    first = _read(own, [0], side=flags.side, max_pixels=settings.max_pixels)
    images = np.concatenate([first, images])
  captions = [[os.path.basename(query.name), "query"]]
  captions += [[os.path.basename(each.name), f"{each.similarity:.3f}"] for each in near]
  title = (
    f"{len(near)} nearest of {manifest.embeddings:,} photographs by cosine similarity of "
    f"'{feature}'"
  )
  picture = draw_grid(images, captions, title=title)
  try:
    picture.save(flags.out)
  except (OSError, ValueError) as error:  # ValueError: of no format that Pillow knows.
    raise ValueError(f"Cannot write --out={flags.out}: {error}. Give a file.png.") from error
  lines = [f"{photograph.similarity:6.3f}  {photograph.name}" for photograph in near]
  return "\n".join([f" query  {query.name}", *lines, f"Drawn in {flags.out}"])


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
  parser = Parser(
    prog="python -m tools.neighbors",
    description=__doc__,
    usage="%(prog)s --embeddings=FOLDER --query=PHOTOGRAPH --out=PNG [flags]",
  )
  add = parser.add_argument
  add("--embeddings", required=True, metavar="FOLDER", help="that sbae_tf.embed wrote")
  add("--query", required=True, metavar="PHOTOGRAPH", help="a name in it, or an image file")
  add("--out", required=True, metavar="PNG", type=pathlib.Path, help="the picture to write")
  add("--count", type=int, default=24, help="of neighbors; default: %(default)s")
  add("--feature", help="which of the embeddings' features; default: the first")
  add("--side", type=int, default=128, help="of a photograph, in pixels; default: %(default)s")
  add("--data", metavar="SPEC", help="where the photographs are now; default: where they were")
  add("--encoder", metavar="SAVED_MODEL", help="where it is now; default: where it was")
  flags = parser.parse_args(arguments)
  for name in ("count", "side"):
    if getattr(flags, name) < 1:
      raise UsageError(f"Expected --{name} of 1 or more. Received: {getattr(flags, name)}")
  return flags


def main(arguments: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    arguments: what follows the program's name.

  Returns:
    The exit status: 0, or 2 after a mistake, said in one line.
  """
  try:
    flags = _parse(arguments)
    runtime.silence_tensorflow_logs()
    runtime.start_tensorflow()
    print(_show(flags))
  except ValueError as error:
    print(f"neighbors: {' '.join(str(error).split())}", file=sys.stderr)
    return USAGE_ERROR
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
