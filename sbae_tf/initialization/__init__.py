"""Initializations: the weights that a run's towers start from, one file each.

`build(*, ...)` returns an `Initialization`, which changes the weights that the backbone has drawn.
"""
