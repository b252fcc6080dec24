"""Clients of the providers: the only place where their SDKs and addresses are used."""
