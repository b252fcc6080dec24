"""Whoever has many devices books and cancels with as many statements as with one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bookings.models import Booking
from bookings.services.bookings import confirm_hold
from bookings.services.cancelling import cancel_booking
from notifications.models import Notification
from recovery.models import AuditEntry
from tests.bookings.messages import make_device, pushes
from tests.bookings.test_reminders import later
from tests.factories import make_customer, make_hold, make_resource

pytestmark = pytest.mark.django_db

MANY = 7


def statements_of(action: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        action()
    return len(captured)


def book_and_cancel(devices: int) -> tuple[int, int]:
    """How many statements each of both takes."""
    alice, resource = make_customer(), make_resource()
    for _ in range(devices):
        make_device(alice)
    hold = make_hold(customer=alice, resource=resource, start=later())
    mine = {"customer_id": alice.pk}
    confirmed = statements_of(partial(confirm_hold, hold_id=hold.pk, **mine))
    booking = Booking.objects.get(hold=hold)
    cancelled = statements_of(partial(cancel_booking, booking_id=booking.pk, **mine))
    return confirmed, cancelled


def test_it_takes_as_many_statements_for_many_devices_as_for_one() -> None:
    few = book_and_cancel(1)

    assert book_and_cancel(MANY) == few


def test_each_push_has_its_history_all_the_same() -> None:
    book_and_cancel(MANY)

    told = Notification.objects.values_list("pk", flat=True)
    history = AuditEntry.objects.filter(subject_type="notification")
    queued = history.filter(action="notification.queued", to_state="PENDING")
    withdrawn = history.filter(action="notification.cancelled", from_state="PENDING")

    assert {each.subject_id for each in queued} == {str(pk) for pk in told}
    # To book and to be reminded, to one mail and each device.
    assert withdrawn.count() == 2 * (1 + MANY)
    assert len(pushes("booking_cancelled")) == MANY
