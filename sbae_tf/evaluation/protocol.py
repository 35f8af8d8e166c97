"""What a protocol is: it measures a subject on labelled photographs, and tells what it found."""

from __future__ import annotations

import abc
import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sbae_tf.evaluation.labelled import Labelled
from sbae_tf.evaluation.subject import Subject

if TYPE_CHECKING:
  from sbae_tf.evaluation.feature_cache import FeatureCache

Json = Any  # str, int, float, bool, None, and lists and mappings of these.


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of a report.

  Attributes:
    title: what it shows.
    head: the columns' names, with units.
    rows: the cells, as they are to be read.
  """

  title: str
  head: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Figure:
  """A picture of a report.

  Attributes:
    title: what it shows.
    file: its name in the report's folder, a PNG.
    caption: how to read it.
  """

  title: str
  file: str
  caption: str


@dataclasses.dataclass(frozen=True)
class Section:
  """What a protocol found.

  Attributes:
    summary: the result in a line.
    values: the numbers, for `report.json`.
    tables: for the page.
    figures: for the page; the protocol has written their files.
  """

  summary: str
  values: dict[str, Json]
  tables: tuple[Table, ...] = ()
  figures: tuple[Figure, ...] = ()


@dataclasses.dataclass(frozen=True)
class Context:
  """What a protocol works on.

  Attributes:
    subject: the encoder that is measured.
    train: photographs that classifiers learn from; without classes only where no protocol of the
      evaluation needs them.
    test: those that they are measured on, and nothing else is chosen by.
    features: features of both, computed once and kept.
    folder: the report's; a protocol writes its pictures and models here.
    seed: of splits, draws and weights.
    say: tells the user a line about the progress.
  """

  subject: Subject
  train: Labelled
  test: Labelled
  features: FeatureCache
  folder: pathlib.Path
  seed: int
  say: Callable[[str], None]


class Protocol(abc.ABC):
  """A way to measure what an encoder has learnt.

  A protocol whose photographs need no classes says so by `NEEDS_CLASSES = False` in its module.
  """

  @abc.abstractmethod
  def run(self, context: Context) -> Section:
    """Measures.

    Raises:
      ValueError: the subject, the photographs or an option do not do, and says what would.
    """
