"""Back office: how every part of this installation is, in words as well as colours."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from recovery import health
from recovery.backoffice import say_duration
from recovery.models import ProviderStatus
from recovery.provider_status import list_statuses
from recovery.vitals import Check, Health
from slotbase.lib.backoffice import BackOfficeAdmin
from slotbase.lib.columns import format_moment, venue_time

WORDS = {
    Health.HEALTHY: ("healthy", "Well"),
    Health.DEGRADED: ("degraded", "In trouble"),
    Health.UNHEALTHY: ("unhealthy", "Down"),
    Health.UNKNOWN: ("unseen", "Not known"),
    Health.NOT_CONFIGURED: ("unseen", "Not set up"),
}
BREAKERS = {
    "closed": "Calls are made",
    "open": "Calls are held back",
    "half_open": "The next call is a trial",
}


@admin.register(ProviderStatus)
class HealthAdmin(BackOfficeAdmin[ProviderStatus]):
    """Every part above, the calls of providers below it."""

    change_list_template = "admin/health.html"
    list_display = (
        *("provider", "calls", "succeeded", "failed"),
        *("last_code", "recent_calls"),
    )
    sortable_by = ()
    ordering = ("provider",)
    fieldsets = (
        (
            "Provider",
            {"fields": ("provider", "calls", "since", "succeeded", "failed")},
        ),
        ("Lately", {"fields": ("last_code", "recent_calls", "counted")}),
    )
    succeeded = venue_time("last_success_at", "last success")
    failed = venue_time("last_failure_at", "last failure")
    since = venue_time("open_since", "held back since")
    counted = venue_time("counted_since", "counted since")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With how every part is."""
        seen = health.read()
        context = {
            **(extra_context or {}),
            "title": "Health",
            "parts": [_row(check) for check in seen.checks],
            "overall": say_health(seen.status),
            "seen_at": format_moment(seen.at, self.zone_of(ProviderStatus())),
        }
        return super().changelist_view(request, context)

    @admin.display(description="calls")
    def calls(self, row: ProviderStatus) -> str:
        """What its breaker does, in plain words."""
        by_name = {each.provider: each.breaker for each in list_statuses()}
        return BREAKERS[by_name[row.provider]]

    @admin.display(description="lately")
    def recent_calls(self, row: ProviderStatus) -> str:
        """How many calls went well and badly in the last minutes."""
        return f"{row.successes} went well, {row.failures} failed"


def say_health(status: Health) -> SafeString:
    """A badge: the colour, and the same in words."""
    colour, words = WORDS[status]
    return format_html('<span class="badge badge-{}">{}</span>', colour, words)


def _row(check: Check) -> dict[str, Any]:
    return {
        "name": check.name.replace("_", " ").capitalize(),
        "state": say_health(check.status),
        "says": check.says,
        "measured": ", ".join(_measured(check)),
    }


def _measured(check: Check) -> list[str]:
    """What there is to know besides, in words."""
    found = check.details
    words = []
    if found.get("count"):
        words.append(f"{found['count']} in all")
    if (age := found.get("age_seconds")) is not None:
        what = "the oldest for" if "count" in found else "last heard of"
        ago = "" if "count" in found else " ago"
        words.append(f"{what} {say_duration(timedelta(seconds=age))}{ago}")
    if breaker := found.get("breaker"):
        words.append(BREAKERS[breaker].lower())
    if "latency_ms" in found:
        words.append(f"within {found['latency_ms']} ms")
    return words
