"""A page on this machine that shows what the networks see in a picture."""
