"""What `python -m tools.benchmark` measures, and with what.

Contestants run in processes of their own, some in another environment. Those import from here
nothing but `protocol` and `crops`, and these and this file nothing but Python's own library.
"""
