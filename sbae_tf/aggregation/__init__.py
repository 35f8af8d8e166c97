"""Aggregations: how branches share towers, and how towers make one encoder.

One file each, with `build(branches, build_tower, channels, *, ...) -> Aggregation`.
"""
