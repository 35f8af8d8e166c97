"""Fine-tunes an exported encoder to classify photographs, by `tensorflow_hub.KerasLayer`.

  pip install tensorflow-hub==0.15.*        # From TensorFlow 2.16 on: 0.16, and tf-keras
  python finetune_hub.py --encoder=runs/mine/encoder --data=FOLDER --out=classifier

FOLDER has a sub-folder of photographs for each class; a fifth of them is held out. Trains on all
GPUs of the machine, if there are any.
"""

from __future__ import annotations

import argparse
import importlib.util
import os

if importlib.util.find_spec("tf_keras"):
  os.environ["TF_USE_LEGACY_KERAS"] = "1"  # Before TensorFlow is imported.

import tensorflow as tf
import tensorflow_hub as hub


def to_uint8(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """What the encoder takes, from the floats that Keras reads."""
  return tf.cast(tf.round(images), tf.uint8), labels


def main() -> None:
  """Runs the command line."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--encoder", required=True, help="folder of the SavedModel")
  parser.add_argument("--data", required=True, help="folder with a sub-folder for each class")
  parser.add_argument("--out", help="where to write the classifier as a SavedModel")
  parser.add_argument("--image_size", type=int, default=96, help="a multiple of 8")
  parser.add_argument("--batch_size", type=int, default=64, help="over all GPUs")
  parser.add_argument("--epochs", type=int, default=10)
  parser.add_argument("--learning_rate", type=float, default=1e-3)
  arguments = parser.parse_args()
  size = (arguments.image_size, arguments.image_size)
  train, heldout = tf.keras.utils.image_dataset_from_directory(
    arguments.data,
    image_size=size,
    crop_to_aspect_ratio=True,
    batch_size=arguments.batch_size,
    validation_split=0.2,
    subset="both",
    seed=0,
  )
  classes = len(train.class_names)
  train, heldout = (part.map(to_uint8).prefetch(tf.data.AUTOTUNE) for part in (train, heldout))
  with tf.distribute.MirroredStrategy().scope():
    classifier = tf.keras.Sequential(
      [
        tf.keras.Input((*size, 3), dtype=tf.uint8),
        hub.KerasLayer(arguments.encoder, trainable=True, output_key="embedding"),
        tf.keras.layers.BatchNormalization(momentum=0.9),
        tf.keras.layers.Dense(classes),
      ]
    )
    classifier.compile(
      tf.keras.optimizers.Adam(arguments.learning_rate),
      tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
      metrics=["accuracy"],
    )
  classifier.fit(train, validation_data=heldout, epochs=arguments.epochs, verbose=2)
  if arguments.out:
    tf.saved_model.save(classifier, arguments.out)


if __name__ == "__main__":
  main()
