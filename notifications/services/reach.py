"""Whether mails reach somebody, as they and staff are told."""

from notifications.services.suppression import find_suppression


def why_no_mail(address: str) -> str:
    """Why no mail reaches this address, in a word; empty if mails are sent to it."""
    if not address:
        return "no_address"
    found = find_suppression(address)
    return found.reason.lower() if found else ""
