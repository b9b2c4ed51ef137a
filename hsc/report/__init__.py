"""What people look at: the panels and plots of a run, and the page that puts it all together."""
