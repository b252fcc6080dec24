"""What can be booked, who occupies it, and the bookings."""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import (
    ArrayField,
    DateTimeRangeField,
    RangeOperators,
)
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Func, Q, Value

from bookings.hours import Interval
from bookings.states import (
    BookingStatus,
    ExceptionKind,
    HoldSource,
    HoldStatus,
    PaymentMode,
    ResourceKind,
)
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class CancellationPolicy(models.Model):
    """What a venue keeps of a price when a booking is cancelled: tiers by time."""

    venue = models.ForeignKey(Venue, models.PROTECT, related_name="policies")
    name = models.CharField(max_length=200)

    class Meta:
        verbose_name_plural = "cancellation policies"
        ordering = ("venue", "name")
        constraints = (
            models.UniqueConstraint(
                fields=["venue", "name"], name="bookings_policy_name"
            ),
        )

    def __str__(self) -> str:
        return self.name


class CancellationTier(models.Model):
    """Up to so many hours before the start, this much is kept."""

    policy = models.ForeignKey(CancellationPolicy, models.CASCADE, related_name="tiers")
    hours_before = models.PositiveSmallIntegerField(
        help_text="Up to so many hours before the start. After the last tier, and"
        " until the start, all of the price is kept."
    )
    keep_percent = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(100)]
    )
    keep_minor = models.PositiveIntegerField(
        default=0, help_text="A flat fee on top, in minor units (cents)."
    )

    class Meta:
        ordering = ("policy", "-hours_before")
        constraints = (
            models.UniqueConstraint(
                fields=["policy", "hours_before"], name="bookings_tier_once"
            ),
            models.CheckConstraint(
                condition=Q(keep_percent__lte=100), name="bookings_tier_percent"
            ),
        )

    def __str__(self) -> str:
        return f"{self.hours_before} h before"

    def as_term(self) -> dict[str, int]:
        """As it is copied into a booking (`bookings.terms.Tier`)."""
        return {
            "hours_before": self.hours_before,
            "keep_percent": self.keep_percent,
            "keep_minor": self.keep_minor,
        }


class Resource(models.Model):
    """A court, coach, room or class of a venue that is sold by the slot."""

    venue = models.ForeignKey(Venue, models.PROTECT, related_name="resources")
    slug = models.SlugField()
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=ResourceKind)
    coach = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="coached_resources"
    )
    step_minutes = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(5)],
        help_text="Slots start on this grid, counted from the opening, "
        "and last a multiple of it.",
    )
    min_minutes = models.PositiveSmallIntegerField(default=30)
    max_minutes = models.PositiveSmallIntegerField(default=120)
    buffer_before_minutes = models.PositiveSmallIntegerField(default=0)
    buffer_after_minutes = models.PositiveSmallIntegerField(default=0)
    notice_minutes = models.PositiveIntegerField(
        default=0, help_text="How long before its start a slot can be booked at last."
    )
    horizon_days = models.PositiveSmallIntegerField(
        default=60, help_text="How far ahead slots can be booked."
    )
    price_minor = models.PositiveIntegerField(
        default=0, help_text="Price of one step of one unit, in minor units (cents)."
    )
    tax_rate = models.DecimalField(max_digits=5, decimal_places=2, default=0)
    payment_mode = models.CharField(
        max_length=10, choices=PaymentMode, default=PaymentMode.FREE
    )
    cancellation_policy = models.ForeignKey(
        CancellationPolicy,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="resources",
        help_text="Empty: nothing is kept until the start.",
    )
    requires_check_in = models.BooleanField(default=False)
    is_bookable = models.BooleanField(default=True)

    class Meta:
        ordering = ("venue", "name")
        constraints = (
            models.UniqueConstraint(
                fields=["venue", "slug"], name="bookings_resource_slug"
            ),
            models.CheckConstraint(
                condition=Q(step_minutes__gte=5)
                & Q(min_minutes__gte=F("step_minutes"))
                & Q(max_minutes__gte=F("min_minutes")),
                name="bookings_resource_lengths",
            ),
            models.CheckConstraint(
                condition=~Q(payment_mode=PaymentMode.FREE) | Q(price_minor=0),
                name="bookings_resource_free_costs_nothing",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=ResourceKind.values)
                & Q(payment_mode__in=PaymentMode.values),
                name="bookings_resource_choices",
            ),
        )

    def __str__(self) -> str:
        return self.name


class ResourceUnit(models.Model):
    """One bookable place of a resource. Capacity is the number of live units."""

    resource = models.ForeignKey(Resource, models.PROTECT, related_name="units")
    number = models.PositiveSmallIntegerField()
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("resource", "number")
        constraints = (
            models.UniqueConstraint(
                fields=["resource", "number"], name="bookings_unit_number"
            ),
            models.CheckConstraint(
                condition=Q(number__gte=1), name="bookings_unit_from_one"
            ),
        )

    def __str__(self) -> str:
        return f"{self.resource} #{self.number}"


class OpeningHours(models.Model):
    """Weekly local hours; closing at or before the opening is on the next day."""

    WEEKDAYS: ClassVar = [
        (0, "Monday"),
        (1, "Tuesday"),
        (2, "Wednesday"),
        (3, "Thursday"),
        (4, "Friday"),
        (5, "Saturday"),
        (6, "Sunday"),
    ]
    resource = models.ForeignKey(Resource, models.CASCADE, related_name="opening_hours")
    weekday = models.PositiveSmallIntegerField(choices=WEEKDAYS)
    opens = models.TimeField()
    closes = models.TimeField()

    class Meta:
        verbose_name_plural = "opening hours"
        ordering = ("resource", "weekday", "opens")
        constraints = (
            models.CheckConstraint(
                condition=Q(weekday__lte=6), name="bookings_hours_weekday"
            ),
            models.UniqueConstraint(
                fields=["resource", "weekday", "opens"], name="bookings_hours_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_weekday_display()} {self.opens:%H:%M}-{self.closes:%H:%M}"


class DateException(models.Model):
    """A special day: other hours, or closed for a part of it or all of it."""

    venue = models.ForeignKey(Venue, models.PROTECT, related_name="date_exceptions")
    resource = models.ForeignKey(
        Resource,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="date_exceptions",
        help_text="Empty: the whole venue.",
    )
    date = models.DateField(help_text="In the venue's local time.")
    kind = models.CharField(max_length=10, choices=ExceptionKind)
    opens = models.TimeField(
        null=True, blank=True, verbose_name="from", help_text="Empty: all day."
    )
    closes = models.TimeField(null=True, blank=True, verbose_name="until")
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("-date",)
        indexes = (
            models.Index(fields=["venue", "date"], name="bookings_exception_day"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(kind=ExceptionKind.CLOSED, opens__isnull=True)
                & Q(closes__isnull=True)
                | Q(kind__in=ExceptionKind.values)
                & Q(opens__isnull=False, closes__isnull=False),
                name="bookings_exception_times",
            ),
        )

    def __str__(self) -> str:
        return f"{self.date} {self.kind}"


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
    while it occupies the present or the future. Made by `locks.insert_hold` alone.
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

    def __str__(self) -> str:
        return self.reference

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
