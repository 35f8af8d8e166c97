"""Installs the package `sbae_tf`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent

# Two stacks, each the newest TensorFlow on which everything below works for those Pythons.
# TensorFlow 2.15 is the last with Keras 2 inside and the last that tensorflow-addons imports on;
# it has no wheel for Python 3.12. There TensorFlow 2.21 gets Keras 2 from tf-keras.
# tensorflow-io has no wheel for Python 3.13.
TF_2_15 = 'python_version < "3.12"'
TF_2_21 = 'python_version >= "3.12"'

INSTALL_REQUIRES = {
  "": [
    "absl-py",
    "grpcio",
    "importlib-resources",  # `tfds build` needs it and does not ask for it.
    "keras-cv==0.9.*",
    "pillow",
    "scikit-image",  # It and scikit-learn hold the photographs of the quick start.
    "scikit-learn",
    "scipy",
    "tensorflow-datasets",
    "tifffile",  # scikit-image requires it, too.
  ],
  TF_2_15: [
    "tensorflow>=2.15,<2.16",
    "tensorflow-io==0.36.*",  # 0.37 is built against a later TensorFlow and does not load.
    "tensorflow-addons==0.23.*",
    "tensorflow-metadata<1.18",  # Later ones want a protobuf that TensorFlow 2.15 excludes.
    "numpy>=1.23.5,<2",
    "setuptools<81",  # tensorboard 2.15 imports pkg_resources, which later ones drop.
    # Not used here. Named at the top, it is settled early: the pip that comes with Python 3.9 and
    # 3.10 otherwise tries versions of everything else for many minutes.
    "etils",
  ],
  TF_2_21: [
    "tensorflow==2.21.*",
    "tensorflow-io==0.37.1",
    "tf-keras==2.21.*",
    "tensorboard",  # No longer a dependency of TensorFlow.
    "numpy",
  ],
}

EXTRAS_REQUIRE = {
  "beam": ["apache-beam"],
  "gpu": [
    f"tensorflow[and-cuda]>=2.15,<2.16; {TF_2_15}",
    f"tensorflow[and-cuda]==2.21.*; {TF_2_21}",
  ],
  # onnx from 1.19 on wants a later ml_dtypes than TensorFlow 2.15 allows. tf2onnx before 1.17 wants
  # a protobuf of its own, and 1.17 Python 3.10.
  "onnx": [
    'tf2onnx>=1.17,<2; python_version >= "3.10"',
    f'onnx<1.19; python_version >= "3.10" and {TF_2_15}',
    'onnxruntime; python_version >= "3.10"',
  ],
  "parquet": ["pyarrow>=15"],  # The first that writes float16.
  "plots": ["matplotlib"],
  "profile": [
    f"tensorboard-plugin-profile==2.15.2; {TF_2_15}",
    f"tensorboard-plugin-profile==2.24.2; {TF_2_21}",
  ],
  "test": [
    "apache-beam",
    "matplotlib",
    "pyarrow>=15",
    "mypy>=1.19,<3",
    "pytest>=8",
    "pytest-xdist",
    "ruff==0.17.*",
    # The SavedModel in a Keras model. 0.16 wants tf-keras, which would take TensorFlow 2.15's
    # Keras's place; it imports pkg_resources, which later versions of setuptools drop.
    f"tensorflow-hub==0.15.*; {TF_2_15}",
    f"tensorflow-hub==0.16.*; {TF_2_21}",
    f"tensorflow-serving-api==2.15.1; {TF_2_15}",
    f"tensorflow-serving-api==2.21.*; {TF_2_21}",
    f"setuptools<81; {TF_2_21}",
  ],
}


def version() -> str:
  """The `__version__` of the package, read without importing it: that needs TensorFlow."""
  text = (HERE / "sbae_tf" / "__init__.py").read_text(encoding="utf-8")
  found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
  if found is None:
    raise RuntimeError('Expected a line `__version__ = "..."` in sbae_tf/__init__.py')
  return found.group(1)


def long_description() -> str:
  """The README, or nothing where it is missing."""
  readme = HERE / "README.md"
  return readme.read_text(encoding="utf-8") if readme.is_file() else ""


setup(
  name="sbae_tf",
  version=version(),
  description="Split-brain autoencoders and their relatives: pretraining image encoders in "
  "TensorFlow by predicting some channels from others.",
  long_description=long_description(),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  python_requires=">=3.9,<3.13",
  packages=find_packages(include=["sbae_tf", "sbae_tf.*"]),
  package_data={"sbae_tf": ["py.typed", "quantize/priors/*.json"]},
  install_requires=[
    f"{requirement}; {marker}" if marker else requirement
    for marker, requirements in INSTALL_REQUIRES.items()
    for requirement in requirements
  ],
  extras_require=EXTRAS_REQUIRE,
  zip_safe=False,
)
