"""Central squares are read once as long as they are few."""

from __future__ import annotations

from sbae_tf.evaluation import batches as batches_lib
from sbae_tf.evaluation.batches import Batches


def test_few_central_squares_stay(squares, monkeypatch):
  monkeypatch.setattr(batches_lib, "_MEASURED", 16)
  monkeypatch.setattr(batches_lib, "_KEPT", 65 * 3 * 16**2)  # Room for 30, not for 36 more.
  batches = Batches(image_size=16, batch_size=8, crop_area=0.5)
  train, test = squares
  kept = batches.central(test)
  assert [images.shape[0] for images in kept] == [16, 14]
  assert batches.central(test) is kept
  assert batches.central(train) is not batches.central(train)
