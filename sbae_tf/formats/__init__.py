"""Other formats of an encoder: one file each, with `convert` and `run`."""
