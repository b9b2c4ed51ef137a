"""Where a backbone's weights come from."""
