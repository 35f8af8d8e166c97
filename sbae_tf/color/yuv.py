"""YUV of analog television (BT.470): luma Y, color differences U and V."""

from __future__ import annotations

from sbae_tf import runtime
from sbae_tf.color.color_space import ColorSpace

CHANNELS = {"Y": (0.0, 1.0), "U": (-0.43602, 0.43602), "V": (-0.61498, 0.61498)}


def build() -> ColorSpace:
  """Y in [0, 1], U in [-0.436, 0.436], V in [-0.615, 0.615], from gamma-coded sRGB.

  Reference: ITU-R BT.470-6; matrices of `tfio.experimental.color`.
  """
  color = runtime.import_quietly("tensorflow_io").experimental.color
  return ColorSpace.of("yuv", CHANNELS, color.rgb_to_yuv, color.yuv_to_rgb)
