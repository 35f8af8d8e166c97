"""What to do with an exported encoder: scripts that need TensorFlow and not this package."""
