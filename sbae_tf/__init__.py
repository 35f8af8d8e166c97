"""Learning image representations from unlabelled photographs by cross-channel prediction.

```python
import sbae_tf

config = sbae_tf.preset("split_brain_96_kmeans")
result = sbae_tf.train(config, "runs/mine")
encoder = sbae_tf.load_encoder("runs/mine/encoder")
features = encoder(images)              # images (B, H, W, 3) uint8
```

What is named here is the public API; importing it starts TensorFlow only when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sbae_tf import runtime

__version__ = "0.1.0"

runtime.require_keras_2()
runtime.enable_onednn()

# Public name to the module that has it.
_PUBLIC = {
  "Branch": "config",
  "Component": "config",
  "DataConfig": "config",
  "PretrainConfig": "config",
  "ProbeConfig": "config",
  "preset": "presets",
  "train": "training",
  "Encoder": "encoder",
  "export_encoder": "export",
  "load_encoder": "export",
  "rescale_encoder": "rescaling",
}
_WITHOUT_TENSORFLOW = ("config", "presets")

__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
  from sbae_tf.config import Branch as Branch
  from sbae_tf.config import Component as Component
  from sbae_tf.config import DataConfig as DataConfig
  from sbae_tf.config import PretrainConfig as PretrainConfig
  from sbae_tf.config import ProbeConfig as ProbeConfig
  from sbae_tf.encoder import Encoder as Encoder
  from sbae_tf.export import export_encoder as export_encoder
  from sbae_tf.export import load_encoder as load_encoder
  from sbae_tf.presets import preset as preset
  from sbae_tf.rescaling import rescale_encoder as rescale_encoder
  from sbae_tf.training import train as train


def __getattr__(name: str) -> Any:
  if name not in _PUBLIC:
    raise AttributeError(f"module 'sbae_tf' has no attribute '{name}'")
  module = _PUBLIC[name]
  if module not in _WITHOUT_TENSORFLOW:
    runtime.start_tensorflow()
  return getattr(importlib.import_module(f"sbae_tf.{module}"), name)


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
