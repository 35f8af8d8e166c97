"""This package's split-brain models in PyTorch, as its users would write them.

The same layers, statistics, targets and loss, for a comparison of training steps. Imports PyTorch
alone: it runs in an environment of its own.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_STRIDE = 8
_EPSILON, _MOMENTUM = 1e-5, 0.1  # PyTorch's momentum is one minus Keras's.

# SimpleNet's: name, kernel, stride, channels.
_SIMPLENET = (
  ("conv1", 5, 2, 16),
  ("conv2", 3, 2, 64),
  ("conv3", 3, 2, 128),
  ("conv4", 3, 1, 128),
  ("conv5", 3, 1, 96),
)
# ResNet18's at half width: name, channels, stride of the first block.
_STAGES = (("conv2", 32, 1), ("conv3", 64, 2), ("conv4", 128, 1), ("conv5", 256, 1))

# Lab under D65, in tensorflow-io's constants.
_TO_XYZ = (
  (0.412453, 0.357580, 0.180423),
  (0.212671, 0.715160, 0.072169),
  (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_CUT, _SLOPE, _AT_BLACK = 0.008856, 7.787, 16 / 116
_TO_LAB = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
_LOW, _HIGH = (0.0, -86.19, -107.87), (100.0, 98.24, 94.49)

# Of each branch: its input channels, its target channels, bins along each of these.
_L, _AB = slice(0, 1), slice(1, 3)
_BRANCHES = ((_L, _AB, 10), (_AB, _L, 100))
_BINS = 100


class ConvNormRelu(nn.Module):
  """Convolution without bias, batch normalization and ReLU."""

  def __init__(
    self,
    channels: int,
    filters: int,
    *,
    kernel: int,
    stride: int = 1,
    relu: bool = True,
    tensorflow_padding: bool = False,
  ) -> None:
    """Makes the layers.

    Args:
      channels: of the input.
      filters: channels of the output.
      kernel: height and width of the kernel.
      stride: in both directions.
      relu: False leaves the ReLU out.
      tensorflow_padding: see `SplitBrain`.
    """
    super().__init__()
    self.padding = _tensorflow_padding(kernel, stride) if tensorflow_padding else None
    padding = 0 if tensorflow_padding else kernel // 2
    self.conv = nn.Conv2d(channels, filters, kernel, stride, padding, bias=False)
    nn.init.kaiming_normal_(self.conv.weight)
    self.norm = nn.BatchNorm2d(filters, eps=_EPSILON, momentum=_MOMENTUM)
    self.relu = relu

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    if self.padding:
      x = functional.pad(x, self.padding)
    x = self.norm(self.conv(x))
    return functional.relu(x, inplace=True) if self.relu else x


class BasicBlock(nn.Module):
  """ResNet's block of two 3 x 3 convolutions and a shortcut."""

  def __init__(
    self, channels: int, filters: int, *, stride: int, tensorflow_padding: bool = False
  ) -> None:
    super().__init__()
    padding = {"tensorflow_padding": tensorflow_padding}
    self.conv1 = ConvNormRelu(channels, filters, kernel=3, stride=stride, **padding)
    self.conv2 = ConvNormRelu(filters, filters, kernel=3, relu=False, **padding)
    self.shortcut: nn.Module = nn.Identity()
    if stride != 1 or channels != filters:
      self.shortcut = ConvNormRelu(
        channels, filters, kernel=1, stride=stride, relu=False, **padding
      )

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return functional.relu(self.conv2(self.conv1(x)) + self.shortcut(x), inplace=True)


class MaxPool(nn.Module):
  """ResNet's pool: the highest of 3 x 3, with stride 2, of what is 0 or more."""

  def __init__(self, *, tensorflow_padding: bool = False) -> None:
    super().__init__()
    self.padding = _tensorflow_padding(3, 2) if tensorflow_padding else None

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    if self.padding:
      return functional.max_pool2d(functional.pad(x, self.padding), 3, 2)
    return functional.max_pool2d(x, 3, 2, padding=1)


def simplenet(channels: int, *, tensorflow_padding: bool = False) -> nn.Sequential:
  """A SimpleNet tower; the layers are named as this package names them."""
  tower = nn.Sequential()
  for name, kernel, stride, filters in _SIMPLENET:
    tower.add_module(
      name,
      ConvNormRelu(
        channels, filters, kernel=kernel, stride=stride, tensorflow_padding=tensorflow_padding
      ),
    )
    channels = filters
  return tower


def resnet18(channels: int, *, tensorflow_padding: bool = False) -> nn.Sequential:
  """A tower of ResNet18 at half width; the layers are named as this package names them."""
  padding = {"tensorflow_padding": tensorflow_padding}
  tower = nn.Sequential()
  tower.add_module("conv1", ConvNormRelu(channels, 32, kernel=7, stride=2, **padding))
  tower.add_module("conv1_pool", MaxPool(**padding))
  channels = 32
  for name, filters, stride in _STAGES:
    for block in (1, 2):
      first = stride if block == 1 else 1
      tower.add_module(
        f"{name}_block{block}", BasicBlock(channels, filters, stride=first, **padding)
      )
      channels = filters
  tower.add_module("conv6", ConvNormRelu(channels, 256, kernel=3, **padding))
  return tower


_TOWERS = {"simplenet": (simplenet, 96), "resnet18": (resnet18, 256)}


class SplitBrain(nn.Module):
  """Two towers with their heads: bins of ab from L, and bins of L from ab."""

  def __init__(self, model: str, *, tensorflow_padding: bool = False) -> None:
    """Builds the model with fresh weights, channels last.

    Args:
      model: `simplenet` or `resnet18`.
      tensorflow_padding: whether a layer with a stride pads below and to the right more than above
        and to the left, as TensorFlow does, for the same numbers from the same weights. PyTorch
        has no such layer: it costs a copy, and is not for a measurement.
    """
    super().__init__()
    build, features = _TOWERS[model]
    self.towers = nn.ModuleList(
      build(inputs.stop - inputs.start, tensorflow_padding=tensorflow_padding)
      for inputs, _, _ in _BRANCHES
    )
    self.heads = nn.ModuleList(nn.Conv2d(features, _BINS, 1) for _ in _BRANCHES)
    for name, constant in _constants().items():
      self.register_buffer(name, constant, persistent=False)
    self.to(memory_format=torch.channels_last)

  def prepare(self, images: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Photographs to what the towers see and what they are to predict.

    Args:
      images: (B, H, W, 3) uint8 sRGB.

    Returns:
      For each branch (B, C, H, W) float32 in [-1, 1], channels last; and (B, h, w) int64 bins of
      the means over the stride's squares.
    """
    lab = self.lab(images)
    small = functional.avg_pool2d(lab, _STRIDE)
    fractions = (small - self.low) / (self.high - self.low)
    inputs = [
      functional.conv2d(lab, self.scale[seen], self.shift[seen]) for seen, _, _ in _BRANCHES
    ]
    return inputs, [_bins(fractions[:, target], count) for _, target, count in _BRANCHES]

  def lab(self, images: torch.Tensor) -> torch.Tensor:
    """Photographs to Lab, by what PyTorch is fastest at.

    Args:
      images: (B, H, W, 3) uint8 sRGB.

    Returns:
      (B, 3, H, W) float32, channels last: L in [0, 100], a and b.
    """
    # Indexing by a tensor takes five times as long, and a matrix product of 3 columns six times as
    # long as a convolution.
    light = self.light.index_select(0, images.flatten().int()).view(images.shape)
    t = functional.conv2d(light.permute(0, 3, 1, 2), self.to_xyz)
    root = t.clamp(min=_CUT).log_().div_(3).exp_()  # Two thirds of a power's time.
    f = torch.where(t > _CUT, root, _SLOPE * t + _AT_BLACK)
    return functional.conv2d(f, self.to_lab, self.offset)

  def loss(self, inputs: list[torch.Tensor], targets: list[torch.Tensor]) -> torch.Tensor:
    """The sum over branches of the cross-entropy, a mean over batch and pixels; () float32.

    Args:
      inputs: as `prepare` gives them.
      targets: as `prepare` gives them.
    """
    losses = []
    for tower, head, x, target in zip(self.towers, self.heads, inputs, targets):
      features = tower(x)
      with torch.autocast(x.device.type, enabled=False):  # Heads are float32 in every precision.
        losses.append(functional.cross_entropy(head(features.float()), target))
    return torch.stack(losses).sum()

  def parameters_and_statistics(self) -> int:
    """How many numbers the model has: weights, and the means and variances of normalization."""
    return sum(
      value.numel() for name, value in self.state_dict().items() if not name.endswith("tracked")
    )


def flop_per_image(model: SplitBrain, *, size: int) -> int:
  """Floating-point operations of convolutions in a training step, for each photograph.

  Counted by PyTorch while it computes a step.

  Args:
    model: is left as it was.
    size: S, the side of the photographs in pixels.
  """
  from torch.utils.flop_counter import FlopCounterMode

  state = {name: value.clone() for name, value in model.state_dict().items()}
  images = torch.zeros((1, size, size, 3), dtype=torch.uint8)
  inputs, targets = model.prepare(images)
  with FlopCounterMode(display=False) as counter:
    model.loss(inputs, targets).backward()
  model.zero_grad(set_to_none=True)
  model.load_state_dict(state)
  return int(counter.get_total_flops())


def _bins(fractions: torch.Tensor, count: int) -> torch.Tensor:
  """(B, C, h, w) in [0, 1] to the bin of each pixel, the first channel the slower: (B, h, w)."""
  along = (fractions * count).floor().clamp(0, count - 1).long()
  ids = along[:, 0]
  for channel in range(1, along.shape[1]):
    ids = ids * count + along[:, channel]
  return ids


def _constants() -> dict[str, torch.Tensor]:
  levels = torch.arange(256, dtype=torch.float64) / 255
  # IEC 61966-2-1.
  light = torch.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)
  to_xyz = torch.tensor(_TO_XYZ, dtype=torch.float64)
  white = torch.tensor(_WHITE, dtype=torch.float64)
  low = torch.tensor(_LOW, dtype=torch.float64)
  high = torch.tensor(_HIGH, dtype=torch.float64)
  return {
    "light": light.float(),
    # Weights of 1 x 1 convolutions: channels out, channels in, 1, 1.
    "to_xyz": (to_xyz / white[:, None])[:, :, None, None].float(),
    "to_lab": torch.tensor(_TO_LAB)[:, :, None, None],
    "offset": torch.tensor((-16.0, 0.0, 0.0)),
    "scale": torch.diag(2 / (high - low))[:, :, None, None].float(),
    "shift": (-(high + low) / (high - low)).float(),
    "low": low[:, None, None].float(),
    "high": high[:, None, None].float(),
  }


def _tensorflow_padding(kernel: int, stride: int) -> tuple[int, int, int, int]:
  """Left, right, top, bottom of "same" where the stride divides the input's height and width."""
  total = max(kernel - stride, 0)
  return total // 2, total - total // 2, total // 2, total - total // 2
