"""Faults of every kind against the pipeline with real processes, real DVC and real disks.

`python -m tests.soak` (`make soak`); what came out stands in docs/reliability.md.
"""
