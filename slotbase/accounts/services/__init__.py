"""What can be done with accounts: each function a verb, in its own transaction."""
