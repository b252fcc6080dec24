"""People, and the venues they belong to."""
