"""Fine-tunes an exported encoder to classify photographs, in TensorFlow without Keras.

  python finetune_tensorflow.py --encoder=runs/mine/encoder --data=FOLDER --out=classifier

FOLDER has a sub-folder of photographs (JPEG, PNG, BMP, GIF) for each class; a fifth of them is held
out.
"""

from __future__ import annotations

import argparse
import pathlib

import tensorflow as tf

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


class Classifier(tf.Module):
  """An encoder, and a linear layer on its embeddings."""

  def __init__(self, encoder: str, classes: int) -> None:
    super().__init__()
    self.encoder = tf.saved_model.load(encoder)
    shape = self.encoder.signatures["serving_default"].structured_outputs["embedding"].shape
    self.weights = tf.Variable(tf.zeros((shape[-1], classes)))
    self.biases = tf.Variable(tf.zeros(classes))

  def parameters(self) -> list[tf.Variable]:
    """What training changes."""
    return [*self.encoder.trainable_variables, self.weights, self.biases]

  def __call__(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Photographs (B, H, W, 3) uint8 to scores (B, classes)."""
    return self.encoder(images, training=training)["embedding"] @ self.weights + self.biases

  @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
  def serve(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """The signature of the exported classifier."""
    return {"probabilities": tf.nn.softmax(self(images))}


def batches(files: list[tuple[str, int]], *, size: int, batch_size: int) -> tf.data.Dataset:
  """Reads, cuts and resizes photographs: (B, size, size, 3) uint8 and (B,) classes."""

  def read(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    side = tf.reduce_min(tf.shape(image)[:2])
    image = tf.image.resize_with_crop_or_pad(image, side, side)
    image = tf.image.resize(image, (size, size), antialias=True)
    return tf.saturate_cast(tf.round(image), tf.uint8), label

  paths, labels = zip(*files)
  dataset = tf.data.Dataset.from_tensor_slices((list(paths), list(labels)))
  dataset = dataset.shuffle(len(files)).map(read, num_parallel_calls=tf.data.AUTOTUNE)
  return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


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
  parser.add_argument("--epochs", type=int, default=10)
  parser.add_argument("--learning_rate", type=float, default=0.05)
  arguments = parser.parse_args()
  names = sorted(path.name for path in pathlib.Path(arguments.data).iterdir() if path.is_dir())
  files = [
    (str(path), label)
    for label, name in enumerate(names)
    for path in sorted(pathlib.Path(arguments.data, name).iterdir())
    if path.suffix.lower() in SUFFIXES
  ]
  size, batch_size = arguments.image_size, arguments.batch_size
  heldout = batches(files[::5], size=size, batch_size=batch_size)
  train = batches([file for i, file in enumerate(files) if i % 5], size=size, batch_size=batch_size)
  classifier = Classifier(arguments.encoder, len(names))
  parameters = classifier.parameters()
  momenta = [tf.Variable(tf.zeros_like(parameter)) for parameter in parameters]

  @tf.function
  def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
      scores = classifier(images, training=True)
      losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
      terms = [term() for term in classifier.encoder.regularization_losses]
      loss = tf.add_n([tf.reduce_mean(losses), *terms])
    for parameter, momentum, gradient in zip(parameters, momenta, tape.gradient(loss, parameters)):
      momentum.assign(0.9 * momentum + gradient)
      parameter.assign_sub(arguments.learning_rate * momentum)
    return loss

  @tf.function
  def right(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.argmax(classifier(images), axis=1, output_type=tf.int32) == labels

  for epoch in range(arguments.epochs):
    losses = [float(step(images, labels)) for images, labels in train]
    loss = sum(losses) / len(losses)
    found = tf.concat([right(images, labels) for images, labels in heldout], axis=0)
    accuracy = float(tf.reduce_mean(tf.cast(found, tf.float32)))
    print(f"Epoch {epoch + 1}: loss {loss:.4f}, held-out {accuracy:.1%}", flush=True)
  if arguments.out:
    tf.saved_model.save(classifier, arguments.out, signatures=classifier.serve)


if __name__ == "__main__":
  main()
