"""One view per command; reads are lists and details. All logic is in services."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, cast
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bookings import queries
from bookings.api import schema
from bookings.api import serializers as shapes
from bookings.errors import PaymentUndecided, SlotUnavailable
from bookings.hours import Interval, to_instant
from bookings.rules import MINUTE, Rules, Wanted, check_slot, get_rules, read_rules
from bookings.services import cancelling, holds, paying, waitlist
from bookings.services.bookings import PAY_ONLINE
from bookings.states import BookingStatus
from payments.queries import get_latest_card_payment
from recovery.api.idempotent import answer_once, read_key
from slotbase.accounts.errors import TokenExpired
from slotbase.accounts.models import User
from slotbase.accounts.tokens import Needs
from slotbase.lib.api.inputs import read
from slotbase.lib.api.pagination import NewestFirst
from slotbase.lib.api.throttles import HoldThrottle
from slotbase.lib.errors import DomainError, ValidationFailed

WAITLIST_URL = "/api/v1/waitlist/"


# What tokens have to be while Clerk is away; without a word of it: alive (ADR 0038).
OWN_OBJECTS = {"GET": Needs.GRACE}
MONEY = {"POST": Needs.FRESH}


def customer_of(request: Request) -> UUID:
    """The id of the signed-in customer."""
    return cast(User, request.user).pk


class ListView(APIView):
    """A page of objects, newest first."""

    def objects(self, request: Request) -> QuerySet[Any]:
        """What is listed."""
        raise NotImplementedError

    def show(self, each: Any) -> dict[str, Any]:
        """How one of them looks."""
        raise NotImplementedError

    def get(self, request: Request) -> Response:
        """Answer with `results`, `next` and `previous`."""
        paginator = NewestFirst()
        page = paginator.paginate_queryset(self.objects(request), request, self)
        return paginator.get_paginated_response(
            [self.show(each) for each in page or []]
        )


@schema.list_venues
class VenueListView(ListView):
    """Venues (public)."""

    permission_classes = (AllowAny,)

    def objects(self, request: Request) -> QuerySet[Any]:  # noqa: ARG002 - same for all
        """All of them."""
        return queries.list_venues()

    def show(self, each: Any) -> dict[str, Any]:
        """As in the catalogue."""
        return shapes.show_venue(each)


@schema.list_resources
class ResourceListView(ListView):
    """Resources (public)."""

    permission_classes = (AllowAny,)

    def objects(self, request: Request) -> QuerySet[Any]:  # noqa: ARG002 - same for all
        """All that can be booked."""
        return queries.list_resources()

    def show(self, each: Any) -> dict[str, Any]:
        """As in the catalogue."""
        return shapes.show_resource(each, each.capacity)


@schema.get_resource
class ResourceView(APIView):
    """One resource (public)."""

    permission_classes = (AllowAny,)

    def get(self, _: Request, resource_id: int) -> Response:
        """Answer with the resource."""
        resource, capacity = queries.get_resource(resource_id)
        return Response(shapes.show_resource(resource, capacity))


@schema.list_free_slots
class AvailabilityView(APIView):
    """Free slots of a resource (public)."""

    permission_classes = (AllowAny,)

    def get(self, request: Request, resource_id: int) -> Response:
        """Answer with slots that can be held now."""
        wish = read(shapes.AvailabilityInput, request.query_params)
        first, last = wish["from"].date(), wish["to"].date()
        if last - first > timedelta(days=settings.MAX_AVAILABILITY_DAYS + 1):
            raise _too_long()
        rules = get_rules(resource_id, first=first, last=last)
        window = _window(rules, wish)
        length = MINUTE * wish["duration"] if "duration" in wish else rules.shortest
        if problem := rules.length_problem(length):
            raise ValidationFailed(duration=problem)
        slots = queries.list_free_slots(
            rules, window, length=length, units=wish["units"]
        )
        return Response(
            {
                "resource": resource_id,
                "time_zone": rules.zone.key,
                "slots": [shapes.show_slot(s, rules, wish["units"]) for s in slots],
            }
        )


def _window(rules: Rules, wish: dict[str, datetime]) -> Interval:
    start = to_instant(wish["from"], rules.zone, field="from")
    end = to_instant(wish["to"], rules.zone, field="to")
    if start >= end:
        raise ValidationFailed(to="Must be after from.")
    if end - start > timedelta(days=settings.MAX_AVAILABILITY_DAYS):
        raise _too_long()
    return Interval(start, end)


def _too_long() -> ValidationFailed:
    days = settings.MAX_AVAILABILITY_DAYS
    return ValidationFailed(to=f"Ask for {days} days at most.")


@schema.create_hold
class HoldListView(APIView):
    """Hold a slot."""

    throttle_classes = (HoldThrottle,)

    def post(self, request: Request) -> Response:
        """201 a new hold, 200 the customer's identical one, 409 it is taken."""
        once = read_key(request, required=True)
        values = read(shapes.HoldInput, request.data)
        wanted = Wanted(resource_id=values.pop("resource"), **values)
        customer_id = customer_of(request)

        def do() -> tuple[int, Any]:
            held = holds.create_hold(customer_id=customer_id, wanted=wanted, once=once)
            body = shapes.show_hold(held.hold, held.time_zone)
            return 201 if held.is_new else 200, body

        try:
            return answer_once(do, lambda hold_id: _hold_body(hold_id, customer_id))
        except SlotUnavailable as error:
            error.extra["alternatives"] = _alternatives(wanted)
            error.extra["waitlist_url"] = WAITLIST_URL
            raise


def _hold_body(hold_id: UUID, customer_id: UUID) -> dict[str, Any]:
    hold = queries.get_hold(hold_id, customer_id=customer_id)
    return shapes.show_hold(hold, hold.resource.venue.time_zone)


def _alternatives(wanted: Wanted) -> list[dict[str, Any]]:
    """Up to three free slots near the wanted one, read after the transaction."""
    try:
        rules = read_rules(wanted)
        slot = check_slot(rules, wanted)
    except DomainError:  # the calendar changed since; the slot is taken all the same
        return []
    return [
        shapes.show_slot(each, rules, wanted.units)
        for each in queries.list_alternatives(rules, slot, units=wanted.units)
    ]


@schema.hold
class HoldView(APIView):
    """Look at a hold, or release it."""

    token_needs = OWN_OBJECTS

    def get(self, request: Request, hold_id: UUID) -> Response:
        """Answer with the hold."""
        return Response(_hold_body(hold_id, customer_of(request)))

    def delete(self, request: Request, hold_id: UUID) -> Response:
        """Give the slot back; 204, also the second time."""
        holds.release_hold(hold_id=hold_id, customer_id=customer_of(request))
        return Response(status=204)


@schema.start_payment
class HoldPaymentView(APIView):
    """Pay for a hold by card."""

    token_needs = MONEY

    def post(self, request: Request, hold_id: UUID) -> Response:
        """201 the customer can pay, 202 soon."""
        once = read_key(request, required=True)
        read(shapes.NothingInput, request.data)
        customer_id = customer_of(request)

        def show(hold_id: UUID) -> dict[str, Any]:
            hold = queries.get_hold(hold_id, customer_id=customer_id)
            return shapes.show_payment(
                get_latest_card_payment(hold.payable_id), hold_id
            )

        def do() -> tuple[int, Any]:
            started = paying.start_payment(
                hold_id=hold_id, customer_id=customer_id, once=once
            )
            body = shapes.show_payment(started.payment, hold_id)
            return 201 if started.is_ready else 202, body

        return answer_once(do, show)


@schema.confirm_hold
class HoldConfirmView(APIView):
    """Turn a hold into a booking."""

    token_needs: ClassVar = {"POST": Needs.GRACE}

    def post(self, request: Request, hold_id: UUID) -> Response:
        """201 a new booking, 200 the one there is, 202 it comes with the payment."""
        once = read_key(request)
        values = read(shapes.ConfirmInput, request.data)
        customer_id = customer_of(request)
        if getattr(request.auth, "is_late", False):
            _require_payment(hold_id, customer_id)
            values["pay"] = PAY_ONLINE

        def do() -> tuple[int, Any]:
            try:
                booking, is_new = paying.confirm_paid_hold(
                    hold_id=hold_id, customer_id=customer_id, once=once, **values
                )
            except PaymentUndecided:
                return 202, shapes.show_processing(hold_id)
            booking = queries.get_booking(booking.pk, customer_id=customer_id)
            return 201 if is_new else 200, shapes.show_booking(booking)

        return answer_once(do, lambda id_: _booking_body(id_, customer_id))


def _require_payment(hold_id: UUID, customer_id: UUID) -> None:
    """With an expired token only what a card pays for is confirmed (ADR 0038)."""
    hold = queries.get_hold(hold_id, customer_id=customer_id)
    if hold.payable_id is None or get_latest_card_payment(hold.payable_id) is None:
        raise TokenExpired


def _booking_body(booking_id: UUID, customer_id: UUID) -> dict[str, Any]:
    booking = queries.get_booking(booking_id, customer_id=customer_id)
    return shapes.show_booking(booking)


@schema.list_bookings
class BookingListView(ListView):
    """The customer's bookings."""

    token_needs = OWN_OBJECTS

    def objects(self, request: Request) -> QuerySet[Any]:
        """Their own only."""
        return queries.list_bookings(customer_of(request))

    def show(self, each: Any) -> dict[str, Any]:
        """As its customer sees it."""
        return shapes.show_booking(each)


@schema.get_booking
class BookingView(APIView):
    """One booking of the customer."""

    token_needs = OWN_OBJECTS

    def get(self, request: Request, booking_id: UUID) -> Response:
        """Answer with the booking."""
        return Response(_booking_body(booking_id, customer_of(request)))


@schema.get_history
class BookingHistoryView(APIView):
    """What happened to a booking."""

    token_needs = OWN_OBJECTS

    def get(self, request: Request, booking_id: UUID) -> Response:
        """Answer with its audit entries, the first one first."""
        booking = queries.get_booking(booking_id, customer_id=customer_of(request))
        entries = queries.list_history(booking)
        return Response({"results": [shapes.show_audit_entry(e) for e in entries]})


@schema.quote_cancellation
class CancellationQuoteView(APIView):
    """What it would cost to cancel a booking."""

    token_needs = OWN_OBJECTS

    def get(self, request: Request, booking_id: UUID) -> Response:
        """Answer with the fee and what would go back, as of now."""
        booking = queries.get_booking(booking_id, customer_id=customer_of(request))
        cancelling.require_cancellable(booking)
        quote = queries.quote_cancellation(booking)
        return Response(shapes.show_quote(booking, quote))


@schema.cancel_booking
class BookingCancelView(APIView):
    """Cancel a booking."""

    token_needs = MONEY

    def post(self, request: Request, booking_id: UUID) -> Response:
        """200 when it is cancelled, 202 when money goes back first."""
        once = read_key(request)
        values = read(shapes.CancelInput, request.data)
        customer_id = customer_of(request)

        def show(booking_id: UUID) -> dict[str, Any]:
            booking = queries.get_booking(booking_id, customer_id=customer_id)
            return shapes.show_cancellation(booking)

        def do() -> tuple[int, Any]:
            booking = cancelling.cancel_booking(
                booking_id=booking_id, customer_id=customer_id, once=once, **values
            )
            is_over = booking.status == BookingStatus.CANCELLED
            return 200 if is_over else 202, show(booking_id)

        return answer_once(do, show)


@schema.waitlist
class WaitlistView(ListView):
    """Where the customer waits; wait for a slot."""

    token_needs = OWN_OBJECTS

    def objects(self, request: Request) -> QuerySet[Any]:
        """Their own open ones only."""
        return queries.list_open_entries(customer_of(request))

    def show(self, each: Any) -> dict[str, Any]:
        """As its customer sees it."""
        return shapes.show_entry(each)

    def get_throttles(self) -> list[Any]:
        """To join may give a slot at once: it counts as a hold."""
        if self.request.method == "POST":
            return [HoldThrottle()]
        return super().get_throttles()

    def post(self, request: Request) -> Response:
        """201 a new entry, 200 the one that the customer has for this slot."""
        once = read_key(request, required=True)
        values = read(shapes.HoldInput, request.data)
        wanted = Wanted(resource_id=values.pop("resource"), **values)
        customer_id = customer_of(request)

        def do() -> tuple[int, Any]:
            entry_id, is_new = waitlist.join_waitlist(
                customer_id=customer_id, wanted=wanted, once=once
            )
            return 201 if is_new else 200, _entry_body(entry_id, customer_id)

        return answer_once(do, lambda entry_id: _entry_body(entry_id, customer_id))


def _entry_body(entry_id: UUID, customer_id: UUID) -> dict[str, Any]:
    return shapes.show_entry(queries.get_entry(entry_id, customer_id=customer_id))


@schema.waitlist_entry
class WaitlistEntryView(APIView):
    """Look at a place in the line, or leave it."""

    token_needs = OWN_OBJECTS

    def get(self, request: Request, entry_id: UUID) -> Response:
        """Answer with the entry."""
        return Response(_entry_body(entry_id, customer_of(request)))

    def delete(self, request: Request, entry_id: UUID) -> Response:
        """Leave; 204, also the second time."""
        waitlist.leave_waitlist(entry_id=entry_id, customer_id=customer_of(request))
        return Response(status=204)


@schema.decline_offer
class WaitlistDeclineView(APIView):
    """Decline an offer."""

    def post(self, request: Request, entry_id: UUID) -> Response:
        """200 the entry, which has ended."""
        once = read_key(request)
        read(shapes.NothingInput, request.data)
        customer_id = customer_of(request)

        def do() -> tuple[int, Any]:
            waitlist.decline_offer(
                entry_id=entry_id, customer_id=customer_id, once=once
            )
            return 200, _entry_body(entry_id, customer_id)

        return answer_once(do, lambda entry_id: _entry_body(entry_id, customer_id))
