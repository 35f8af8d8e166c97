"""Fine-tunes an exported encoder to classify photographs, in Keras.

  python finetune_keras.py --encoder=runs/mine/encoder --data=FOLDER --out=classifier

FOLDER has a sub-folder of photographs for each class; a fifth of them is held out. First a linear
layer learns on the frozen encoder, then all is fine-tuned. Needs TensorFlow alone, and from
TensorFlow 2.16 on Keras 2: pip install tf-keras.
"""

from __future__ import annotations

import argparse
import importlib.util
import os

if importlib.util.find_spec("tf_keras"):
  os.environ["TF_USE_LEGACY_KERAS"] = "1"  # Before TensorFlow is imported.

import tensorflow as tf


class Encoder(tf.keras.layers.Layer):
  """An exported encoder as a layer: uint8 photographs (B, H, W, 3) to embeddings (B, C)."""

  def __init__(self, path: str) -> None:
    super().__init__()
    self.loaded = tf.saved_model.load(path)
    self.loaded_variables = self.loaded.variables  # Keras finds variables in a layer's attributes.
    for loss in self.loaded.regularization_losses:
      self.add_loss(loss)

  def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
    # A frozen encoder keeps its batch statistics, too.
    return self.loaded(images, training=bool(training) and self.trainable)["embedding"]


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
  parser.add_argument("--batch_size", type=int, default=64)
  parser.add_argument("--epochs", type=int, default=5, help="of each of the two parts")
  parser.add_argument("--learning_rate", type=float, default=1e-2, help="a tenth for the encoder")
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
  encoder = Encoder(arguments.encoder)
  images = tf.keras.Input((*size, 3), dtype=tf.uint8)
  features = tf.keras.layers.BatchNormalization(momentum=0.9)(encoder(images))
  classifier = tf.keras.Model(images, tf.keras.layers.Dense(classes)(features))
  for trainable, rate in ((False, 1.0), (True, 0.1)):
    encoder.trainable = trainable
    classifier.compile(  # Again: Keras takes notice of `trainable` here.
      tf.keras.optimizers.Adam(rate * arguments.learning_rate),
      tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
      metrics=["accuracy"],
    )
    print("Fine-tuning all" if trainable else "A linear layer on the frozen encoder", flush=True)
    classifier.fit(train, validation_data=heldout, epochs=arguments.epochs, verbose=2)
  if arguments.out:
    tf.saved_model.save(classifier, arguments.out)


if __name__ == "__main__":
  main()
