"""Evaluation: what an encoder has learnt, measured by protocols.

A protocol is one file with `build(*, ...) -> Protocol`.
"""
