"""Color spaces: one file each, with `CHANNELS` and `build() -> ColorSpace`."""
