"""Comparing with Stripe: what is compared, what came of it, and what is ours."""

from uuid import uuid4

from django.db import models
from django.db.models import Q

from recovery.models import DueRow
from slotbase.lib.clock import DatabaseNow


class Installation(models.Model):
    """Who we are at Stripe: one row, made once, which a backup brings back.

    Every object that we make there bears its `identity`. One that does and that no row
    knows was made by us and then forgotten: the database was restored.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    identity = models.UUIDField(default=uuid4, editable=False)
    made_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(id=1), name="payments_installation_only_one"
            ),
        )

    def __str__(self) -> str:
        return str(self.identity)


class Reconciliation(DueRow):
    """What is compared with Stripe now and then: one row for each kind of object.

    Objects are compared page by page, each a turn of its own: `began_at` says that it
    is under way, `cursor` how far it came, so whoever dies is taken over midway.
    """

    name = models.CharField(max_length=32, unique=True)
    seen_until = models.DateTimeField(
        null=True, blank=True, help_text="By Stripe's clock."
    )
    # By our clock, when the last comparison began that came to its end.
    read_at = models.DateTimeField(null=True, blank=True)
    # When a person asked for one.
    asked_at = models.DateTimeField(null=True, blank=True)
    began_at = models.DateTimeField(null=True, blank=True)
    window_from = models.DateTimeField(
        null=True, blank=True, help_text="By Stripe's clock."
    )
    cursor = models.CharField(max_length=255, blank=True, db_default="")

    class Meta(DueRow.Meta):
        indexes = (
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="payments_reconciliation_due",
            ),
        )
        constraints = (*DueRow.due_constraints("payments_reconciliation"),)

    def __str__(self) -> str:
        return self.name

    @property
    def says(self) -> str:
        """How it stands, in words."""
        if self.began_at is not None:
            return f"under way since {self.began_at:%Y-%m-%d %H:%MZ}"
        if self.last_error:
            return f"failed: {self.last_error}"
        if self.read_at is None:
            return "not compared yet"
        return f"compared as of {self.read_at:%Y-%m-%d %H:%MZ}"


class ReconciledDay(models.Model):
    """The sums of one day and currency, ours beside Stripe's, as last compared."""

    name = models.CharField(max_length=32)
    day = models.DateField(help_text="UTC, when Stripe made it.")
    currency = models.CharField(max_length=3)
    ours_minor = models.BigIntegerField(default=0)
    stripe_minor = models.BigIntegerField(default=0)
    objects_seen = models.PositiveIntegerField(default=0)
    # The comparison that counted them: another one counts anew.
    began_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["name", "day", "currency"], name="payments_reconciledday_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} of {self.day}, {self.currency}"

    @property
    def difference_minor(self) -> int:
        """What Stripe has more than we."""
        return self.stripe_minor - self.ours_minor
