"""Fresh weights of the same network."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import export
from sbae_tf.encoder import Encoder
from sbae_tf.evaluation import subject as subject_lib
from sbae_tf.evaluation.untrained import untrained


def _weights(encoder: Encoder) -> list[np.ndarray]:
  return [variable.numpy() for variable in encoder.trainable_variables]


@pytest.mark.parametrize("saved", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_network_of_a_subject(small_config, saved, tmp_path):
  tf.keras.utils.set_random_seed(5)
  encoder = Encoder(small_config)
  subject = subject_lib.of_encoder(encoder)
  if saved:
    export.export_encoder(encoder, tmp_path / "encoder")
    subject = subject_lib.of_saved_model(tmp_path / "encoder")
  fresh, again, same = (untrained(subject, seed=seed) for seed in (6, 6, 5))
  assert fresh.config == small_config
  kernels = [w for w in _weights(fresh) if w.ndim == 4]
  given = [w for w in _weights(encoder) if w.ndim == 4]
  assert kernels and all(np.any(a != b) for a, b in zip(kernels, given))
  for mine, theirs in ((again, fresh), (same, encoder)):
    for a, b in zip(_weights(mine), _weights(theirs)):
      np.testing.assert_array_equal(a, b)


def test_a_network_that_is_not_known(any_size_subject):
  with pytest.raises(ValueError, match="any does not tell how its network is built: .*from_scratc"):
    untrained(any_size_subject, seed=0)
