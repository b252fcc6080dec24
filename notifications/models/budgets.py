"""How fast a provider may be called."""

from django.db import models

from slotbase.lib.clock import DatabaseNow


class SendBudget(models.Model):
    """One row for each provider, shared by all workers: when its next call is free.

    The generic cell rate algorithm: each call moves `next_at` on by the time that one
    call is worth, and a burst may run so far ahead of the clock. Until `paused_until`
    there is no call at all: the provider said that a quota is used up.
    """

    provider = models.CharField(max_length=16, primary_key=True)
    next_at = models.DateTimeField(db_default=DatabaseNow())
    paused_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.provider
