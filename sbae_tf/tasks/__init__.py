"""Proxy tasks: what a branch predicts, by which head and loss, and what its output means.

One file each, with `build(channels, *, ...) -> ProxyTask`.
"""
