"""Backbones: the convolutional tower of a branch, one file an architecture.

A file `NAME.py` here is the backbone `NAME`; there is no list to edit. Files whose names begin with
an underscore are shared parts. A backbone has:

- A docstring whose first line is its summary in `--help`.
- `STRIDE`, a literal int: the stride of the last feature map. The input's height and width must be
  multiples of it. The caller checks that, for a functional model of unknown size cannot.
- `FEATURES`, a literal tuple of str: the names of the feature maps, in order of depth.
- `build(channels, *, width=..., ...) -> tf.keras.Model`, whose keyword-only arguments are the
  backbone's options: each annotated `float`, `int`, `str` or `bool`, with a literal default.

The literals and the signature are read without importing TensorFlow, so that `--help` is quick.

`build` returns a functional model from (B, H, W, channels) float32 to a dict from each name in
`FEATURES`, in that order, to a feature map (B, h, w, C), all after batch normalization and ReLU.
h is H over the map's own stride, which is `STRIDE` for the last: 96 x 96 gives 12 x 12 at stride 8.
The maps are float32, or of the compute type under a mixed precision policy; the variables are
float32 in either case. A tower has no head: a task adds the 1 x 1 convolution that predicts.

`width` multiplies the channels of every layer, each rounded to a multiple of 8 and at least 8. Each
call builds a tower with variables of its own, whose initial values honor
`tf.keras.utils.set_random_seed`. Layers have stable names that begin with the feature they serve:
`conv1`, `conv1_bn`. The model itself has no fixed name, so that several towers can be layers of one
functional model.
"""
