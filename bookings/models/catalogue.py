"""What can be booked, when, and on which terms."""

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from bookings.hours import Interval, SpecialDay, closed_intervals
from bookings.states import ExceptionKind, PaymentMode, ResourceKind
from slotbase.accounts.models import User, Venue


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

    @property
    def closed_time(self) -> Interval | None:
        """From when to when it is closed; None if it has other hours only."""
        day = SpecialDay(
            self.date, self.kind, self.opens, self.closes, bool(self.resource_id)
        )
        return next(iter(closed_intervals(self.venue.zone, [day])), None)
