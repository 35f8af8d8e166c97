"""Folders of photographs, colorized at their full resolution, and how right the colors are."""
