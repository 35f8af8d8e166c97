"""Names of colorized files: those of the photographs, below the root, and no two alike."""

from __future__ import annotations

import pytest

from sbae_tf.colorization.file_names import file_names
from sbae_tf.data.source import Source


def _source(names: list[str], root: str = "") -> Source:
  return Source(
    names=names, labels=None, class_names=(), read=lambda index: index, description="", root=root
  )


@pytest.mark.parametrize(
  ("names", "root", "expected"),
  [
    (["/a/b/1.jpg", "/a/b/c/2.JPEG"], "/a/b", ["1.png", "c/2.png"]),
    (["/a/b/1.jpg"], "", ["1.png"]),
    (["/a/b/1.jpg", "/a/bc/1.jpg"], "", ["b/1.png", "bc/1.png"]),
    (["gs://x/b/1.jpg", "/a/1.jpg"], "", ["gs:/x/b/1.png", "a/1.png"]),
    (["1.jpg", "c/2"], "", ["1.png", "c/2.png"]),
    (["/r/a.tfrecord-00000-of-00002#7"], "/r", ["a.tfrecord-00000-of-00002#7.png"]),
    (["/a/1.jpg", "/a/1.webp", "/a/2.jpg"], "/a", ["1.jpg.png", "1.webp.png", "2.png"]),
    (["/a/1.jpg", "/a/1.jpg"], "/a", ["1.jpg#0.png", "1.jpg#1.png"]),
    (
      ["/a/1.jpg", "/a/1.gif", "/a/1.jpg.png"],
      "/a",
      ["1.jpg#0.png", "1.gif.png", "1.jpg.png#2.png"],
    ),
    (["/z.zip/../../etc/1.jpg", "/z.zip//x/./2.jpg"], "/z.zip", ["etc/1.png", "x/2.png"]),
    (["/a/v1.5"], "/a", ["v1.5.png"]),
  ],
)
def test_names(names, root, expected):
  assert file_names(_source(names, root), ".png") == expected
