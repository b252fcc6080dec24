"""Back office: the audit, and what beat runs."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

# Imported first, so that they are registered and can be taken out again.
from django_celery_beat import admin as stock
from django_celery_beat import models as beat

from recovery.backoffice import AuditedAdmin, names_of_actors, say_action
from recovery.models import AuditEntry
from slotbase.lib.backoffice import BackOfficeAdmin
from slotbase.lib.clock import Now
from slotbase.lib.columns import format_state, venue_time

RECENT = 1000


class LatelyFilter(admin.SimpleListFilter):
    """How long ago it happened."""

    title, parameter_name = "time", "lately"
    SPANS = {
        "hour": ("Past hour", timedelta(hours=1)),
        "day": ("Past 24 hours", timedelta(days=1)),
        "week": ("Past 7 days", timedelta(days=7)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The spans by name."""
        return [(key, name) for key, (name, _) in self.SPANS.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        """Entries of the chosen span."""
        if self.value() not in self.SPANS:
            return queryset
        return queryset.filter(at__gte=Now() - self.SPANS[self.value()][1])


class RecentValuesFilter(admin.FieldListFilter):
    """Offers the values of the newest entries: a DISTINCT over all would take long."""

    def __init__(self, field, request, params, model, model_admin, field_path):
