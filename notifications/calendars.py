"""Calendar files (RFC 5545) for what is booked, moved and cancelled.

Moments are in UTC, which is the same moment in every zone and needs no table of its
changes; calendars show them by the clocks of whoever looks. An appointment is known by
its booking: a higher SEQUENCE replaces it, CANCEL takes it away.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any

from django.conf import settings

from notifications.kinds import CANCEL

# In octets, without the line break.
LONGEST_LINE = 75
# Backslashes first: the others get one.
_SPECIAL = re.compile(r"([\\;,])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def attach_calendar(
    method: str, context: Mapping[str, Any], at: datetime | None
) -> tuple[Mapping[str, str], ...]:
    """One file as Resend takes it; none if a message has no appointment.

    Nor has what the version before queued, which did not tell the id of the booking.
    """
    if not method or "booking_id" not in context:
        return ()
    content = write_calendar(method, context, at).encode()
    return (
        {
            "filename": "cancelled.ics" if method == CANCEL else "booking.ics",
            "content": base64.b64encode(content).decode(),
            "content_type": f"text/calendar; charset=utf-8; method={method}",
        },
    )


def write_calendar(
    method: str, context: Mapping[str, Any], at: datetime | None = None
) -> str:
    """The text of the file; `at` is when the appointment was so."""
    lines = _list_lines(method, context, at)
    return "".join(f"{_fold(f'{name}:{value}')}\r\n" for name, value in lines)


def _list_lines(
    method: str, context: Mapping[str, Any], at: datetime | None
) -> Iterator[tuple[str, str]]:
    start = datetime.fromisoformat(context["start_time"])
    yield from (("BEGIN", "VCALENDAR"), ("VERSION", "2.0"))
    yield from (("PRODID", "-//SlotBase//Bookings//EN"), ("METHOD", method))
    yield from (("BEGIN", "VEVENT"), ("UID", uid_of(context["booking_id"])))
    yield "SEQUENCE", str(context["sequence"])
    yield "DTSTAMP", _say(at or start)
    yield "DTSTART", _say(start)
    yield "DTEND", _say(datetime.fromisoformat(context["end_time"]))
    yield "SUMMARY", _escape(f"{context['title']}, {context['venue_name']}")
    yield "LOCATION", _escape(_say_place(context))
    yield "DESCRIPTION", _escape(context["reference"])
    yield from _list_organizer(context["venue_name"])
    yield "STATUS", "CANCELLED" if method == CANCEL else "CONFIRMED"
    yield from (("END", "VEVENT"), ("END", "VCALENDAR"))


def uid_of(booking_id: Any) -> str:
    """By what calendars know a booking, whatever becomes of it."""
    return f"booking-{booking_id}@slotbase"


def _list_organizer(venue_name: str) -> Iterator[tuple[str, str]]:
    """The venue, by the address that its mails come from."""
    address = parseaddr(settings.EMAIL_FROM)[1]
    if address:
        # What is quoted cannot hold a quote.
        name = _CONTROL.sub(" ", venue_name).replace('"', "'")
        yield f'ORGANIZER;CN="{name}"', f"mailto:{address}"


def _say_place(context: Mapping[str, Any]) -> str:
    return "\n".join(
        filter(None, (context["venue_name"], context.get("venue_address")))
    )


def _say(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _escape(text: str) -> str:
    """A value of somebody's choice: its breaks are written, and end no line."""
    lines = (_CONTROL.sub(" ", line) for line in text.splitlines())
    return r"\n".join(_SPECIAL.sub(r"\\\1", line) for line in lines)


def _fold(line: str) -> str:
    """Long lines go on in the next one, after a blank; never within a character."""
    parts, room = [""], LONGEST_LINE
    for character in line:
        size = len(character.encode())
        if size > room:
            parts.append("")
            room = LONGEST_LINE - 1
        parts[-1] += character
        room -= size
    return "\r\n ".join(parts)
