"""Plumbing that knows nothing of segmentation."""
