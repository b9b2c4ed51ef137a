"""A method is a baseline and a contrast: what it computes from two views."""
