"""Tests of sbae_tf.data.pipeline that take long: fifty epochs in bounded memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

_SCRIPT = """
import itertools, os, sys
from sbae_tf import runtime
runtime.start_tensorflow()
from sbae_tf.data import files, pipeline
from sbae_tf.data.skipped import Skipped

def resident():
  with open("/proc/self/statm") as file:
    return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

source = files.build(sys.argv[1])
skipped = Skipped(len(source), limit=0.1)
train = iter(pipeline.train_dataset(source, batch_size=32, image_size=32, seed=0, skipped=skipped))
heldout = pipeline.evaluation_dataset(source, batch_size=32, image_size=32, skipped=skipped)
for epoch in range(50):
  for _ in range(len(source) // 32):
    next(train)
  for _ in heldout:
    pass
  if epoch in (9, 49):
    print(resident())
"""


@pytest.mark.slow
def test_fifty_epochs_take_no_more_memory_than_ten(tmp_path):
  rng = np.random.default_rng(0)
  for i in range(640):
    pixels = rng.integers(0, 256, (64 + i % 50, 80, 3), np.uint8)
    buffer = io.BytesIO()
    # One in ten is read by Pillow, one in twenty not at all.
    Image.fromarray(pixels).save(buffer, "WEBP" if i % 10 == 3 else "JPEG")
    content = b"no image" if i % 20 == 7 else buffer.getvalue()
    (tmp_path / f"{i:03}.jpg").write_bytes(content)
  result = subprocess.run(
    [sys.executable, "-c", _SCRIPT, str(tmp_path)],
    capture_output=True,
    text=True,
    check=True,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
  )
  after_10, after_50 = map(float, result.stdout.split()[-2:])
  assert after_50 < after_10 + 25, f"{after_10:.0f} MiB after 10 epochs, {after_50:.0f} after 50"
