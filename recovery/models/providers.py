"""How each provider is, as calls of all processes found it."""

from django.db import models


class ProviderStatus(models.Model):
    """What came of the latest calls of one provider; `recovery.provider_status` writes.

    A breaker belongs to a process: `open_until` is the latest that one has said.
    """

    provider = models.CharField(max_length=32, primary_key=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_failure_at = models.DateTimeField(null=True, blank=True)
    last_code = models.CharField("last failure", max_length=64, blank=True)
    open_since = models.DateTimeField(null=True, blank=True)
    open_until = models.DateTimeField(null=True, blank=True)
    counted_since = models.DateTimeField()
    successes = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = "provider"
        # Its page shows all of it, the providers last.
        verbose_name_plural = "health"

    def __str__(self) -> str:
        return self.provider
