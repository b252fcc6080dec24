"""Resend: mail, and what became of it."""
