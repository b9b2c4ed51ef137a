"""The training loop and what it needs: optimiser, schedule, checkpoints, devices."""
