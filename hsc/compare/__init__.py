"""Comparing runs: DVC's experiments and git's revisions as rows of a table, and their differences.

Nothing here imports torch, numpy or DVC.
"""
