"""An exported encoder, and what it makes of photographs in this process's TensorFlow."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image


class Served(NamedTuple):
  """A SavedModel, what to feed it, and what comes out.

  Attributes:
    path: the SavedModel's folder.
    images: (4, 32, 32, 3) uint8.
    files: four photographs as JPEG and PNG, of other sizes.
    expected: the signature's name to its outputs by name.
  """

  path: pathlib.Path
  images: np.ndarray
  files: list[bytes]
  expected: Mapping[str, Mapping[str, np.ndarray]]

  def hold(self, signature: str, found: Mapping[str, np.ndarray]) -> None:
    """Holds all that a consumer found to what this TensorFlow computes."""
    assert set(found) == set(self.expected[signature])
    for name, value in self.expected[signature].items():
      assert found[name].dtype == np.float32 and found[name].shape == value.shape, name
      # Graph optimizers fuse in other ways from one consumer to the next.
      assert np.abs(found[name] - value).max() <= 1e-5 * np.abs(value).max(), name


@pytest.fixture(scope="session")
def served(encoder_folder) -> Served:
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (4, 4, 4, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
  files = []
  for i, image in enumerate(images):
    buffer = io.BytesIO()
    Image.fromarray(image).resize((50 + i, 40)).save(buffer, "PNG" if i == 3 else "JPEG")
    files.append(buffer.getvalue())
  loaded = tf.saved_model.load(str(encoder_folder))
  expected = {}
  for name, signature in loaded.signatures.items():
    given = {"encoded": tf.constant(files)} if name == "from_bytes" else {"images": images}
    expected[name] = {k: v.numpy() for k, v in signature(**given).items()}
  return Served(encoder_folder, images, files, expected)
