"""What `python -m tools.benchmark` measures, and with what.

Contestants run in processes of their own, some in another environment. Those import from here
nothing but `protocol`, `crops`, `gemm`, `step_setting` and `step_torch_model`; of these the last
imports PyTorch, the others and this file nothing but Python's own library.
"""
