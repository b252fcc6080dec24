"""`make security`: what is known to be broken, and what a stranger can break."""
