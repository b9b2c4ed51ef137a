"""The CAM network, its inference, the seeds."""
