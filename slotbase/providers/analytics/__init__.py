"""Analytics: whoever wants to know what happens, at an address of your choice."""
