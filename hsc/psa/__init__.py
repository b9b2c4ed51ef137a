"""PSA (CVPR 2018): AffinityNet and its random walk."""
