"""Back office of messages; importing the rooms registers their pages."""

from notifications.admin import cases, channels, devices, messages, people, suppressions

__all__ = ("cases", "channels", "devices", "messages", "people", "suppressions")
