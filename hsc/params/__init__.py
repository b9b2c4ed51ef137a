"""The typed parameters of `params.yaml` and `recipes/`."""
