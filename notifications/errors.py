"""What can go wrong with messages, and with work on them."""

from slotbase.lib.errors import NotFound


class UnknownTemplate(ValueError):
    """There is no such template, or its context lacks something."""


class MessageNotFound(NotFound):
    """There is no such message."""


class SuppressionNotFound(NotFound):
    """There is no such entry in the list of addresses that take no mail."""


class DeviceNotFound(NotFound):
    """There is no such device."""
