"""Optimizers: one file each, with `build(learning_rate, *, ...) -> tf.keras.optimizers.Optimizer`."""
