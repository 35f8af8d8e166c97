"""Uses exported SavedModels as somebody would who has only TensorFlow: a script for `export_test`.

  python export_consumer.py features MODEL images.npy files.npz features.npz
  python export_consumer.py colorize MODEL images.npy colored.npz
  python export_consumer.py finetune MODEL images.npy losses.npz
  python export_consumer.py hub MODEL images.npy losses.npz

Refuses to import `sbae_tf`, and runs on TensorFlow 2.15 and later ones.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys

import numpy as np

if importlib.util.find_spec("tf_keras"):
  os.environ["TF_USE_LEGACY_KERAS"] = "1"  # After TensorFlow 2.15 Keras 2 is `tf-keras`.


class _NotHere(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path=None, target=None):
    if name.partition(".")[0] == "sbae_tf":
      raise ImportError(f"{name} is not to be used here")


sys.meta_path.insert(0, _NotHere())

import tensorflow as tf  # noqa: E402

_STEPS = 30
_RATE = 0.2


def _classes(images: np.ndarray) -> np.ndarray:
  """(B,) int32: a task that can be learned: whether a photograph is brighter than most."""
  brightness = images.mean((1, 2, 3))
  return (brightness > np.median(brightness)).astype(np.int32)


def features(model, images, files, out):
  loaded = tf.saved_model.load(model)
  images = tf.constant(np.load(images))
  results = {}
  for name, signature in loaded.signatures.items():
    if name == "from_bytes":
      given = {"encoded": tf.constant([bytes(f) for f in np.load(files).values()])}
    else:
      given = {"images": images}
    results |= {f"{name}/{key}": value.numpy() for key, value in signature(**given).items()}
  for training in (False, True):
    called = loaded(images, training=training)
    results |= {f"called {training}/{key}": value.numpy() for key, value in called.items()}
  for name, value in loaded(images).items():
    np.testing.assert_array_equal(value, loaded(images, training=False)[name])
  np.savez(out, **results)


def colorize(model, images, out):
  colorizer = tf.saved_model.load(model)
  images = tf.constant(np.load(images))
  gray = tf.image.rgb_to_grayscale(images)
  results = {
    "color": colorizer.signatures["colorize"](images=images)["rgb"],
    "gray": colorizer.signatures["colorize"](images=gray)["rgb"],
    "default": colorizer.signatures["serving_default"](images=images)["rgb"],
    "called": colorizer.colorize(images)["rgb"],
  }
  np.savez(out, **{name: value.numpy() for name, value in results.items()})


def finetune(model, images, out):
  """Training steps in plain TensorFlow, of the whole encoder."""
  encoder = tf.saved_model.load(model)
  images = np.load(images)
  classes = tf.constant(_classes(images))
  images = tf.constant(images)
  assert {id(v) for v in encoder.trainable_variables} < {id(v) for v in encoder.variables}
  before = [v.numpy() for v in encoder.variables]
  weights = tf.Variable(tf.zeros((encoder(images)["embedding"].shape[1], 2)))
  variables = [*encoder.trainable_variables, weights]

  @tf.function
  def step():
    with tf.GradientTape() as tape:
      logits = encoder(images, training=True)["embedding"] @ weights
      losses = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
      loss = tf.add_n([tf.reduce_mean(losses), *(term() for term in encoder.regularization_losses)])
    for variable, gradient in zip(variables, tape.gradient(loss, variables)):
      variable.assign_sub(_RATE * gradient)
    return loss

  losses = [step().numpy() for _ in range(_STEPS)]
  moved = [not np.array_equal(v.numpy(), b) for v, b in zip(encoder.variables, before)]
  np.savez(out, losses=losses, moved=moved)


def hub(model, images, out):
  """`tensorflow_hub.KerasLayer` in a Keras model, on two devices."""
  import tensorflow_hub

  tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
  )
  images = np.load(images)
  with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    encoder = tensorflow_hub.KerasLayer(model, trainable=True, output_key="embedding")
    photographs = tf.keras.Input(images.shape[1:], dtype=tf.uint8)
    classifier = tf.keras.Model(photographs, tf.keras.layers.Dense(2)(encoder(photographs)))
    classifier.compile(
      tf.keras.optimizers.SGD(_RATE),
      tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
  before = [v.numpy() for v in encoder.weights]
  history = classifier.fit(
    images, _classes(images), batch_size=len(images), epochs=_STEPS, verbose=0, shuffle=False
  )
  moved = [not np.array_equal(v.numpy(), b) for v, b in zip(encoder.weights, before)]
  np.savez(out, losses=history.history["loss"], moved=moved)


if __name__ == "__main__":
  globals()[sys.argv[1]](*sys.argv[2:])
