"""A module a baseline."""
