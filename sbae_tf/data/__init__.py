"""Photographs to batches: sources, decoding, augmentation and the `tf.data` pipeline.

A source says how many images there are, what they are called and how the bytes of one are read
(`source`); each kind of source is one file with a `build` function (`files`, `lists`, `archives`,
`records`, `tfds_source`, `photographs`), and `sources` chooses among them. `pipeline` turns any
source into batches of uint8 RGB: `order` says which image comes when, `header`, `augmentation` and
`decode` make inputs of bytes in TensorFlow's own ops, and `mend` looks after what they left out.
Knows nothing of color spaces or tasks. Import the modules themselves: this package imports no
TensorFlow.
"""
