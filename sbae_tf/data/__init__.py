"""Photographs to batches: sources, decoding, augmentation and the `tf.data` pipeline.

A source says how many images there are, what they are called and how one is loaded
(`sbae_tf.data.source`); each kind of source is one file with a `build` function (`photographs`,
`files`). `pipeline` turns any source into batches of uint8 RGB. Knows nothing of color spaces or
tasks. Import the modules themselves: this package imports no TensorFlow.
"""
