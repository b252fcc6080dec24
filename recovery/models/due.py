"""What all due rows have; `recovery.rowqueue` works on them."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q

from slotbase.lib.clock import DatabaseNow


class DueRow(models.Model):
    """An obligation: something to do at `next_run_at`; `recovery.rowqueue` does it.

    The row is the queue. Whoever works on it has a lease with a token of their own; a
    lease that ran out may be taken over, and `deaths` counts how often that happened.
    """

    MAX_DEATHS: ClassVar = 3  # then no worker is risked until a person has looked

    next_run_at = models.DateTimeField(
        null=True, blank=True, db_default=DatabaseNow(), help_text="Empty: done."
    )
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    deaths = models.PositiveSmallIntegerField(default=0, db_default=0)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=200, blank=True, db_default="")

    class Meta:
        abstract = True

    @classmethod
    def rows(cls) -> models.QuerySet[Self]:
        """All rows of the table."""
        return cls._default_manager.all()

    @classmethod
    def table(cls) -> str:
        """The name of the table in SQL."""
        return cls._meta.db_table

    @classmethod
    def subject(cls) -> str:
        """What the audit and cases call such a row."""
        return cls.__name__.lower()

    @staticmethod
    def due_constraints(name: str) -> tuple[models.CheckConstraint, ...]:
        """For `constraints` of a due table: a lease has both of its halves."""
        halves = Q(lease_until__isnull=True, lease_token__isnull=True) | Q(
            lease_until__isnull=False, lease_token__isnull=False
        )
        return (models.CheckConstraint(condition=halves, name=f"{name}_lease"),)
