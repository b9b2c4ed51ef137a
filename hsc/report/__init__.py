"""What people look at: the panels of a few pictures and the page about a run."""
