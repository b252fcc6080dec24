"""A row behind every address of the product, all of one venue and one customer."""

from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from bookings.models import Booking, CancellationPolicy, DateException
from notifications import tokens
from notifications.kinds import Topic
from notifications.states import Channel
from payments.models import Reconciliation
from recovery import approvals, dead_letters, heartbeats, lookout, provider_status
from recovery.approvals import Proposal
from recovery.work import work_of
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import read_clock
from tests.bookings.sessions import make_feedback_rows
from tests.factories import (
    make_booking,
    make_customer,
    make_entry,
    make_priced_resource,
    make_resource,
    make_staff,
    make_venue,
)
from tests.notifications.conftest import make_device, queue, suppress
from tests.payments.told import make_some_of_each
from tests.recovery.trouble import fail_delivery, fail_webhook
from tests.workflow import Script, registered, start


def make_rows(settings: Any) -> tuple[Venue, User]:
    """All of them; returns the venue and the customer whose they are."""
    settings.ALERT_WEBHOOK_URL = "https://ops.example.com/"
    venue = make_venue()
    alice = make_customer(email="alice@example.com", phone="+4930123456")
    court = make_priced_resource("AT_VENUE", venue=venue)
    booking = make_booking(customer=alice, resource=court)
    make_entry(resource=make_resource(venue=venue), customer=alice)
    make_device(alice)
    suppress(alice)
    queue(alice, venue_id=venue.pk)
    # Alice coaches as well: what she wrote is hers.
    make_feedback_rows(venue, coach=alice)
    CancellationPolicy.objects.create(venue=venue, name="Until the day before")
    DateException.objects.create(venue=venue, date=date(2030, 1, 1), kind="CLOSED")
    make_some_of_each(venue, make_staff(), customer=alice)
    proposal = Proposal(
        *("refund", "Give it back", "booking", str(booking.pk)), venue_id=venue.pk
    )
    approvals.propose(proposal, staff_id=make_staff().pk, reason="It broke.")
    _make_trouble()
    assert booking.resource.venue == venue
    return venue, alice


def _make_trouble() -> None:
    minutely = IntervalSchedule.objects.create(every=60, period="seconds")
    PeriodicTask.objects.create(name="sweep", task="x.sweep", interval=minutely)
    fail_webhook()
    fail_delivery()
    dead_letters.record_failure(work_of("bookings.expire_holds"), ValueError())
    _compare()
    with registered(Script()):
        start()
    heartbeats.record_heartbeat("worker@host default")
    provider_status.write({"stripe": provider_status.Tally()})
    lookout.look()


def _compare() -> None:
    began = read_clock() - timedelta(days=1)
    Reconciliation.objects.get_or_create(name="payments")
    _page("reconciledday").objects.create(
        name="payments", day=date(2030, 1, 1), currency="EUR", began_at=began
    )


def _page(name: str) -> Any:
    return next(m for m in admin.site._registry if m._meta.model_name == name)


def first_of(app_label: str, model_name: str, alice: User) -> Any:
    """The key of the row that an address of the back office is filled in with."""
    if model_name == "user":
        return alice.pk
    rows = _page(model_name).objects.order_by("pk")
    assert rows, f"make a row of {app_label}.{model_name} in make_rows"
    return rows[0].pk


def values_of_api(alice: User) -> dict[str, Any]:
    """What stands in addresses outside the back office, by its name there."""
    booking = Booking.objects.get(customer=alice)
    about = tokens.Subscription(alice.pk, Topic.REMINDERS, Channel.EMAIL)
    return {
        "resource_id": booking.resource_id,
        "hold_id": booking.hold_id,
        "booking_id": booking.pk,
        "session_id": alice.feedback_written.get().booking_id,
        "entry_id": alice.waitlist.get().pk,
        "device_id": alice.push_devices.get().pk,
        "provider": "stripe",
        "token": tokens.sign(about),
    }


def values_at(address: str, values: dict[str, Any]) -> dict[str, Any]:
    """What stands in this address: feedback is of a session, which has begun."""
    if "/feedback/" not in address:
        return values
    return {**values, "booking_id": values["session_id"]}
