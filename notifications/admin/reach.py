"""Whether mails reach somebody, as a badge for every page that shows a person."""

from typing import Any

from django.utils.safestring import SafeString

from notifications.services.reach import why_no_mail
from slotbase.lib.columns import format_state

STATES = {
    "": "mail_works",
    "no_address": "no_address",
    "bounced": "mail_bounces",
    "complained": "mail_unwanted",
    "refused": "mail_refused",
}


def format_reach(person: Any) -> SafeString:
    """`Mail bounces`, `Mail works` and so on."""
    return format_state(STATES[why_no_mail(person.email)])
