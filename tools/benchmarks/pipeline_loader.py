"""A contestant: this package's own pipeline, from files or from TFRecord."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from sbae_tf import runtime
from tools.benchmarks import crops, protocol

if TYPE_CHECKING:  # It imports TensorFlow.
  from sbae_tf.data.source import Source


def open_files(folder: str) -> Source:
  """Opens a folder of image files."""
  from sbae_tf.data import files

  return files.build(folder)


def open_records(spec: str) -> Source:
  """Opens TFRecord shards, all of them, as `--data` describes them."""
  from sbae_tf.data import sources

  return sources.open_source(spec)


def main() -> None:
  """Runs the contestant."""
  replies = protocol.claim_stdout()
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("data", help="a folder of files, or with --records what --data takes")
  parser.add_argument("--records", action="store_true")
  arguments = parser.parse_args()
  runtime.silence_tensorflow_logs()
  runtime.start_tensorflow()
  # Only now: these import TensorFlow.
  from sbae_tf.data import pipeline

  source = open_records(arguments.data) if arguments.records else open_files(arguments.data)
  dataset = pipeline.train_dataset(
    source, batch_size=crops.BATCH_SIZE, image_size=crops.IMAGE_SIZE, seed=0
  )

  def batches() -> Iterator[int]:
    for batch in dataset:
      yield int(batch["image"].shape[0])

  versions = {"tensorflow": metadata.version("tensorflow")}
  protocol.serve(batches(), replies, about={"versions": versions, "detail": source.description})


if __name__ == "__main__":
  main()
