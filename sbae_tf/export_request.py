"""What the export command is asked for: its flags, checked. Imports no TensorFlow."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence

from sbae_tf.command_line import Parser, UsageError

FORMATS = ("saved_model", "tflite", "onnx", "colorizer")

_DESCRIPTION = """\
Writes a trained encoder as one file or folder, and checks its numbers before it has its name.

  python -m sbae_tf.export --encoder=runs/mine/encoder --format=tflite --out=encoder.tflite
  python -m sbae_tf.export --workdir=runs/mine --format=saved_model --out=encoder_best
  python -m sbae_tf.export --workdir=runs/mine --rescale --out=encoder_to_finetune
"""

_EPILOG = """\
Formats (--format):
  saved_model   TensorFlow: uint8 images or encoded files to every feature map
  tflite        TensorFlow Lite: images, (B, S, S, 3) uint8, to every feature map; any B after
                resize_tensor_input. int8 is for towers: input, color and output keep their type
  onnx          ONNX, the same, any B; needs tf2onnx, and onnxruntime for the check:
                pip install 'sbae_tf[onnx]', or --onnx_python
  colorizer     TensorFlow: gray or color photographs to colorized ones; from --workdir only

Every file is run on photographs by its own runtime, and the largest difference of each feature from
the SavedModel is printed (of a SavedModel from the live model). Above 1e-4 of the feature's largest
number it is an error, with float16 above 1e-2, and above 0.05 where the SavedModel itself computes
in 16 bits (--precision of the training); int8 is told and no error.

Nothing is overwritten, and under the name of --out there is all or nothing. Exit status: 0; 1 it
cannot be done (another result than the SavedModel's, a full disk); 2 a mistake in flags or files,
told in one line.
"""


@dataclasses.dataclass(frozen=True)
class Request:
  """What is asked for.

  Attributes:
    out: the file or folder to write.
    format: one of `FORMATS`.
    encoder: folder of a SavedModel of an encoder; empty where `workdir` is given.
    workdir: a run's folder; empty where `encoder` is given.
    checkpoint: `best` or `newest`, of `workdir`.
    quantize: `none`, `float16` or `int8`, for TFLite.
    data: photographs to check on, and to calibrate by; empty for the embedded ones.
    beside: where the bands lie that the encoder takes beside photographs; empty: as in training.
    image_size: S of TFLite and ONNX; 0 for the size of the training.
    onnx_python: the interpreter that has tf2onnx and onnxruntime.
    rescale: whether to scale layers so that in fine-tuning all learn at one rate.
  """

  out: str
  format: str = "saved_model"
  encoder: str = ""
  workdir: str = ""
  checkpoint: str = "best"
  quantize: str = "none"
  data: str = ""
  beside: str = ""
  image_size: int = 0
  onnx_python: str = sys.executable
  rescale: bool = False


def parse(arguments: Sequence[str]) -> Request:
  """Reads the arguments after the program's name; prints the help and exits where it is asked for.

  Args:
    arguments: such as `["--encoder=runs/mine/encoder", "--format=onnx", "--out=encoder.onnx"]`.

  Raises:
    UsageError: a flag is wrong, or `--out` is there already.
  """
  request = Request(**vars(_parser().parse_args(arguments)))
  _check(request)
  return request


def _parser() -> argparse.ArgumentParser:
  parser = Parser(
    prog="python -m sbae_tf.export",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    usage="%(prog)s (--encoder=FOLDER | --workdir=FOLDER) --format=F --out=PATH [flags]",
  )
  add = parser.add_argument
  add("--encoder", default="", metavar="FOLDER", help="a SavedModel, such as runs/mine/encoder")
  add("--workdir", default="", metavar="FOLDER", help="a run, such as runs/mine: its checkpoint")
  add(
    "--checkpoint",
    choices=("best", "newest"),
    default="best",
    help="which one of --workdir: that of the lowest held-out loss, or the newest; default: best",
  )
  add("--format", choices=FORMATS, default="saved_model", help="see below; default: saved_model")
  add("--out", required=True, metavar="PATH", help="the new file or folder")
  add(
    "--quantize",
    choices=("none", "float16", "int8"),
    default="none",
    help="of tflite: weights in 16 bits, or weights and feature maps in 8; default: none",
  )
  add(
    "--data",
    default="",
    metavar="SPEC",
    help="photographs to check on, as sbae_tf.pretrain takes them, and with --quantize=int8 others "
    "of them to take the maps' ranges from, with --rescale the layers' rates; default: embedded "
    "photographs, not for int8",
  )
  add(
    "--rescale",
    action="store_true",
    help="of saved_model: scale each layer's weights so that in fine-tuning by gradient descent "
    "all learn at one rate; features stay the same",
  )
  add(
    "--beside",
    default="",
    metavar="PATTERN",
    help="where the bands lie that the encoder takes beside photographs; default: as in training",
  )
  add(
    "--image_size",
    type=int,
    default=0,
    metavar="S",
    help="side of the photographs that tflite and onnx take; default: that of the training",
  )
  add(
    "--onnx_python",
    default=sys.executable,
    metavar="PYTHON",
    help="interpreter with tf2onnx, TensorFlow and onnxruntime; default: this one",
  )
  return parser


def _check(request: Request) -> None:
  """Raises `UsageError` where flags contradict each other, or files are not as they must be."""
  if bool(request.encoder) == bool(request.workdir):
    raise UsageError("Expected one of --encoder and --workdir. See --help")
  if request.format == "colorizer" and not request.workdir:
    raise UsageError(
      "--format=colorizer needs --workdir: an encoder has no heads, which predict color."
    )
  if request.quantize != "none" and request.format != "tflite":
    raise UsageError(f"--quantize={request.quantize} is for --format=tflite alone.")
  if request.quantize == "int8" and not request.data:
    raise UsageError(
      "--quantize=int8 needs --data: photographs of the kind that the encoder will see."
    )
  if request.rescale and request.format != "saved_model":
    raise UsageError(f"--rescale is for fine-tuning, and --format={request.format} has none.")
  if request.image_size and request.format not in ("tflite", "onnx"):
    raise UsageError("--image_size is for --format=tflite and onnx: a SavedModel takes any size.")
  if request.image_size < 0:
    raise UsageError(f"Expected --image_size above 0. Received: {request.image_size}")
  for name in ("encoder", "workdir"):
    path = getattr(request, name)
    if path and not os.path.isdir(path):
      raise UsageError(f"There is no folder --{name}={path}.")
  if os.path.lexists(request.out):
    raise UsageError(f"--out={request.out} is there already. Give a new name, or remove it.")
