"""Wire-level simulators of the providers, with faults: development and tests only.

Run with `python -m slotbase.sandbox`; see docs/reference/sandbox.md. It never imports
Django, so that a test talks to it as it would to the provider: over a socket.
"""
