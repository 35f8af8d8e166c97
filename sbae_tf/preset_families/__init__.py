"""The presets, a file for those that belong together; `sbae_tf.presets` has them all."""
