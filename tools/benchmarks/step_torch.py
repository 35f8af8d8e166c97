"""A contestant: PyTorch's training step of the same model. Runs in an environment of its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator

import torch

from tools.benchmarks import crops, protocol, step_setting
from tools.benchmarks.step_torch_model import SplitBrain, flop_per_image


def make_step(
  model: SplitBrain, *, precision: str, compiled: bool, learning_rate: float = 1e-4
) -> Callable[[torch.Tensor], float]:
  """A training step.

  Args:
    model: is trained by it.
    precision: `float32`; or `bfloat16`, by autocast.
    compiled: whether `torch.compile` compiles what is differentiated: color, quantization, towers,
      heads and losses. Adam is one fused kernel in either case.
    learning_rate: Adam's.

  Returns:
    From (B, H, W, 3) uint8 sRGB to the loss before the step.
  """
  optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, eps=1e-7, fused=True)

  def loss_of(images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
      inputs, targets = model.prepare(images)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
      return model.loss(inputs, targets)

  forward = torch.compile(loss_of) if compiled else loss_of

  def step(images: torch.Tensor) -> float:
    loss = forward(images)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())

  return step


def steps(step: Callable[[torch.Tensor], float], images: torch.Tensor) -> Iterator[int]:
  """Trains on the same photographs without end, and yields their number after each step."""
  while True:
    step(images)
    yield len(images)


def main() -> None:
  """Runs the contestant."""
  replies = protocol.claim_stdout()
  parser = argparse.ArgumentParser(description=__doc__)
  step_setting.add_arguments(parser)
  parser.add_argument("--compiled", action="store_true")
  arguments = parser.parse_args()
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.manual_seed(0)
  model = SplitBrain(arguments.model)
  size = crops.IMAGE_SIZE
  flop = flop_per_image(model, size=size)
  images = torch.frombuffer(step_setting.photographs(), dtype=torch.uint8)
  images = images.reshape(-1, size, size, 3)
  step = make_step(model, precision=arguments.precision, compiled=arguments.compiled)
  for _ in range(step_setting.WARM_STEPS):
    step(images)
  about = {
    "versions": {"torch": torch.__version__},
    "flop_per_image": flop,
    "parameters": model.parameters_and_statistics(),
  }
  protocol.serve(steps(step, images), replies, about=about, start=0.0)


if __name__ == "__main__":
  main()
