"""Calendar files: one appointment for a booking, moved and taken away by later ones."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from django.conf import settings
from django.test import override_settings

from bookings.models import Booking
from bookings.services.wording import appointment_of
from notifications.calendars import uid_of, write_calendar
from notifications.kinds import KINDS
from notifications.models import Notification
from notifications.rendering import render
from notifications.samples import sample_of
from tests.conftest import Sandbox
from tests.notifications.conftest import mails, make_due, queue, send

BERLIN = ZoneInfo("Europe/Berlin")
AT = datetime(2030, 6, 1, 12, tzinfo=UTC)
WITH_A_FILE = [name for name, kind in KINDS.items() if kind.calendar]


def unfold(text: str) -> list[str]:
    assert text.endswith("\r\n")
    return text.replace("\r\n ", "").removesuffix("\r\n").split("\r\n")


def read(text: str) -> dict[str, str]:
    """Names and values of the lines that are there once."""
    lines = [line.split(":", 1) for line in unfold(text)]
    return {name: value for name, value in lines if name not in {"BEGIN", "END"}}


def file_of(name: str, **over: Any) -> dict[str, str]:
    mail = render(name, {**sample_of(name), **over}, person="", at=AT)
    (file,) = mail.attachments
    return read(base64.b64decode(file["content"]).decode())


def test_confirmed_moved_and_cancelled_have_a_file_and_no_other() -> None:
    assert WITH_A_FILE == ["booking_confirmed", "booking_moved", "booking_cancelled"]
    for name, kind in KINDS.items():
        if name not in WITH_A_FILE and "EMAIL" in kind.channels:
            context = {**sample_of("booking_confirmed"), **sample_of(name)}
            assert render(name, context, person="").attachments == ()


def test_a_booking_is_one_appointment_that_later_mails_change() -> None:
    booked = file_of("booking_confirmed", sequence=1)
    moved = file_of("booking_moved", sequence=2)
    cancelled = file_of("booking_cancelled", sequence=4)

    files = (booked, moved, cancelled)
    assert {each["UID"] for each in files} == {
        uid_of(sample_of(WITH_A_FILE[0])["booking_id"])
    }
    assert [each["SEQUENCE"] for each in files] == ["1", "2", "4"]
    assert [each["METHOD"] for each in files] == ["PUBLISH", "PUBLISH", "CANCEL"]
    assert [each["STATUS"] for each in files] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]


@override_settings(EMAIL_FROM="SlotBase <noreply@slotbase.example>")
def test_it_says_what_where_and_when() -> None:

    assert file_of("booking_confirmed") == {
        "VERSION": "2.0",
        "PRODID": "-//SlotBase//Bookings//EN",
        "METHOD": "PUBLISH",
        "UID": "booking-01890a5d-ac96-774b-bcce-b302099a8057@slotbase",
        "SEQUENCE": "1",
        "DTSTAMP": "20300601T120000Z",
        "DTSTART": "20300701T100000Z",
        "DTEND": "20300701T110000Z",
        "SUMMARY": r"Court 1\, Tennis am Park",
        "LOCATION": r"Tennis am Park\nParkstraße 1\n10115 Berlin",
        "DESCRIPTION": "7K3QF-9XW2M",
        'ORGANIZER;CN="Tennis am Park"': "mailto:noreply@slotbase.example",
        "STATUS": "CONFIRMED",
    }


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        (datetime(2030, 3, 31, 1, 30, tzinfo=BERLIN), "20300331T003000Z"),
        (datetime(2030, 3, 31, 3, 0, tzinfo=BERLIN), "20300331T010000Z"),
        (datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN), "20301027T003000Z"),
        (datetime(2030, 10, 27, 2, 30, fold=1, tzinfo=BERLIN), "20301027T013000Z"),
        (datetime(2030, 12, 24, 18, 0, tzinfo=BERLIN), "20301224T170000Z"),
    ],
)
def test_it_is_the_same_moment_where_clocks_change(local: datetime, utc: str) -> None:
    start = local.astimezone(UTC)
    end = start + timedelta(hours=1)

    file = file_of(
        "booking_confirmed", start_time=start.isoformat(), end_time=end.isoformat()
    )

    assert file["DTSTART"] == utc
    assert moment(file["DTSTART"]) == start
    assert moment(file["DTEND"]) == end


def test_what_people_typed_adds_no_line_and_long_ones_are_folded() -> None:
    evil = 'Court\r\nATTENDEE:mailto:eve@example.com\x00; "x", \\ ' + "ü" * 200
    context = {**sample_of("booking_confirmed"), "title": evil, "venue_name": evil}

    text = write_calendar("PUBLISH", context, AT)

    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert not any(line.startswith("ATTENDEE") for line in unfold(text))
    summary = read(text)["SUMMARY"]
    assert summary.startswith(r'Court\nATTENDEE:mailto:eve@example.com \; "x"\, \\ ü')
    assert "\x00" not in text


def test_what_the_version_before_queued_goes_out_without_a_file() -> None:
    old = sample_of("booking_confirmed")
    del old["booking_id"], old["sequence"]

    assert render("booking_confirmed", old, person="").attachments == ()


def mail_at_resend(message: Notification) -> dict[str, Any]:
    """The whole mail, as Resend has it."""
    message.refresh_from_db()
    address = f"{settings.RESEND_API_URL}/emails/{message.provider_id}"
    headers = {"Authorization": f"Bearer {settings.RESEND_API_KEY}"}
    found: dict[str, Any] = requests.get(address, headers=headers, timeout=5).json()
    return found


@pytest.mark.django_db
def test_resend_gets_the_file_that_was_frozen(
    sandbox: Sandbox,
) -> None:
    message = queue(context=sample_of("booking_confirmed"))

    send()

    (file,) = mail_at_resend(message)["attachments"]
    assert file["filename"] == "booking.ics"
    assert file["content_type"] == "text/calendar; charset=utf-8; method=PUBLISH"
    row = Notification.objects.get(pk=message.pk)
    assert row.rendered["attachments"] == [file]
    written = read(base64.b64decode(file["content"]).decode())
    assert moment(written["DTSTAMP"]) == row.created_at.replace(microsecond=0)


def test_a_booking_tells_which_appointment_it_is() -> None:
    booking = Booking(version=7)

    assert appointment_of(booking) == {
        "booking_id": str(booking.pk),
        "sequence": 7,
    }


@pytest.mark.django_db
def test_a_mail_with_a_file_that_may_have_gone_out_is_the_same_again(
    sandbox: Sandbox, fault: Callable[..., None]
) -> None:
    """Resend refuses another one under that key."""
    message = queue(context=sample_of("booking_confirmed"))
    fault("reset_after_effect")
    send()
    make_due()

    send()

    assert len(mails(sandbox)) == 1
    message.refresh_from_db()
    assert message.status == "SENT"
    assert len(mail_at_resend(message)["attachments"]) == 1
