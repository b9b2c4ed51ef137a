"""Confusion, IoU and their tables."""
