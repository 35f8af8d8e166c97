"""What has to be read beside photographs, as a configuration says."""

from __future__ import annotations

import dataclasses
import json

import tensorflow as tf

from sbae_tf import config_json, plugins
from sbae_tf.config import PretrainConfig
from sbae_tf.data.beside import Beside

_CONFIG = "assets/config.json"


def beside(config: PretrainConfig, *, pattern: str | None = None) -> Beside | None:
  """What a configuration wants.

  Args:
    config: a valid configuration.
    pattern: where it lies, in the place of `config.data.beside`; None for that.

  Returns:
    Where the bands of its color space lie, and what becomes of them; None where it has none.

  Raises:
    ValueError: an option of the color space is out of range, the pattern is none, or there is one
      and the color space has no bands.
  """
  data = config.data
  if pattern is not None:
    data = dataclasses.replace(data, beside=pattern)
  color = plugins.find("color", config.color.name).build(**config.color.options)
  if color.levels is not None:
    return Beside(data.beside, color.bands, color.levels)
  if data.beside:
    takers = [n for n in plugins.names("color") if "BESIDE" in plugins.find("color", n).constants]
    raise ValueError(
      f"Expected nothing beside photographs for color space '{color.name}', which takes them "
      f"alone. Received: {data.beside}. Others take it: {', '.join(takers)}."
    )
  return None


def beside_of_saved_model(path: str, *, pattern: str | None = None) -> Beside | None:
  """What an encoder's SavedModel wants beside photographs; None for those of others.

  Args:
    path: its folder.
    pattern: as for `beside`.

  Raises:
    ValueError: as `beside`; or there is a pattern, and the SavedModel has no configuration.
  """
  try:
    with tf.io.gfile.GFile(tf.io.gfile.join(path, _CONFIG), "rb") as file:
      config = config_json.from_json(json.loads(file.read()))
  except (tf.errors.OpError, ValueError, TypeError):
    if pattern is None:
      return None
    raise ValueError(
      f"Expected an encoder of this package in {path}, to know what becomes of {pattern}."
    ) from None
  return beside(config, pattern=pattern)
