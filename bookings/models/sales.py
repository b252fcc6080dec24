"""Who occupies what is bookable: holds, their claims, and the bookings."""

from datetime import timedelta
from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import (
    ArrayField,
    DateTimeRangeField,
    RangeOperators,
)
from django.db import models
from django.db.models import F, Func, Q, Value

from bookings.hours import Interval
from bookings.models.catalogue import DateException, Resource, ResourceUnit
from bookings.states import BookingStatus, HoldSource, HoldStatus
from slotbase.accounts.models import User
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class BookingHold(models.Model):
    """A slot kept for one customer for some minutes, and the terms of its offer."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    resource = models.ForeignKey(
        Resource, models.PROTECT, related_name="holds", db_index=False
    )
    customer = models.ForeignKey(User, models.PROTECT, related_name="holds")
    start_time = models.DateTimeField()
    end_time = models.DateTimeField()
    buffer_before_minutes = models.PositiveSmallIntegerField(default=0)
    buffer_after_minutes = models.PositiveSmallIntegerField(default=0)
    units = ArrayField(models.PositiveSmallIntegerField())
    status = models.CharField(
        max_length=10, choices=HoldStatus, default=HoldStatus.ACTIVE
    )
    source = models.CharField(
        max_length=12, choices=HoldSource, default=HoldSource.CUSTOMER
    )
    moves = models.ForeignKey(
        "Booking",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="move_holds",
        db_index=False,
    )
    price_minor = models.PositiveIntegerField(default=0)
    currency = models.CharField(max_length=3)
    payable = models.ForeignKey(
        "payments.Payable",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="holds",
        help_text="Once money is meant.",
    )
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    expires_at = models.DateTimeField()
    grace_given_at = models.DateTimeField(
        null=True, blank=True, help_text="It lasts longer, once, for its payment."
    )
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(
                fields=["expires_at"],
                condition=Q(status=HoldStatus.ACTIVE),
                name="bookings_hold_due",
            ),
            models.Index(
                fields=["customer", "expires_at"],
                condition=Q(status=HoldStatus.ACTIVE),
                name="bookings_hold_of_customer",
            ),
            models.Index(
                fields=["released_at"],
                condition=Q(status__in=[HoldStatus.EXPIRED, HoldStatus.RELEASED]),
                name="bookings_hold_to_purge",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=HoldStatus.values)
                & Q(source__in=HoldSource.values),
                name="bookings_hold_choices",
            ),
            models.CheckConstraint(
                condition=Q(end_time__gt=F("start_time")), name="bookings_hold_length"
            ),
            models.CheckConstraint(
                condition=Q(units__len__gte=1), name="bookings_hold_has_units"
            ),
            models.CheckConstraint(
                condition=Q(released_at__isnull=False)
                & Q(status__in=[HoldStatus.EXPIRED, HoldStatus.RELEASED])
                | Q(released_at__isnull=True)
                & Q(status__in=[HoldStatus.ACTIVE, HoldStatus.CONFIRMED]),
                name="bookings_hold_released_at",
            ),
        )

    def __str__(self) -> str:
        local = self.start_time.astimezone(self.resource.venue.zone)
        return f"{self.resource} {local:%Y-%m-%d %H:%M %Z}"

    def facts(self) -> dict[str, Any]:
        """What events tell of it."""
        return {**_facts_of_sale(self), "source": self.source}

    @property
    def occupied(self) -> Interval:
        """What it takes of the calendar: its slot and the buffers of its time."""
        return Interval(
            self.start_time - timedelta(minutes=self.buffer_before_minutes),
            self.end_time + timedelta(minutes=self.buffer_after_minutes),
        )


class SlotClaim(models.Model):
    """Who occupies a unit when, buffers included: the one guard against double booking.

    It belongs to its hold (confirmed or not) or to a closure for life, and exists only
    while it occupies the present or the future. Made in `bookings/locks.py` alone.
    """

    unit = models.ForeignKey(
        ResourceUnit, models.PROTECT, related_name="claims", db_index=False
    )
    during = DateTimeRangeField()
    hold = models.ForeignKey(
        BookingHold, models.CASCADE, null=True, related_name="claims"
    )
    closure = models.ForeignKey(
        DateException,
        models.CASCADE,
        null=True,
        related_name="claims",
        db_index=False,
    )

    class Meta:
        constraints = (
            # No btree_gist is needed: the unit is a range of one number (ADR 0004).
            ExclusionConstraint(
                name="bookings_slotclaim_no_overlap",
                expressions=[
                    (
                        Func("unit", "unit", Value("[]"), function="int8range"),
                        RangeOperators.OVERLAPS,
                    ),
                    ("during", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(
                condition=Q(hold__isnull=False, closure__isnull=True)
                | Q(hold__isnull=True, closure__isnull=False),
                name="bookings_slotclaim_one_owner",
            ),
            models.CheckConstraint(
                condition=Q(during__isempty=False)
                & Q(during__startswith__isnull=False)
                & Q(during__endswith__isnull=False),
                name="bookings_slotclaim_not_empty",
            ),
        )
        indexes = (
            models.Index(
                fields=["closure"],
                condition=Q(closure__isnull=False),
                name="bookings_claim_of_closure",
            ),
        )

    def __str__(self) -> str:
        return f"{self.unit} {self.during}"


class Booking(models.Model):
    """A sold slot."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    reference = models.CharField(max_length=12, unique=True, editable=False)
    hold = models.OneToOneField(BookingHold, models.PROTECT, related_name="booking")
    resource = models.ForeignKey(
        Resource, models.PROTECT, related_name="bookings", db_index=False
    )
    customer = models.ForeignKey(
        User, models.PROTECT, related_name="bookings", db_index=False
    )
    start_time = models.DateTimeField()
    end_time = models.DateTimeField()
    units = ArrayField(models.PositiveSmallIntegerField())
    status = models.CharField(
        max_length=10, choices=BookingStatus, default=BookingStatus.CONFIRMED
    )
    price_minor = models.PositiveIntegerField(default=0)
    currency = models.CharField(max_length=3)
    payable = models.OneToOneField(
        "payments.Payable",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="booking",
    )
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+"
    )
    # As they were when it was booked (`bookings.terms`).
    cancellation_terms = models.JSONField(default=list, db_default=[])
    cancel_reason = models.CharField(max_length=500, blank=True)
    restored_from = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+"
    )
    local_start = models.CharField(
        max_length=16,
        blank=True,
        default="",
        db_default="",
        help_text="The local time at which it was sold to start.",
    )
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(
                fields=["customer", "-id"], name="bookings_booking_of_customer"
            ),
            models.Index(
                fields=["resource", "start_time"], name="bookings_booking_day"
            ),
            models.Index(
                fields=["end_time"],
                condition=Q(
                    status__in=[BookingStatus.CONFIRMED, BookingStatus.CHECKED_IN]
                ),
                name="bookings_booking_ending",
            ),
            models.Index(
                fields=["id"],
                condition=Q(status=BookingStatus.CANCELLING),
                name="bookings_booking_cancelling",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=BookingStatus.values),
                name="bookings_booking_choices",
            ),
            models.CheckConstraint(
                condition=Q(end_time__gt=F("start_time")),
                name="bookings_booking_length",
            ),
            models.CheckConstraint(
                condition=Q(status=BookingStatus.CANCELLED, cancelled_at__isnull=False)
                | ~Q(status=BookingStatus.CANCELLED) & Q(cancelled_at__isnull=True),
                name="bookings_booking_cancelled_at",
            ),
        )
        permissions = (
            ("move_booking", "Can move bookings"),
            ("cancel_in_full", "Can cancel bookings of which all money goes back"),
        )

    def __str__(self) -> str:
        return self.reference

    @property
    def slot(self) -> Interval:
        """Its time without buffers."""
        return Interval(self.start_time, self.end_time)

    def facts(self) -> dict[str, Any]:
        """What events tell of it."""
        return {**_facts_of_sale(self), "hold": str(self.hold_id)}


def _facts_of_sale(sale: BookingHold | Booking) -> dict[str, Any]:
    return {
        "resource": sale.resource_id,
        "start_time": sale.start_time.isoformat(),
        "end_time": sale.end_time.isoformat(),
        "units": [*sale.units],
        "price_minor": sale.price_minor,
        "currency": sale.currency,
    }
