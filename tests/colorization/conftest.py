"""One colorizer for all tests: it takes seconds to make one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sbae_tf.colorization.photograph_colorizer import PhotographColorizer
from sbae_tf.colorizer import Colorizer
from tests import sure_colors


@pytest.fixture(scope="session", name="_colorizer")
def _session_colorizer(small_config) -> PhotographColorizer:
  return PhotographColorizer(Colorizer(sure_colors.model(small_config, None)))


@pytest.fixture
def colorizer(_colorizer) -> Iterator[PhotographColorizer]:
  """Sure of a dull color, unless a test makes it be sure of another; of copies of 32 pixels."""
  sure_colors.be_sure(_colorizer.colorizer.model, sure_colors.DULL)
  yield _colorizer
  _colorizer.image_size = 32


@pytest.fixture
def unsure(colorizer) -> PhotographColorizer:
  """The same, of another color everywhere."""
  sure_colors.be_sure(colorizer.colorizer.model, None)
  return colorizer
