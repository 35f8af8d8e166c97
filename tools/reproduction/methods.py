"""Ways to pretrain that the tables compare: presets, and flags beside them."""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
from collections.abc import Sequence
from typing import Protocol

from sbae_tf import presets

NOISES = ("masking", "gaussian", "salt_and_pepper")
AMOUNTS = (0.05, 0.1, 0.2, 0.5)

RANDOM = "random"
OURS = presets.DEFAULT

# Photographs a second that a method trains on with two cores: for estimates, until it was measured.
_SIMPLENET, _RESNET18, _ALEXNET = 220.0, 35.0, 60.0

_RESNET18_FLAG = "--backbone.name=resnet18"
# Of what the default preset is compared with: the weights that it begins with, which are better for
# the others, too. What it adds by itself shows beside its own initial weights.
_LIKE_OURS = "--initialization.name=kmeans"
# The CVPR paper's family, from random weights as there: presets, and what tables call them.
_FAMILY = {
  "split_brain_96": "split-brain; this and all below from random weights",
  "l_to_ab": "L -> ab alone",
  "ab_to_l": "ab -> L alone",
  "autoencoder_lab": "autoencoder",
  "split_brain_96_gamut": "split-brain, 313 bins in gamut and 50 of L",
  "split_brain_96_soft": "split-brain, 313 bins, soft targets",
  "split_brain_96_rebalanced": "split-brain, 313 bins, soft targets, rebalanced",
  "split_brain_96_l2": "split-brain (reg, reg)",
  "l_to_ab_regression": "L -> ab alone, regression",
  "ab_to_l_regression": "ab -> L alone, regression",
  "l_to_ab_ensemble": "L -> ab twice, one by each loss",
  "lab_drop50": "Lab, half dropped -> Lab",
  "shared_l_ab": "(L, ab) -> (ab, L), one tower",
  "shared_l_ab_lab": "(L, ab, Lab) -> (ab, L, Lab), one tower",
  "split_brain_yuv": "split-brain, YUV",
  "split_brain_hsv": "split-brain, HSV",
  "three_towers_lab": "three towers of Lab, together as large as two",
  "three_towers_lab_wide": "three towers of Lab, each as large as one of two",
  "three_towers_rgb": "three towers of RGB, together as large as two",
  "three_towers_rgb_wide": "three towers of RGB, each as large as one of two",
}

# Of the few photographs with depth, one has none that fits it.
_FEW_PAIRS = (
  "--data.beside=../depth_mm/{stem}.png",
  "--data.max_skipped=0.1",
  "--batch_size=14",
)
_DEPTH_STEPS = 120

_LENGTHS = ("--epochs", "--steps")  # Flags that say how long is trained.


@dataclasses.dataclass(frozen=True)
class Method:
  """A way to pretrain.

  Attributes:
    name: of its folders.
    title: what tables call it.
    flags: of `sbae_tf.pretrain`, without photographs, seed and folder.
    rate: photographs a second, about; 0 where it does not train.
    minutes: that it trains for, 0 for its initial weights; None where flags say how long.
  """

  name: str
  title: str
  flags: tuple[str, ...]
  rate: float = _SIMPLENET
  minutes: float | None = None

  def timed(self, minutes: float) -> Method:
    """The same, trained for so many minutes: without flags that say how long."""
    flags = tuple(flag for flag in self.flags if _flag_name(flag) not in _LENGTHS)
    title = self.title
    if not minutes:
      flags, title = (*flags, "--epochs=0"), f"{title}, nothing trained"
    name = timed_name(self.name, minutes)
    return dataclasses.replace(self, name=name, title=title, flags=flags, minutes=minutes)

  def with_flags(self, flags: Sequence[str]) -> Method:
    """The same with further flags, which replace those of the same name.

    Those that say how long to train replace all that do, and are nothing to a method that does not
    train.
    """
    if not self.rate:
      flags = [flag for flag in flags if _flag_name(flag) not in _LENGTHS]
    names = {_flag_name(flag) for flag in flags}
    if names & set(_LENGTHS):
      names |= set(_LENGTHS)
    kept = [flag for flag in self.flags if _flag_name(flag) not in names]
    return dataclasses.replace(self, flags=(*kept, *flags))


def _flag_name(flag: str) -> str:
  return flag.partition("=")[0]


@dataclasses.dataclass(frozen=True)
class Change:
  """Flags beside those of some methods.

  Attributes:
    pattern: of the methods' names, as shells have them.
    flags: of `sbae_tf.pretrain`.
  """

  pattern: str
  flags: tuple[str, ...]

  @classmethod
  def parse(cls, text: str) -> Change:
    """Reads `resnet18_*: --epochs=6 --batch_size=128`.

    Raises:
      ValueError: it is not of that form.
    """
    pattern, _, flags = text.partition(":")
    found = tuple(flags.split())
    if not pattern or not found or not all(f.startswith("--") and "=" in f for f in found):
      raise ValueError(f"Expected --change='METHODS: --FLAG=VALUE ...'. Received: {text}")
    return cls(pattern.strip(), found)


def timed_name(name: str, minutes: float) -> str:
  """The name of a method that is trained for so many minutes."""
  return f"{name}_{minutes:g}min"


def denoising_name(noise: str, amount: float) -> str:
  """The name of a denoising autoencoder, such as `denoising_masking_10`: 10% of the pixels."""
  return f"denoising_{noise}_{100 * amount:g}"


def is_denoising(name: str) -> bool:
  """Whether a method's name is that of a denoising autoencoder."""
  return name.startswith("denoising_")


def parse_denoising(text: str) -> tuple[tuple[str, float], ...]:
  """Reads `masking:0.1,gaussian:0.2`, or `all` for every noise at every amount.

  Raises:
    ValueError: it is not of that form.
  """
  if text == "all":
    return tuple(itertools.product(NOISES, AMOUNTS))
  found = []
  for part in text.split(","):
    noise, _, amount = part.partition(":")
    try:
      value = float(amount)
    except ValueError:
      value = 0.0
    if noise not in NOISES or not 0 < value < 1:
      raise ValueError(
        f"Expected --denoising=NOISE:AMOUNT,... with a noise of {', '.join(NOISES)} and an amount "
        f"between 0 and 1; or 'all'. Received: {text}"
      )
    found.append((noise, value))
  return tuple(found)


@dataclasses.dataclass(frozen=True)
class Lineup:
  """The methods.

  Attributes:
    ours: the default preset, trained as long as the others.
    whole: the same for all of its own epochs; `ours` where that is as long.
    reports: those of the report's table, by backbone and color space.
    denoising: autoencoders; the first one stands for them where one is enough.
    l_to_ab: one cross-channel encoder.
    ab_to_l: the other one.
    autoencoder: the plain one.
    simclr: contrastive.
    family: variants of the split brain and its ablations.
    random: weights as they are drawn.
    random_resnet18: the same of the other backbone.
    alexnet: a few steps at a part of its width.
    depth: on photographs with depth.
    depth_random: the same network as its weights are drawn.
  """

  ours: Method
  whole: Method
  reports: tuple[Method, ...]
  denoising: tuple[Method, ...]
  l_to_ab: Method
  ab_to_l: Method
  autoencoder: Method
  simclr: Method
  family: tuple[Method, ...]
  random: Method
  random_resnet18: Method
  alexnet: Method
  depth: Method
  depth_random: Method


class _Made(Protocol):
  """Makes a method; see `lineup`."""

  def __call__(
    self,
    name: str,
    title: str,
    preset: str,
    *flags: str,
    rate: float = ...,
    steps: int = ...,
    all_epochs: bool = ...,
  ) -> Method: ...


def lineup(
  *, epochs: int, denoising: Sequence[tuple[str, float]], changes: Sequence[Change] = ()
) -> Lineup:
  """The methods that the tables compare.

  Args:
    epochs: that they train, but AlexNet, which takes long, and `Lineup.whole`; 0: as their presets
      say.
    denoising: noise and amount of each denoising autoencoder, one at least.
    changes: to the flags of some.
  """

  def method(
    name: str,
    title: str,
    preset: str,
    *flags: str,
    rate: float = _SIMPLENET,
    steps: int = 0,
    all_epochs: bool = False,
  ) -> Method:
    made = Method(name, title, (f"--preset={preset}", *flags), rate)
    if steps or (epochs and not all_epochs):
      made = made.with_flags([f"--steps={steps}" if steps else f"--epochs={epochs}"])
    for change in changes:
      if fnmatch.fnmatchcase(name, change.pattern):
        made = made.with_flags(change.flags)
    return made

  reports = _reports(method)
  by_name = {each.name: each for each in reports}
  alexnet = ("alexnet_lab", "split-brain AlexNet, Lab, few steps", "alexnet_lab")
  depth = ("rgbd_96", "HHA from color, color from HHA", "rgbd_96")
  random_resnet18 = ("random_resnet18", "ResNet18, random weights", RANDOM)
  ours = by_name.get(OURS) or method(OURS, "split-brain, the default preset", OURS)
  return Lineup(
    ours=ours,
    whole=method(f"{OURS}_whole", f"{ours.title}, all of its epochs", OURS, all_epochs=True)
    if epochs
    else ours,
    reports=reports,
    denoising=tuple(_denoising(method, *each) for each in denoising),
    l_to_ab=method("l_to_ab_kmeans", "L -> ab alone, from k-means", "l_to_ab", _LIKE_OURS),
    ab_to_l=method("ab_to_l_kmeans", "ab -> L alone, from k-means", "ab_to_l", _LIKE_OURS),
    autoencoder=method(
      "autoencoder_kmeans", "autoencoder, from k-means", "autoencoder_lab", _LIKE_OURS
    ),
    simclr=method("simclr", "SimCLR", "simclr", _LIKE_OURS, rate=_SIMPLENET / 2),
    family=tuple(method(name, title, name) for name, title in _FAMILY.items()),
    random=method(RANDOM, "SimpleNet, random weights", RANDOM, rate=0),
    random_resnet18=method(*random_resnet18, _RESNET18_FLAG, rate=0),
    alexnet=method(*alexnet, "--backbone.width=0.25", rate=_ALEXNET, steps=200),
    depth=method(*depth, *_FEW_PAIRS, steps=_DEPTH_STEPS),
    depth_random=method(
      "rgbd_96_random", "random weights", "rgbd_96", *_FEW_PAIRS, "--epochs=0", rate=0
    ),
  )


def _reports(method: _Made) -> tuple[Method, ...]:
  """SimpleNet and ResNet18 on RGB, Lab and re-scaled Lab."""
  found = []
  for backbone, title, rate in (
    ("simplenet", "SimpleNet", _SIMPLENET),
    ("resnet18", "ResNet18", _RESNET18),
  ):
    for color, words in (("rgb", "RGB"), ("lab", "Lab"), ("rescaled_lab", "re-scaled Lab")):
      name = f"{backbone}_{color}"
      known = name in presets.PRESETS
      flags = () if known else (_RESNET18_FLAG,)
      preset = name if known else f"simplenet_{color}"
      found.append(method(name, f"split-brain {title}, {words}", preset, *flags, rate=rate))
  return tuple(found)


def _denoising(method: _Made, noise: str, amount: float) -> Method:
  title = f"denoising, {noise.replace('_', ' ')} {amount:.0%}"
  flags = (f"--task.noise={noise}", f"--task.amount={amount:g}", _LIKE_OURS)
  return method(denoising_name(noise, amount), title, "denoising_lab", *flags)
