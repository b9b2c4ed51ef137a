"""Hierarchical Semantic Contrast for weakly supervised semantic segmentation."""
