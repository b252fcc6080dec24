"""Back office: the audit, and what beat runs."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_celery_beat import admin as stock  # noqa: F401 - registers what we replace
from django_celery_beat import models as beat

from recovery.backoffice import (
    HISTORY,
    AuditedAdmin,
    format_move,
    format_request,
    format_subject,
    names_of_actors,
    say_action,
    subjects_with_a_page,
)
from recovery.lists import RecentValuesFilter
from recovery.models import AuditEntry
from slotbase.lib.backoffice import BackOfficeAdmin, CappedPaginator
from slotbase.lib.columns import venue_time


class SubjectFilter(RecentValuesFilter):
    title, parameter_name = "subject", "subject_type"


class ActorFilter(RecentValuesFilter):
    title, parameter_name = "actor", "actor_kind"


class ActionFilter(RecentValuesFilter):
    title, parameter_name = "action", "action"


FILTERED_ENTRIES = 100_000


def _is_filtered(request: HttpRequest) -> bool:
    names = {each.parameter_name for each in (SubjectFilter, ActorFilter, ActionFilter)}
    return bool(names & set(request.GET)) and not request.GET.get("q")


def _newest(condition: Q) -> list[int]:
    entries = AuditEntry.objects.filter(condition).order_by("-id")
    return list(entries.values_list("pk", flat=True)[: CappedPaginator.limit])


class EntriesWithActors(ChangeList):
    """Looks up the names of a page's actors in one query."""

    def get_results(self, request: HttpRequest) -> None:
        """Put `actor_name` on each entry of the page."""
        super().get_results(request)
        names = names_of_actors(self.result_list)
        for entry in self.result_list:
            entry.actor_name = names.get(entry.actor_id, entry.actor_id)


@admin.register(AuditEntry)
class AuditEntryAdmin(BackOfficeAdmin[AuditEntry]):
    """What happened, newest first. Times are in UTC: entries belong to no venue."""

    list_display = ("when", "what", "subject", "move", "who", "request")
    list_filter = (SubjectFilter, ActorFilter, ActionFilter)
    # Says that there is a search; `get_search_results` is what it does.
    search_fields = ("subject_id",)
    search_help_text = "A whole id: of a subject, a request or a member of staff"
    ordering = ("-id",)
    # Sorting by any other column would read all entries.
    sortable_by = ()
    fieldsets = (
        ("What", {"fields": ("when", "what", "move", "reason")}),
        ("To what", {"fields": ("subject", "subject_type", "subject_id")}),
        ("By whom", {"fields": ("actor_kind", "actor_id", "request_id")}),
    )
    when = venue_time("at", "when")

    def get_changelist(self, *_: Any, **__: Any) -> type[ChangeList]:
        """A list that knows people by name."""
        return EntriesWithActors

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[AuditEntry],
        search_term: str,
    ) -> tuple[QuerySet[AuditEntry], bool]:
        """By whole ids, each condition in the form that its index serves."""
        term = search_term.strip()
        if not term:
            return queryset, False
        meant = (
            Q(subject_type__in=subjects_with_a_page(), subject_id=term),
            Q(request_id=term),
            Q(actor_kind="staff", actor_id=term),
        )
        # Each in a query of its own: of somebody who did a million things, the newest.
        ids = [pk for condition in meant for pk in _newest(condition)]
        return queryset.filter(pk__in=ids), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        """All entries; by filters alone, the newest, as no index serves them."""
        entries = super().get_queryset(request)
        if not _is_filtered(request):
            return entries
        newest = AuditEntry.objects.aggregate(last=Max("id"))["last"] or 0
        return entries.filter(pk__gt=newest - FILTERED_ENTRIES)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Say what filters look at."""
        if _is_filtered(request):
            words = f"Filters look at the newest {FILTERED_ENTRIES:,} entries."
            messages.info(request, f"{words} A search for a whole id finds all.")
        return super().changelist_view(request, extra_context)

    @admin.display(description="what")
    def what(self, entry: AuditEntry) -> str:
        """The action in words."""
        return say_action(entry.action)

    @admin.display(description="subject")
    def subject(self, entry: AuditEntry) -> SafeString | str:
        """What it happened to, as a link where it has a page."""
        return format_subject(entry)

    @admin.display(description="request")
    def request(self, entry: AuditEntry) -> SafeString | str:
        """The end of its id, as a link to all that came of that request."""
        return format_request(entry.request_id, is_link=True)

    @admin.display(description="state")
    def move(self, entry: AuditEntry) -> SafeString | str:
        """From one state to another."""
        if not entry.to_state:
            return entry.reason
        return format_move(entry)

    @admin.display(description="actor")
    def who(self, entry: Any) -> str:
        """Kind and name."""
        return f"{entry.actor_name} ({entry.actor_kind})"


for model in (
    *(beat.PeriodicTask, beat.IntervalSchedule, beat.CrontabSchedule),
    *(beat.SolarSchedule, beat.ClockedSchedule),
):
    admin.site.unregister(model)


@admin.register(beat.PeriodicTask)
class PeriodicTaskAdmin(AuditedAdmin[beat.PeriodicTask]):
    """What beat runs. Entries may be paused; slotbase/schedule.py says the rest."""

    audit_subject = "periodic_task"
    editable_fields = ("enabled",)
    list_display = ("name", "enabled", "interval", "task", "queue", "last_run")
    list_filter = ("enabled",)
    search_fields = ("name", "task")
    list_select_related = ("interval",)
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "enabled")}),
        ("Runs", {"fields": ("task", "queue", "interval", "expire_seconds")}),
        ("So far", {"fields": ("last_run", "total_run_count")}),
        HISTORY,
    )
    last_run = venue_time("last_run_at", "last run")
