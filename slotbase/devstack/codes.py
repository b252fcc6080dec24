"""The second factor of the demo's staff: one for all, published like their password."""

import pyotp

# Of the demo on this computer alone; nothing outside of it has ever used it.
SECRET = "SLOTBASEDEMOSLOTBASEDEMOSLOTBASE"  # noqa: S105 - published on purpose


def current_code() -> str:
    """What an app with this secret shows now; each works once for each login."""
    return pyotp.TOTP(SECRET).now()
