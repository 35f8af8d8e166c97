"""Measures this package, beside what else there is.

`python -m tools.benchmark input --photos=FOLDER --small=FOLDER`: images/s of the input pipeline, of
PyTorch's DataLoader, and of bare JPEG decoding.
`python -m tools.benchmark memory`: what a text list of ten million names takes.
`python -m tools.benchmark color`: what color and quantization add to a training step.
`python -m tools.benchmark step --data=FOLDER`: images/s of training steps, of PyTorch's of the same
models, and how much of the machine's peak they reach.
`python -m tools.benchmark serving`: latency and throughput of exported encoders.
"""

from __future__ import annotations

import argparse
import sys

from tools.benchmarks import color, memory, serving, step
from tools.benchmarks import input as input_benchmark

# Each has SUMMARY, `add_arguments(parser)` and `run(arguments)`, which raises ValueError for a
# user's mistake and RuntimeError for what else a line can explain.
_SUBCOMMANDS = {
  "input": input_benchmark,
  "memory": memory,
  "color": color,
  "step": step,
  "serving": serving,
}


def main() -> int:
  """Runs the command line; 2 after a user's mistake, 1 after a failure, 130 after Ctrl-C."""
  parser = argparse.ArgumentParser(
    prog="benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  subcommands = parser.add_subparsers(dest="subcommand", required=True)
  for name, module in _SUBCOMMANDS.items():
    module.add_arguments(
      subcommands.add_parser(name, help=module.SUMMARY, description=module.__doc__)
    )
  arguments = parser.parse_args()
  try:
    _SUBCOMMANDS[arguments.subcommand].run(arguments)
  except (ValueError, RuntimeError) as error:
    print(f"benchmark {arguments.subcommand}: {error}", file=sys.stderr)
    return 2 if isinstance(error, ValueError) else 1
  except KeyboardInterrupt:
    return 130
  return 0


if __name__ == "__main__":
  sys.exit(main())
