"""Firebase Cloud Messaging, simulated."""
