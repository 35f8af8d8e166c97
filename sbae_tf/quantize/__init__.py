"""Quantizers: channel values to bins. One file each, with `build(channels, *, ...) -> Quantizer`."""
