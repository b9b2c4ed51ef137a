"""The dense CRF."""
