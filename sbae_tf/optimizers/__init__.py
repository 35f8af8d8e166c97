"""Optimizers: one file each, with `build(learning_rate, *, ...)` that returns a Keras optimizer."""
