"""Alerts: whoever wants to be told of trouble, at an address of your choice."""
