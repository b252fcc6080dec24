"""Measurements of the running product, side by side with a limit of the same run."""
