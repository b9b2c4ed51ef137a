"""Backbones, the CAM network and DeepLab."""
