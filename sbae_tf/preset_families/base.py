"""What presets are made of: the class, papers, recipes."""

from __future__ import annotations

import dataclasses

from sbae_tf.config import Component, DataConfig, PretrainConfig


@dataclasses.dataclass(frozen=True)
class Preset:
  """A named configuration.

  Attributes:
    summary: one line for `--help`.
    paper: what it follows, and where it departs.
    command: how to train it for real.
    result: what that command measured, and on what machine; where the record lies.
    config: the configuration.
  """

  summary: str
  paper: str
  command: str
  result: str
  config: PretrainConfig


REPORT = "Budhkar, Casabuena, Iyengar, Le Project Quotidien, NYU 2019"
CVPR = "Zhang, Isola, Efros, CVPR 2017 (arXiv:1611.09842)"
ZHANG_2016 = "Zhang, Isola, Efros, ECCV 2016 (arXiv:1603.08511)"
UNMEASURED = "Not measured yet."
TABLE_3 = "tools/results/reproduction/table3.md (3 epochs)"
TABLE_4 = "tools/results/reproduction/table4.md (up to 10 minutes, from k-means)"

# The paper's single networks have all channels, of which its split brain's halves have half each:
# twice its parameters.
ALL_CHANNELS = Component("simplenet", {"width": 2.0})

# Chosen on imagenette96 by linear probes of one or two seeds. What mattered: thirty times the
# learning rate of the report's presets, a cosine instead of a slow exponential, and training two to
# five times as long; less: larger crops. Bins of another number, soft targets, bins over each
# image's own range of a and b, noise on the input, a hidden layer in the head and weight decay made
# no difference beyond that between two seeds. Group normalization was worse. Wider towers are
# better, and slower. More than any of it: initial filters that are k-means of patches, which the
# default preset adds; see tools/results/recipe.md.
RECIPE = PretrainConfig(
  data=DataConfig(crop_area=(0.5, 1.0)),
  schedule=Component("cosine", {"warmup_epochs": 1.0}),
  learning_rate=3e-3,
  epochs=60,
)

# The CVPR paper's own. It does not tell those of its RGB-D.
PAPERS_RECIPE = PretrainConfig(
  data=DataConfig(image_size=224),
  backbone=Component("alexnet"),
  optimizer=Component("sgd", {"momentum": 0.9, "weight_decay": 5e-4}),
  schedule=Component("step"),
  learning_rate=0.01,
  batch_size=256,
  epochs=90,
)


def command(name: str) -> str:
  """How to train a preset."""
  return f"python -m sbae_tf.pretrain --preset={name} --data=PHOTOGRAPHS"
