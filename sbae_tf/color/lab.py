"""CIE L*a*b* under D65: lightness L, green to red a, blue to yellow b.

Conversion by `tfio.experimental.color`, which computes CIE 1976 from sRGB (IEC 61966-2-1) with
the 2-degree observer, as scikit-image does. It is the definition; on a CPU `_lab_on_cpu` stands in
for its way from RGB. On a GPU, compiled by XLA, its matrix product is one in TensorFloat-32: a and
b are up to 0.06 off there (tools/results/gpu.md).
"""

from __future__ import annotations

import functools

from sbae_tf import runtime
from sbae_tf.color import _lab_on_cpu
from sbae_tf.color.color_space import ColorSpace

# Over all 2^24 sRGB colors; neutral gray has a = b = 0.
CHANNELS = {"L": (0.0, 100.0), "a": (-86.19, 98.24), "b": (-107.87, 94.49)}


def build() -> ColorSpace:
  """L in [0, 100], a in [-86.19, 98.24], b in [-107.87, 94.49].

  Reference: CIE 15:2004; Zhang, Isola, Efros 2017 (arXiv:1611.09842), Sec. 4.1.
  """
  # tfio neither checks the range nor works below float32 (float16 is wrong by 0.55).
  color = runtime.import_quietly("tensorflow_io").experimental.color
  observed = {"illuminant": "D65", "observer": "2"}
  return ColorSpace.of(
    "lab",
    CHANNELS,
    functools.partial(color.rgb_to_lab, **observed),
    functools.partial(color.lab_to_rgb, **observed),
    encode_on_cpu=_lab_on_cpu.rgb_to_lab,
  )
