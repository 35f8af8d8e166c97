"""What `tools.make_records` is made of."""
