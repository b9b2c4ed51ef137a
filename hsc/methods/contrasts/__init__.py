"""A module a contrast."""
