"""Pictures: filters of the first layer, a map of embeddings, patches that units answer to."""

from __future__ import annotations

import dataclasses
import io
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from sbae_tf.encoder import EMBEDDING as _EMBEDDING  # A plug-in's public constants are its own.
from sbae_tf.evaluation import plane_layout, plots, receptive_field, top_patches
from sbae_tf.evaluation.first_layer import draw_filters
from sbae_tf.evaluation.protocol import Context, Figure, Json, Protocol, Section
from sbae_tf.evaluation.receptive_field import ReceptiveField
from sbae_tf.evaluation.subject import Subject

_FILTERS, _PATCHES, _MAP = "pictures_filters.png", "pictures_patches.png", "pictures_map.png"
_DIMENSIONS = 9000  # About, of a feature map in the place of an embedding.


class _Part(NamedTuple):
  """One of the pictures.

  Attributes:
    told: what it shows, for the summary.
    figure: None where there is nothing to show.
    values: for `report.json`.
  """

  told: str
  figure: Figure | None
  values: dict[str, Json]


@dataclasses.dataclass(frozen=True)
class Pictures(Protocol):
  """Draws what an encoder has learnt.

  Attributes:
    layer: as `build` takes it, as those that follow.
    units: how many.
    patches: of a unit.
    patch_size: pixels, or None.
    points: photographs of the map.
    projection: a key of `plane_layout.METHODS`.
  """

  layer: str | None
  units: int
  patches: int
  patch_size: int | None
  points: int
  projection: str

  def run(self, context: Context) -> Section:
    # What is quick and may be refused comes first.
    layer, field = self._field(context.subject)
    parts = []
    for name, draw in (
      ("filters of the first layer", self._draw_filters),
      (f"{plane_layout.METHODS[self.projection]} map", self._draw_map),
      (f"patches for units of {layer}", lambda c: self._draw_patches(c, layer, field)),
    ):
      context.say(f"pictures: {name}")
      parts.append(draw(context))
    return Section(
      summary="; ".join(part.told for part in parts),
      values={key: value for part in parts for key, value in part.values.items()},
      figures=tuple(part.figure for part in parts if part.figure is not None),
    )

  def _draw_filters(self, context: Context) -> _Part:
    picture = draw_filters(context.subject)
    if picture is None:
      return _Part("no filters, for no weights are a convolution's of 1 to 3 channels", None, {})
    _write(context.folder / _FILTERS, Image.fromarray(picture))
    caption = (
      "Each square is a filter, in the color that its weights mean: gray is 0, and the largest "
      "weight has the strongest color."
    )
    figure = Figure("Filters of the first layer", _FILTERS, caption)
    return _Part("filters of the first layer", figure, {"filters": _FILTERS})

  def _draw_map(self, context: Context) -> _Part:
    """Draws some of the test photographs' embeddings in a plane."""
    test, layer = context.test, _embedding(context.subject)
    rng = np.random.default_rng(context.seed)
    chosen = np.sort(rng.permutation(len(test))[: self.points])
    features = context.features.get(test, layer, dimensions=_DIMENSIONS)[chosen]
    method = plane_layout.METHODS[self.projection]
    told = f"{method} of {len(chosen):,} photographs by their {layer}"
    plots.point_map(
      context.folder / _MAP,
      title=told,
      points=plane_layout.lay_out(features, method=self.projection, seed=context.seed),
      labels=test.labels[chosen],
      class_names=test.class_names,
      axis_name=method,
    )
    caption = (
      f"Each point is a photograph of the test part, placed by its {layer} alone and colored by "
      "its class. Points that are near are alike to the encoder; distances between groups mean "
      "little."
    )
    values = {"map": _MAP, "projection": self.projection, "map_layer": layer, "points": len(chosen)}
    return _Part(told, Figure("Embeddings in a plane", _MAP, caption), values)

  def _field(self, subject: Subject) -> tuple[str, ReceptiveField]:
    """The layer whose units are shown, and what they see of a photograph.

    Raises:
      ValueError: there is no such layer, or `patch_size` is too large.
    """
    size, side = subject.image_size, self.patch_size
    if side is not None and side > size:
      raise ValueError(
        f"Expected `patch_size` of at most {size}, the photographs' side. Received: {side}"
      )
    if self.layer is not None and self.layer not in subject.shapes:
      raise ValueError(
        f"Expected `layer` one of {', '.join(subject.shapes)}. Received: {self.layer!r}"
      )
    names = [self.layer] if self.layer else [*reversed(subject.maps)] or [_embedding(subject)]
    fields = {}
    for name in names:
      shape = subject.shapes[name]
      if len(shape) == 1:
        fields[name] = receptive_field.whole(size)
      elif side is not None and shape[0] == shape[1]:
        fields[name] = receptive_field.around(shape[0], image_size=size, side=side)
      else:
        fields[name] = receptive_field.measure(
          subject.features, name, image_size=size, planes=subject.planes
        )
      if fields[name].side < size:
        return name, fields[name]
    return names[0], fields[names[0]]

  def _draw_patches(self, context: Context, layer: str, field: ReceptiveField) -> _Part:
    subject, source = context.subject, dataclasses.replace(context.test.source, shares=())
    answers = top_patches.strongest(
      *(source, subject.features, layer), image_size=subject.image_size, count=self.patches
    )
    alive = answers.alive
    if not len(alive):
      return _Part(f"no patches, for no unit of {layer} tells photographs apart", None, {})
    units = alive[np.linspace(0, len(alive) - 1, min(self.units, len(alive))).round().astype(int)]
    rows = top_patches.collect(
      *(source, answers, units.tolist()), field=field, image_size=subject.image_size
    )
    _write(context.folder / _PATCHES, top_patches.sheet(rows))
    caption = (
      f"A row shows the test photographs that a unit of {layer} answers most, its strength under "
      f"each: of a photograph {field.side} x {field.side} pixels around the strongest answer, gray "
      f"outside of it. {len(units)} of {len(answers.lowest):,} units, at equal distances among the "
      f"{len(alive):,} that tell photographs apart."
    )
    values = {
      "patches": _PATCHES,
      "layer": layer,
      "units": units.tolist(),
      "patch_size": field.side,
    }
    figure = Figure(f"What units of {layer} answer to", _PATCHES, caption)
    return _Part(f"patches for {len(units)} units of {layer}", figure, values)


def build(
  *,
  layer: str | None = None,
  units: int = 8,
  patches: int = 9,
  patch_size: int | None = None,
  points: int = 1000,
  projection: str = "tsne",
) -> Pictures:
  """Pictures of the encoder.

  Args:
    layer: whose units are shown by the test photographs' patches that they answer most; None for
      the last map whose units see less than a whole photograph, and the last where there is none.
    units: how many, at least 1: at equal distances among those that tell photographs apart.
    patches: of a unit, at least 1, each of another photograph.
    patch_size: their side in pixels; None for what the unit sees, found as
      `receptive_field.measure` does, for any encoder.
    points: photographs of the test part whose embeddings are laid out in a plane, at most; drawn at
      random; at least 4.
    projection: "tsne", or "umap", which needs umap-learn.

  Raises:
    ValueError: an option is out of range, or matplotlib or umap-learn is not installed.
  """
  least = {"units": (units, 1), "patches": (patches, 1), "points": (points, 4)}
  if patch_size is not None:
    least["patch_size"] = (patch_size, 1)
  for name, (value, lowest) in least.items():
    if value < lowest:
      raise ValueError(f"Expected `{name}` of {lowest} or more. Received: {value}")
  plane_layout.check(projection)
  plots.check_matplotlib()
  return Pictures(
    layer=layer,
    units=units,
    patches=patches,
    patch_size=patch_size,
    points=points,
    projection=projection,
  )


def _embedding(subject: Subject) -> str:
  """The feature that stands for a photograph."""
  vectors = sorted(name for name, shape in subject.shapes.items() if len(shape) == 1)
  return _EMBEDDING if _EMBEDDING in vectors else [*vectors, *reversed(subject.maps)][0]


def _write(path: pathlib.Path, picture: Image.Image) -> None:
  content = io.BytesIO()
  picture.save(content, "PNG")
  plots.write_picture(path, content.getvalue())
