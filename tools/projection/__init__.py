"""What `python -m tools.scaling` computes: a model's work, a machine's time for it, the page."""
