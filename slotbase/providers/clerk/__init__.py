"""Clerk: who the customers are. Tokens are checked locally with its public keys."""
