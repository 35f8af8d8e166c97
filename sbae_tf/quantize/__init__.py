"""Quantizers, channel values to bins: one file each, `build(channels, *, ...) -> Quantizer`."""
