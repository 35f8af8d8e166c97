"""What the fast path left out: decoded by Pillow, or replaced, or dropped.

Runs in Python, in the process that trains, for the few images that need it, and for all of a source
that has something beside its images.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sbae_tf.data import augmentation, pillow_decoder
from sbae_tf.data.decode import CutFunction
from sbae_tf.data.skipped import Skipped
from sbae_tf.data.source import Source, first_line
from sbae_tf.data.unreadable import UnreadableImage


class Mender:
  """Mends what the fast path left out of a source."""

  def __init__(
    self,
    source: Source,
    skipped: Skipped,
    *,
    image_size: int,
    max_pixels: int,
    next_image: Callable[[int], int] | None,
  ) -> None:
    """Sets up.

    Args:
      source: the images.
      skipped: where those are entered that no decoder reads.
      image_size: S, the side of the inputs in pixels.
      max_pixels: images with more are skipped.
      next_image: the image at a position of the order; its successors there replace one that
        cannot be read. None drops it.
    """
    self._source, self._skipped = source, skipped
    self._image_size, self._max_pixels = image_size, max_pixels
    self._next_image = next_image
    self._broken: set[int] = set()  # Not to be decoded again every epoch.
    self._lock = threading.Lock()

  def mend(
    self,
    images: tf.Tensor,
    ok: tf.Tensor,
    position: tf.Tensor,
    index: tf.Tensor,
    cut: CutFunction,
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mends a chunk of images, in a graph.

    Args:
      images: (C, S, S, P) uint8, P the planes of the source.
      ok: (C,) bool, which of them are there.
      position: (C,) int64, theirs in the order.
      index: (C,) int64, theirs in the source.
      cut: chooses what of each image becomes the input, as for `decode`.

    Returns:
      The images, which of them are there now (all, where images are replaced), and their indices.
    """
    planes = self._source.planes

    def one(slot: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
      pixels, chosen = tf.numpy_function(
        self._fetch, [position[slot], index[slot]], (tf.uint8, tf.int64)
      )
      pixels = tf.ensure_shape(pixels, (None, None, planes))
      size, one = tf.shape(pixels)[tf.newaxis, :2], tf.ones((1,), tf.int32)
      part = cut(slot[tf.newaxis], size, one, one)
      top, left, height, width = tf.unstack(part.window[0])
      pixels = pixels[top : top + height, left : left + width]
      image = self._resample(pixels, part.factor[0])
      return augmentation.turn(image[tf.newaxis], part.turned)[0], tf.ensure_shape(chosen, ())

    def mended() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
      slots = tf.where(~ok)
      square = (self._image_size, self._image_size, planes)
      fixed, chosen = tf.map_fn(
        one,
        slots[:, 0],
        fn_output_signature=(tf.TensorSpec(square, tf.uint8), tf.TensorSpec((), tf.int64)),
      )
      return (
        tf.tensor_scatter_nd_update(images, slots, fixed),
        tf.tensor_scatter_nd_update(ok, slots, chosen >= 0),
        tf.tensor_scatter_nd_update(index, slots, chosen),
      )

    return tf.cond(tf.reduce_all(ok), lambda: (images, ok, index), mended)

  def _resample(self, pixels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """(h, w, P) uint8 of a window to (S, S, P)."""
    size = self._image_size
    if self._source.beside is None:
      return augmentation.resample(pixels, image_size=size, factor=factor)
    photograph = augmentation.resample(pixels[..., :3], image_size=size, factor=factor)
    levels = augmentation.resample_levels(pixels[..., 3:], image_size=size, factor=factor)
    return tf.concat([photograph, levels], axis=-1)

  def _fetch(self, position: np.int64, index: np.int64) -> tuple[np.ndarray, np.int64]:
    """The pixels of an image or of its replacement, and which one it is; -1 for none."""
    pixels = self._decode(int(index))
    if self._next_image is not None:
      # Ends: where all are broken, `skipped` says so.
      while pixels is None:
        position += 1
        index = np.int64(self._next_image(int(position)))
        pixels = self._decode(int(index))
    if pixels is None:
      return np.zeros((1, 1, self._source.planes), np.uint8), np.int64(-1)
    return pixels, index

  def _decode(self, index: int) -> np.ndarray | None:
    """(H, W, P) uint8, or None where the image cannot be read."""
    with self._lock:
      if index in self._broken:
        self._skipped.check()
        return None
    try:
      return pixels_of(self._source, index, max_pixels=self._max_pixels)
    except UnreadableImage as error:
      with self._lock:
        self._broken.add(index)
      self._skipped.add(self._source.names[index], error.reason, error.detail)
      return None


def pixels_of(source: Source, index: int, *, max_pixels: int) -> np.ndarray:
  """Reads and decodes one image of a source, whole and upright; from any thread.

  Args:
    source: N images.
    index: which, in [0, N).
    max_pixels: an image with more is an error.

  Returns:
    (H, W, 3) uint8, as `pillow_decoder.decode` gives it; with bands beside it (H, W, S).

  Raises:
    UnreadableImage: it cannot be read or decoded.
  """
  try:
    with tf.device("cpu:0"):
      encoded = source.read(tf.constant(index, tf.int64)).numpy()
  except tf.errors.OpError as error:
    raise UnreadableImage("missing", first_line(error)) from error
  if source.beside is None:
    return pillow_decoder.decode(encoded, max_pixels=max_pixels)
  return source.beside.decode(source.names[index], encoded, max_pixels=max_pixels)
