"""The model card: what a SavedModel is, how to use it, what it was trained on and measured by.

Reference: Mitchell et al. 2019, arXiv:1810.03993.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from sbae_tf.config import PretrainConfig


@dataclasses.dataclass(frozen=True)
class Provenance:
  """Where weights come from.

  Attributes:
    data: one line that says what photographs they were trained on, and how many; empty: unknown.
    heldout_data: the same of the photographs that losses were measured on.
    steps: of training; None: unknown.
    heldout: each branch's name, and `total`, to the held-out loss at the end; empty: unknown.
    rescaled: whether layers were scaled afterwards, by `sbae_tf.rescaling`.
  """

  data: str = ""
  heldout_data: str = ""
  steps: int | None = None
  heldout: Mapping[str, float] = dataclasses.field(default_factory=dict)
  rescaled: bool = False


UNKNOWN = Provenance()

_BANDS = """
Planes of bands have 0 where there is no value; levels 1 to 255 are the channel's range. In sbae_tf
`load_encoder("FOLDER").color.levels(bands)` makes them of what a file holds, (H, W, N), such as
depth in mm: of whole frames, before they are cropped.
"""

_NUMBERS = """\
`embedding` is the mean over the last feature map's pixels. All are those of the live encoder: in
float32 on one machine within 1e-5 of the largest number of the map.
"""


@dataclasses.dataclass(frozen=True)
class Facts:
  """What a card says beside the configuration and the provenance.

  Attributes:
    parameters: numbers in all variables, batch statistics included.
    stride: height and width of photographs must be multiples of it.
    features: a feature map's name to its (h, w, C) for photographs of the configuration's size;
      `embedding` to its (C,). Empty for a colorizer.
    towers: the signatures that are one tower alone, by name, to the channels that it sees.
    chance: a branch's name to the loss of a head that knows nothing, for classifications.
    versions: of Python and packages, by name.
    bands: the channels that lie beside photographs, a plane of 8 bits each.
  """

  parameters: int
  stride: int
  features: Mapping[str, Sequence[int]]
  towers: Mapping[str, str]
  chance: Mapping[str, float]
  versions: Mapping[str, str]
  bands: Sequence[str] = ()


def encoder_card(
  config: PretrainConfig, provenance: Provenance, facts: Facts, *, folder: str
) -> str:
  """The card of an encoder, Markdown.

  Args:
    config: the configuration that it was trained by.
    provenance: of its weights.
    facts: what it is.
    folder: where the card finds `config.json` and `filters.png`; empty or ending in a slash.
  """
  name = f"{config.backbone.name}, {_predictions(config)}"
  side, stride = config.data.image_size, facts.stride
  towers = [
    (f"`{name}`", "as `serving_default`", f"features of one tower, which sees {channels} alone")
    for name, channels in facts.towers.items()
  ]
  images = f"(B, H, W, {3 + len(facts.bands)}) uint8{_planes(facts.bands)}"
  from_bytes = """\
features = encoder.signatures["from_bytes"](encoded=files)     # files (B,) string
"""
  usage = f"""\
Turns photographs into features. Needs TensorFlow and nothing else.

```python
import tensorflow as tf

encoder = tf.saved_model.load("FOLDER")
features = encoder(images)                     # images {images}
features["embedding"]                          # (B, {facts.features["embedding"][0]}) float32
{"" if facts.bands else from_bytes}```
{_BANDS if facts.bands else ""}
Fine-tuning: `encoder(images, training=True)` with `encoder.trainable_variables`, or in Keras
`tensorflow_hub.KerasLayer("FOLDER", trainable=True, output_key="embedding")`.
"""
  encoded = (
    "`from_bytes`",
    "`encoded`, (B,) string: whole JPEG, PNG, BMP or GIF files of any size",
    f"all features, of the central square, resized to {side} x {side}",
  )
  signatures = _table(
    ("signature", "takes", "gives"),
    [
      (
        "`serving_default`",
        f"`images`, {images}; H and W multiples of {stride}",
        "all features",
      ),
      *([] if facts.bands else [encoded]),
      *towers,
    ],
  )
  shapes = _table(
    ("feature", f"shape at {side} x {side}, float32"),
    [(f"`{k}`", " x ".join(map(str, v))) for k, v in facts.features.items()],
  )
  limits = [
    "Not a classifier: features are for a model on top, or for comparison.",
    "There is no signature `from_bytes`: a photograph's file has no bands."
    if facts.bands
    else "WebP, TIFF, CMYK and other files that TensorFlow does not decode are an error that says "
    "so.",
    *_limits(config, provenance),
  ]
  return _card(
    name,
    [
      ("", usage),
      ("Signatures", signatures),
      ("Features", f"{shapes}\n{_NUMBERS}"),
      *_origin(config, provenance, facts, folder=folder),
      ("Limits", _bullets(limits)),
      ("Filters of the first layer", f"![Filters of the first layer]({folder}filters.png)\n"),
    ],
  )


def colorizer_card(
  config: PretrainConfig, provenance: Provenance, facts: Facts, *, folder: str
) -> str:
  """The card of a colorizer, Markdown. Arguments as for `encoder_card`."""
  usage = f"""\
Colorizes photographs: keeps their lightness and predicts their color. Needs TensorFlow and nothing
else.

```python
import tensorflow as tf

colorizer = tf.saved_model.load("FOLDER")
rgb = colorizer.signatures["colorize"](images=images)["rgb"]
```

`images` are (B, H, W, 1) or (B, H, W, 3) uint8, H and W multiples of {facts.stride}; of color only
the lightness is looked at. `rgb` is (B, H, W, 3) uint8 sRGB.
"""
  limits = [
    "Colors are plausible ones, not those that were: not for documents.",
    f"Color is predicted on a map that is {facts.stride} times smaller: its edges are soft.",
    *_limits(config, provenance),
  ]
  return _card(
    f"Colorizer: {config.backbone.name}, {_predictions(config)}",
    [
      ("", usage),
      *_origin(config, provenance, facts, folder=folder),
      ("Limits", _bullets(limits)),
      ("Filters of the first layer", f"![Filters of the first layer]({folder}filters.png)\n"),
    ],
  )


def _origin(
  config: PretrainConfig, provenance: Provenance, facts: Facts, *, folder: str
) -> list[tuple[str, str]]:
  """The sections on training and measurement."""
  rows = [
    ("photographs", provenance.data or "not recorded"),
    ("steps", _steps(provenance.steps)),
    ("photographs a step", str(config.batch_size)),
    ("predictions", "; ".join(f"`{branch}`" for branch in config.branches)),
    ("color space", f"`{config.color}`"),
    ("backbone", f"`{config.backbone}`, {facts.parameters:,} parameters"),
    ("precision", f"`{config.precision}`"),
    ("versions", ", ".join(f"{k} {v}" for k, v in facts.versions.items())),
    ("everything else", f"[config.json]({folder}config.json)"),
  ]
  if provenance.rescaled:
    rows.append(("afterwards", "layers scaled to learn at one rate; features are the same"))
  measured = "Nothing was recorded.\n"
  if provenance.heldout:
    branches = {k: v for k, v in provenance.heldout.items() if k != "total"}
    losses = [
      (f"`{k}`", f"{v:.4f}", f"{facts.chance[k]:.4f}" if k in facts.chance else "")
      for k, v in branches.items()
    ]
    measured = (
      f"Held-out loss on {provenance.heldout_data or 'photographs that were not recorded'}:\n\n"
      + _table(("prediction", "loss", "of a guess at random"), losses)
    )
  return [("Training", _table(("", ""), rows)), ("Measured", measured)]


def _steps(steps: int | None) -> str:
  if steps is None:
    return "not recorded"
  return f"{steps:,}" if steps else "0: the weights are the initial ones"


def _limits(config: PretrainConfig, provenance: Provenance) -> list[str]:
  """What holds for encoder and colorizer alike."""
  side = config.data.image_size
  limits = [
    f"Trained on crops of {side} x {side}: other sizes work, and were not measured.",
    "Of what the photographs above show rarely it knows little, and their biases are its own.",
    "Expects sRGB: embedded color profiles are not applied.",
  ]
  if not provenance.heldout:
    limits.append("No quality was recorded: measure it before you rely on it.")
  elif not config.data.path:
    limits.append("Trained on the few embedded photographs: to try things out, not to be used.")
  return limits


def _planes(bands: Sequence[str]) -> str:
  """What the planes of an image are."""
  return f": R, G, B, {', '.join(bands)}" if bands else " sRGB"


def _predictions(config: PretrainConfig) -> str:
  return ", ".join(config.branch_names)


def _card(name: str, sections: Sequence[tuple[str, str]]) -> str:
  parts = [f"# {name}\n"]
  parts += [f"## {title}\n\n{text}" if title else text for title, text in sections]
  return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [head, ["---"] * len(head), *rows]
  # A branch's name has no bar, but a path may.
  return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in r)} |\n" for r in lines)


def _bullets(lines: Sequence[str]) -> str:
  return "".join(f"- {line}\n" for line in lines)
