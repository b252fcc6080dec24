"""The calendar of a customer follows the booking: made, moved, cancelled."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from bookings.services.cancelling import cancel_booking
from notifications.models import Notification
from notifications.rendering import render
from tests.bookings.closing import move
from tests.factories import in_two_days, make_booking

pytestmark = pytest.mark.django_db(transaction=True)


def files_of(booking_id: Any) -> list[dict[str, str]]:
    """The lines of each file, in the order in which the mails were queued."""
    about = Notification.objects.filter(subject_id=str(booking_id)).order_by("pk")
    mails = [render(m.template, m.context, person="", at=m.created_at) for m in about]
    return [_lines_of(file) for mail in mails for file in mail.attachments]


def _lines_of(file: Mapping[str, str]) -> dict[str, str]:
    lines = base64.b64decode(file["content"]).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_an_appointment_is_made_moved_and_taken_away() -> None:
    booking = make_booking()
    move(booking, in_two_days(16))
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    made, moved, gone = files_of(booking.pk)

    assert {each["UID"] for each in (made, moved, gone)} == {
        f"booking-{booking.pk}@slotbase"
    }
    methods = [each["METHOD"] for each in (made, moved, gone)]
    assert methods == ["PUBLISH", "PUBLISH", "CANCEL"]
    assert int(made["SEQUENCE"]) < int(moved["SEQUENCE"]) < int(gone["SEQUENCE"])
    assert moved["DTSTART"] == gone["DTSTART"] == f"{in_two_days(16):%Y%m%dT%H%M%SZ}"
    assert made["DTSTART"] != moved["DTSTART"]
    assert made["DTSTAMP"] <= moved["DTSTAMP"] <= gone["DTSTAMP"]
