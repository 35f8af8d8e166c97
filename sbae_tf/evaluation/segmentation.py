"""Mean intersection over union where every pixel has a class: a head on the network, fine-tuned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from sbae_tf.data import pipeline
from sbae_tf.data.skipped import Skipped
from sbae_tf.evaluation.epochs import Epoch
from sbae_tf.evaluation.fine_tuner import check_options
from sbae_tf.evaluation.finetune import names_of
from sbae_tf.evaluation.label_classes import (
  LabelClasses,
  choose_classes,
  parse_names,
  parse_numbers,
)
from sbae_tf.evaluation.labelled import split
from sbae_tf.evaluation.masks import MaskRule
from sbae_tf.evaluation.protocol import Context, Protocol, Section
from sbae_tf.evaluation.repeats import seed_of
from sbae_tf.evaluation.segmentation_section import Run, Way, make_section
from sbae_tf.evaluation.segmented import Segmented, open_segmented
from sbae_tf.evaluation.segmenter import Recipe, Segmenter
from sbae_tf.evaluation.subject import Subject
from sbae_tf.evaluation.untrained import untrained

NEEDS_CLASSES = False  # Of photographs; each has a mask.
LEFT_OUT = "segmentation_left_out.tsv"  # Names the photographs without a usable mask.

_GIVEN, _SCRATCH = "given weights", "random weights"


@dataclasses.dataclass(frozen=True)
class _Parts:
  """What is trained on, what chooses the epoch, and what is measured."""

  train: Segmented
  validation: Segmented | None
  test: Segmented
  classes: LabelClasses


@dataclasses.dataclass(frozen=True)
class Segmentation(Protocol):
  """Trains several times, from the encoder's weights and from random ones.

  Attributes: as the arguments of `build`.
  """

  rule: MaskRule
  classes: tuple[str, ...]
  ignored: frozenset[int]
  recipe: Recipe
  epochs: int
  patience: int
  validation: float
  from_scratch: bool
  seeds: int
  pictures: int

  def run(self, context: Context) -> Section:
    # What may be refused comes first.
    fresh = untrained(context.subject, seed=0) if self.from_scratch else None
    ledger = Skipped(
      len(context.train) + len(context.test), limit=1.0, file=context.folder / LEFT_OUT
    )
    parts = self._open(context, ledger)
    with context.subject.training() as encoder:
      segmenter = self._segmenter(context.subject, encoder, parts)
      context.say(f"segmentation: {len(parts.classes)} classes, {', '.join(segmenter.layers)}")
      ways = [self._repeat(context, parts, _GIVEN, segmenter, lambda seed: None)]
    if fresh is not None:

      def weights(seed: int) -> Iterable[np.ndarray]:
        return [variable.numpy() for variable in untrained(context.subject, seed=seed).variables]

      segmenter = self._segmenter(context.subject, fresh, parts)
      ways.append(self._repeat(context, parts, _SCRATCH, segmenter, weights))
    return make_section(
      context,
      ways,
      classes=parts.classes,
      test=parts.test,
      shown=self._shown(parts.test),
      facts={
        "layers": list(segmenter.layers),
        "frozen": self.recipe.frozen,
        "crop_size": segmenter.side,
        "trained_on": len(parts.train),
        "validated_on": len(parts.validation) if parts.validation else 0,
        "tested_on": len(parts.test),
      },
      left_out=ledger.entries,
    )

  def _open(self, context: Context, ledger: Skipped) -> _Parts:
    """Reads all masks."""
    assert ledger.file is not None
    ledger.file.unlink(missing_ok=True)
    both = [
      open_segmented(part, self.rule, skipped=ledger) for part in (context.train, context.test)
    ]
    if ledger.entries:
      context.say(f"segmentation: {ledger}, listed in {ledger.file}")
    classes = choose_classes(
      {**both[1].numbers, **both[0].numbers}, names=self.classes, ignored=self.ignored
    )
    train, test = (part.labelled(classes) for part in both)
    if not self.validation:
      return _Parts(train, None, test, classes)
    if len(train) < 2:
      raise ValueError("Expected two photographs with masks or more. One is for validation.")
    kept, held = split(np.zeros(len(train)), self.validation, seed=context.seed)
    return _Parts(train.subset(kept), train.subset(held), test, classes)

  def _segmenter(self, subject: Subject, encoder: object, parts: _Parts) -> Segmenter:
    return Segmenter(subject, encoder, classes=len(parts.classes), recipe=self.recipe)

  def _repeat(
    self,
    context: Context,
    parts: _Parts,
    name: str,
    segmenter: Segmenter,
    weights: Callable[[int], Iterable[np.ndarray] | None],
  ) -> Way:
    """Trains and measures once for each seed; what is shown is of the first one."""
    batch = self.recipe.batch_size
    steps = pipeline.steps_per_epoch(parts.train.source, min(len(parts.train), batch))
    runs: list[Run] = []
    predicted: list[np.ndarray] = []
    for index in range(self.seeds):
      seed = seed_of(context.seed, index)

      def say(epoch: Epoch, index: int = index) -> None:
        context.say(f"segmentation: {name}, seed {index + 1} of {self.seeds}, {_told(epoch)}")

      epochs, best = segmenter.fit(
        parts.train,
        steps=self.epochs * steps,
        steps_per_epoch=steps,
        seed=seed,
        validation=parts.validation,
        patience=self.patience,
        weights=weights(seed),
        say=say,
      )
      confusion, _ = segmenter.measure(parts.test)
      runs.append(Run(seed, epochs, best, confusion))
      if not index:
        predicted = [segmenter.predict(parts.test.pair(i)[0]) for i in self._shown(parts.test)]
    return Way(name, runs, predicted)

  def _shown(self, test: Segmented) -> Sequence[int]:
    """Photographs for the picture, at equal distances."""
    count = min(self.pictures, len(test))
    return np.linspace(0, len(test) - 1, count).round().astype(int).tolist()


def build(
  *,
  masks: str = "{folder}annot/{stem}.png",
  classes: str = "",
  ignore: str = "255",
  layers: str = "",
  frozen: bool = False,
  from_scratch: bool = False,
  seeds: int = 3,
  epochs: int = 40,
  batch_size: int = 16,
  learning_rate: float = 1e-3,
  layer_decay: float = 1.0,
  patience: int = 10,
  validation: float = 0.1,
  crop_size: int | None = None,
  scales: str = "0.5,2.0",
  pictures: int = 6,
) -> Segmentation:
  """Trains the network and a `ScoreHead` on it for the classes of pixels, and measures it.

  Adam, and the pixels' mean cross-entropy; the learning rate loses a tenth each epoch. It learns
  from random windows of the photographs: resized, cut, mirrored, the mask by the same window. It is
  measured on whole photographs of their own size; what the stride does not divide is filled up by
  ignored pixels.

  Args:
    masks: where the masks of training and test photographs lie. They are PNG files of class
      numbers, 8-bit gray or with a palette, of the photographs' sizes. As `MaskRule` takes it:
      - `{folder}annot/{stem}.png`, for `train/a.jpg` and `trainannot/a.png` (CamVid);
      - `{folder}/../SegmentationClass/{stem}.png`, or that folder alone (Pascal VOC);
      - `{a}/leftImg8bit/{b}_leftImg8bit.png -> {a}/gtFine/{b}_gtFine_labelTrainIds.png`
        (Cityscapes).
      Photographs without a usable mask are left out, counted, and named in
      `segmentation_left_out.tsv`.
    classes: names of the numbers from 0 on, with commas between, or a text file with a name a line;
      empty: every number that is found is a class.
    ignore: numbers that are no class, with commas between.
    layers: names of the maps that are scored, with commas between; empty: all maps. The last one of
      this package's backbones alone, of stride 8, is as fine as FCN-8s.
    frozen: whether the encoder stays as it is, and only the head learns.
    from_scratch: whether the same network is trained from random weights as well, a draw a seed;
      with `frozen` only the head on them.
    seeds: how often it is trained; results are means and standard deviations.
    epochs: at most.
    batch_size: B.
    learning_rate: of the head, in the first epoch.
    layer_decay: each layer's learning rate is that of the next one times this, the head being the
      last; 1: one rate for all.
    patience: ends after so many epochs that are not better than the best; 0 does not.
    validation: the part of the training photographs whose mean intersection over union chooses the
      epoch, in [0, 1); 0 keeps the last one.
    crop_size: side of the random windows in pixels; None for that of the encoder's photographs.
    scales: by which photographs are resized before, lowest and highest factor.
    pictures: test photographs that are shown.

  Raises:
    ValueError: an option is out of range.

  Reference: Long, Shelhamer and Darrell 2015, arXiv:1411.4038.

  Differs from the paper: as `ScoreHead` and `Confusion` do; random windows in batches, Adam in the
    place of SGD, and the mean loss of a batch's pixels in the place of a photograph's sum.
  """
  least = {"seeds": (seeds, 1), "epochs": (epochs, 1), "patience": (patience, 0)}
  least["pictures"] = (pictures, 0)
  if crop_size is not None:
    least["crop_size"] = (crop_size, 1)
  for name, (value, lowest) in least.items():
    if value < lowest:
      raise ValueError(f"Expected `{name}` of {lowest} or more. Received: {value}")
  if not 0 <= validation < 1:
    raise ValueError(f"Expected `validation` from 0 to below 1. Received: {validation}")
  check_options(
    batch_size=batch_size, learning_rate=learning_rate, layer_decay=layer_decay, crop_area=1.0
  )
  recipe = Recipe(
    layers=names_of(layers),
    batch_size=batch_size,
    learning_rate=learning_rate,
    layer_decay=layer_decay,
    frozen=frozen,
    side=crop_size,
    scales=_scales(scales),
  )
  return Segmentation(
    rule=MaskRule(masks),
    classes=parse_names(classes),
    ignored=parse_numbers(ignore),
    recipe=recipe,
    epochs=epochs,
    patience=patience,
    validation=validation,
    from_scratch=from_scratch,
    seeds=seeds,
    pictures=pictures,
  )


def _scales(text: str) -> tuple[float, float]:
  try:
    low, high = map(float, names_of(text))
    if 0 < low <= high < float("inf"):
      return low, high
  except ValueError:
    pass
  raise ValueError(f"Expected `scales` such as '0.5,2.0', the lower one first. Received: '{text}'")


def _told(epoch: Epoch) -> str:
  text = f"epoch {epoch.number}  loss {epoch.loss:.3f}"
  return text if epoch.accuracy is None else f"{text}  mean IoU {epoch.accuracy:.1%}"
