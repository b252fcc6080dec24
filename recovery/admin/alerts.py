"""Back office: alerts, the most severe first, and the notices that told of them."""

from datetime import UTC, tzinfo
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from recovery import alerts, banner, severities
from recovery.admin.cases import URGENCY
from recovery.backoffice import (
    HISTORY,
    ActingAdmin,
    RowAction,
    Wish,
    format_payload,
    say_action,
    say_duration,
)
from recovery.lists import ValueFilter
from recovery.models import Alert, AlertNotice, NoticeDelivery
from recovery.states import AlertStatus
from slotbase.lib.backoffice import BackOfficeAdmin, BackOfficeInline, ConditionFilter
from slotbase.lib.clock import Now
from slotbase.lib.columns import badge, format_link, venue_time

MAY_ACKNOWLEDGE = "recovery.change_alert"


class StateFilter(ConditionFilter):
    """Alerts that are not over, if no others are asked for."""

    title = parameter_name = "state"
    conditions = {
        "unseen": ("Not acknowledged", Q(status=AlertStatus.OPEN)),
        "over": ("Over", Q(status=AlertStatus.RESOLVED)),
        "all": ("All", Q()),
    }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Alerts in the chosen state."""
        if self.value() in self.conditions:
            return super().queryset(request, queryset)
        return queryset.exclude(status=AlertStatus.RESOLVED)

    def choices(self, changelist: Any) -> Any:
        """What Django calls `All`, the choice of nothing, are the open ones here."""
        first, *others = super().choices(changelist)
        return [{**first, "display": "Open"}, *others]


class CategoryFilter(ValueFilter):
    title = parameter_name = "category"

    def values(self, page: Any) -> set[str]:  # noqa: ARG002
        """All categories that there are."""
        return {each.name for each in severities.categories()}


def _acknowledge(alert: Alert, wish: Wish) -> None:
    alerts.acknowledge(alert_id=alert.pk, staff_id=wish.staff_id)
    banner.forget()


@admin.register(Alert)
class AlertAdmin(ActingAdmin[Any]):
    """Of what somebody should know; what there is to do stands in cases."""

    audit_subject = "alert"
    list_display = ("title", "category_in_words", "badges", "age", "times", "about")
    list_filter = (StateFilter, "severity", CategoryFilter)
    list_select_related = ("case",)
    sortable_by = ()
    fieldsets = (
        (
            "What happened",
            {
                "fields": (
                    *("title", "category_in_words", "severity_badge", "state"),
                    *("about", "by_itself", "runbook"),
                )
            },
        ),
        (
            "When",
            {
                "fields": (
                    *("age", "times", "first_seen", "last_seen", "told", "next_told"),
                    *("acked_by", "acked", "resolved"),
                )
            },
        ),
        HISTORY,
    )
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "acknowledge": RowAction(
            "Acknowledge",
            "You have seen it and see to it: nobody is told again while it is open. It"
            " is over by itself when the trouble is.",
            "It is acknowledged.",
            MAY_ACKNOWLEDGE,
            _acknowledge,
            lambda alert, _: bool(alert.status == AlertStatus.OPEN),
        )
    }
    severity_badge, state = badge("severity"), badge("status")
    first_seen = venue_time("first_seen_at", "first seen")
    last_seen = venue_time("last_seen_at", "last seen")
    told = venue_time("told_at", "last told")
    next_told = venue_time("tell_at", "told next")
    acked = venue_time("acked_at", "acknowledged")
    resolved = venue_time("resolved_at", "over since")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the time at which the rows were read."""
        rows: QuerySet[Any] = super().get_queryset(request).annotate(as_of=Now())
        return rows

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        """The most severe first; what is over, newest first."""
        is_history = request.GET.get("state") in {"over", "all"}
        return ("-id",) if is_history else (URGENCY, "-first_seen_at", "id")

    def row_actions(self, row: Alert) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Acknowledge."""
        return self.buttons

    @admin.display(description="category")
    def category_in_words(self, alert: Alert) -> str:
        """`Beat silent`."""
        return say_action(alert.category)

    @admin.display(description="severity")
    def badges(self, alert: Any) -> SafeString:
        """How bad it is, and how it stands."""
        return format_html("{} {}", self.severity_badge(alert), self.state(alert))

    @admin.display(description="age")
    def age(self, alert: Any) -> str:
        """How long it has been so, or was."""
        end = alert.resolved_at or alert.as_of
        age = say_duration(end - alert.first_seen_at)
        return f"was so for {age}" if alert.resolved_at else age

    @admin.display(description="times")
    def times(self, alert: Alert) -> int:
        """How often it was seen."""
        return alert.occurrences

    @admin.display(description="case")
    def about(self, alert: Alert) -> SafeString | str:
        """The case that is to be worked on, if there is one."""
        if alert.case is None:
            return self.get_empty_value_display()
        return format_link("recovery_case", alert.case)

    @admin.display(description="by itself")
    def by_itself(self, alert: Alert) -> str:
        """What happens without anybody."""
        category = severities.find(alert.category)
        return category.by_itself if category else ""

    @admin.display(description="runbook")
    def runbook(self, alert: Alert) -> SafeString | str:
        """What to do about it."""
        category = severities.find(alert.category)
        if category is None:
            return self.get_empty_value_display()
        path = severities.runbook_path(category)
        words = say_action(category.runbook)
        return format_html('<a href="{}">{}</a>', path, words)


class NoticeDeliveryInline(BackOfficeInline[NoticeDelivery, AlertNotice]):
    """By which channels it was told, and how that went."""

    model = NoticeDelivery
    fields = readonly_fields = (
        *("channel", "state", "attempts", "next_attempt", "settled", "last_error"),
    )
    max_num = 0
    state = badge("status")
    next_attempt = venue_time("next_run_at", "next attempt")
    settled = venue_time("settled_at", "settled")

    def zone_of(self, _: NoticeDelivery) -> tzinfo:
        """Notices belong to no venue."""
        return UTC


@admin.register(AlertNotice)
class AlertNoticeAdmin(BackOfficeAdmin[Any]):
    """What was told of alerts, newest first."""

    list_display = ("title", "badges", "number", "created", "channels")
    list_filter = ("severity",)
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        ("Notice", {"fields": ("title", "badges", "number", "created", "id")}),
        ("What was told", {"fields": ("shown_body",), "classes": ("bare",)}),
    )
    inlines = (NoticeDeliveryInline,)
    badges = badge("severity")
    created = venue_time("created_at", "written")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With their deliveries, read at once."""
        return super().get_queryset(request).prefetch_related("deliveries")

    @admin.display(description="alerts")
    def number(self, notice: AlertNotice) -> int:
        """Of how many alerts it tells."""
        number: int = notice.body["number"]
        return number

    @admin.display(description="told by")
    def channels(self, notice: AlertNotice) -> str:
        """`Webhook done, mail pending`."""
        each = [f"{d.channel} {d.status.lower()}" for d in notice.deliveries.all()]
        return ", ".join(sorted(each))

    @admin.display(description="body")
    def shown_body(self, notice: AlertNotice) -> SafeString | str:
        """As the webhook gets it."""
        return format_payload(notice.body)
