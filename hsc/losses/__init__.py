"""Losses: pure functions of tensors, one module a method or level, no files, no configuration."""
