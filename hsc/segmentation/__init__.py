"""The segmentation network's training and inference."""
