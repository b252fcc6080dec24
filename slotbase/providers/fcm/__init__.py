"""Firebase Cloud Messaging: push messages."""
