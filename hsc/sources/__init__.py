"""Where a data set comes from, and how it becomes VOC's layout."""
