"""Back office: webhooks, events and their deliveries, and who gave a sign of life."""

from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from recovery import cases, deliveries, inbox
from recovery.admin.actions import (
    MAY_REPLAY,
    MAY_RETRY,
    can_be_ignored,
    can_be_replayed,
)
from recovery.backoffice import (
    HISTORY,
    PAYLOAD,
    ActingAdmin,
    RowAction,
    Wish,
    format_payload,
    format_received,
    format_subject,
    say_duration,
    staff_id_of,
)
from recovery.lists import RecentValuesFilter, do_to_each
from recovery.models import Case, EventDelivery, Heartbeat, InboxEvent, OutboxEvent
from recovery.outbox import subscribers
from recovery.states import DeliveryStatus
from slotbase.lib.backoffice import (
    BackOfficeAdmin,
    BackOfficeInline,
    ConditionFilter,
    ModelAdmin,
)
from slotbase.lib.clock import Now
from slotbase.lib.columns import badge, format_link, venue_time


class TypeFilter(RecentValuesFilter):
    title = parameter_name = "type"

    def say(self, value: str) -> str:
        """As the sender writes it."""
        return value


class ProviderFilter(RecentValuesFilter):
    title = parameter_name = "provider"


def as_uuid(typed: str) -> UUID | None:
    """A UUID as people paste it, or nothing."""
    try:
        return UUID(typed)
    except ValueError:
        return None


class EngineAdmin(BackOfficeAdmin[Any]):
    """Rows in great numbers: newest first, and found by whole ids only."""

    ordering = ("-pk",)
    # Sorting by any other column would read all rows.
    sortable_by = ()
    # Says that there is a search; `meant_by` is what it does.
    search_fields = ("pk",)
    search_help_text = "Whole id of the event"
    id_column: ClassVar[str] = "pk"

    def meant_by(self, term: str) -> Q:
        """The row with this id; nothing else, which would read all rows."""
        id_ = as_uuid(term)
        return Q(**{self.id_column: id_}) if id_ else Q(pk__in=[])

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """By a whole id."""
        term = search_term.strip()
        return (queryset.filter(self.meant_by(term)) if term else queryset), False


class DueRowAdmin(EngineAdmin, ActingAdmin[Any]):
    """Rows that machines work on."""

    state = badge("status")
    next_attempt = venue_time("next_run_at", "next attempt")

    @admin.display(description="case")
    def case(self, row: Any) -> SafeString | str:
        """The newest case about it."""
        about = Case.objects.filter(subject_type=row.subject(), subject_id=str(row.pk))
        case = about.order_by("-id").first()
        if case is None:
            return self.get_empty_value_display()
        return format_link("recovery_case", case)


# --- Webhooks -----------------------------------------------------------------


def _replay(webhook: InboxEvent, wish: Wish) -> None:
    _leave_to_colleague(webhook.pk, wish.staff_id)
    inbox.replay(event_id=webhook.pk, staff_id=wish.staff_id)


def _leave_to_colleague(event_id: UUID, staff_id: UUID) -> None:
    """Whoever claimed its case works on it, not whoever finds it here."""
    fingerprint = inbox.fingerprint_of(event_id)
    cases.require_unclaimed(fingerprint, staff_id=staff_id)


def _ignore(webhook: InboxEvent, wish: Wish) -> None:
    _leave_to_colleague(webhook.pk, wish.staff_id)
    inbox.ignore(event_id=webhook.pk, staff_id=wish.staff_id, reason=wish.reason)


@admin.register(InboxEvent)
class InboxEventAdmin(DueRowAdmin):
    """What providers told us, and what became of it."""

    audit_subject = "inboxevent"
    list_display = (
        *("type", "provider", "event_id", "state", "received"),
        *("attempts", "next_attempt", "last_error"),
    )
    list_filter = (ProviderFilter, "status", TypeFilter)
    search_help_text = "Whole id of the event: the provider's or ours"
    actions = ("replay_selected",)
    fieldsets = (
        (
            "Webhook",
            {
                "fields": (
                    *("state", "provider", "type", "event_id", "account"),
                    *("api_version", "livemode", "sent", "received", "request_id"),
                )
            },
        ),
        (
            "Attempts",
            {
                "fields": (
                    *("attempts", "deaths", "next_attempt", "last_error"),
                    *("ignored_because", "case"),
                )
            },
        ),
        PAYLOAD,
        HISTORY,
    )
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "replay": RowAction(
            "Replay",
            "Processes it again now, with all its attempts.",
            "The webhook is being processed again.",
            MAY_REPLAY,
            _replay,
            lambda webhook, _: can_be_replayed(webhook),
        ),
        "ignore": RowAction(
            "Ignore",
            "Never processes it, and closes its case. Say why.",
            "The webhook is ignored.",
            MAY_REPLAY,
            _ignore,
            lambda webhook, _: can_be_ignored(webhook),
            needs_reason=True,
        ),
    }
    received = venue_time("received_at", "received")
    sent = venue_time("sent_at", "happened")

    def row_actions(self, row: InboxEvent) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Replay and ignore."""
        return self.buttons

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboxEvent]:
        """Without payloads, which only a page shows."""
        return super().get_queryset(request).defer("payload")

    def meant_by(self, term: str) -> Q:
        """Also by the id that the provider gave it."""
        return Q(pk=as_uuid(term)) if as_uuid(term) else Q(event_id=term)

    def hidden_fields(
        self, request: HttpRequest, obj: InboxEvent | None = None
    ) -> Sequence[str]:
        """Who only looks does not see what providers sent."""
        hidden = tuple(super().hidden_fields(request, obj))
        may_act = self.has_replay_permission(request)
        return hidden if may_act else (*hidden, "payload_shown")

    def whose_contact_data(self, row: InboxEvent) -> tuple[str, Any]:
        """Of whoever the provider told us about: it is the webhook that was read."""
        return self.audit_subject, row.pk

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Whether this person may let webhooks be processed again."""
        return request.user.has_perm(MAY_REPLAY)

    @admin.action(description="Replay the selected webhooks", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        """Process many webhooks again."""
        staff_id = staff_id_of(request)
        do_to_each(
            request, rows, lambda pk: inbox.replay(event_id=pk, staff_id=staff_id)
        )

    @admin.display(description="payload")
    def payload_shown(self, webhook: InboxEvent) -> SafeString | str:
        """What the provider sent."""
        return format_received(webhook.payload, webhook)


# --- Events -------------------------------------------------------------------


class DeliveryInline(BackOfficeInline[EventDelivery, OutboxEvent]):
    """Who gets the event, and how that goes."""

    model = EventDelivery
    fields = readonly_fields = (
        *("delivery", "state", "attempts", "next_attempt", "last_error"),
    )
    max_num = 0
    state, next_attempt = badge("status"), venue_time("next_run_at", "next attempt")

    @admin.display(description="subscriber")
    def delivery(self, delivery: EventDelivery) -> SafeString:
        """The subscriber, as a link to the delivery."""
        return format_link("recovery_eventdelivery", delivery, delivery.subscriber)

    def zone_of(self, _: EventDelivery) -> tzinfo:
        """Events belong to no venue."""
        return UTC


@admin.register(OutboxEvent)
class OutboxEventAdmin(EngineAdmin):
    """What happened here, as it is told to subscribers."""

    list_display = ("type", "subject", "created", "request_id")
    list_filter = (TypeFilter,)
    fieldsets = (
        ("Event", {"fields": ("type", "subject", "created", "id", "request_id")}),
        ("Data", {"fields": ("shown_data",), "classes": ("bare",)}),
    )
    inlines = (DeliveryInline,)
    created = venue_time("created_at", "when")

    @admin.display(description="subject")
    def subject(self, event: OutboxEvent) -> SafeString | str:
        """What it happened to, as a link if that has a page."""
        return format_subject(event)

    @admin.display(description="data")
    def shown_data(self, event: OutboxEvent) -> SafeString | str:
        """What subscribers are told: ids, times, states and amounts."""
        return format_payload(event.data)


class SubscriberFilter(RecentValuesFilter):
    title = parameter_name = "subscriber"

    def values(self, page: ModelAdmin[Any]) -> Iterable[str]:
        """Those of today, and those of the last thousand rows."""
        return {*subscribers(), *super().values(page)}


class DeliveryFilter(ConditionFilter):
    """How far a delivery is; the index of due rows serves what is open."""

    title = parameter_name = "state"
    conditions = {
        "waiting": ("Waiting", Q(next_run_at__isnull=False)),
        "failing": (
            "Waiting, failed before",
            Q(next_run_at__isnull=False) & ~Q(last_error=""),
        ),
        "dead": ("Dead", Q(status=DeliveryStatus.DEAD)),
        "dropped": ("Dropped", Q(status=DeliveryStatus.DROPPED)),
        "done": ("Done", Q(status=DeliveryStatus.DONE)),
    }


def _retry(delivery: EventDelivery, wish: Wish) -> None:
    deliveries.retry_delivery(delivery_id=delivery.pk, staff_id=wish.staff_id)


@admin.register(EventDelivery)
class EventDeliveryAdmin(DueRowAdmin):
    """Each event for each subscriber; above them, what every subscriber waits for."""

    audit_subject = "eventdelivery"
    change_list_template = "admin/deliveries.html"
    list_display = (
        *("event_type", "event_subject", "subscriber", "state"),
        *("attempts", "next_attempt", "last_error"),
    )
    list_filter = (SubscriberFilter, DeliveryFilter)
    list_select_related = ("event",)
    id_column = "event"
    actions = ("retry_selected",)
    fieldsets = (
        ("Event", {"fields": ("event_link", "event_subject", "subscriber")}),
        (
            "Attempts",
            {
                "fields": (
                    *("state", "attempts", "deaths", "next_attempt"),
                    *("last_error", "case"),
                )
            },
        ),
        HISTORY,
    )
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "retry": RowAction(
            "Retry",
            "Tries it again now, with all its attempts.",
            "It will be tried again within seconds.",
            MAY_RETRY,
            _retry,
            lambda delivery, _: bool(delivery.status == DeliveryStatus.DEAD),
        )
    }

    def row_actions(self, row: EventDelivery) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Retry."""
        return self.buttons

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With what waits for each subscriber."""
        backlogs = deliveries.count_waiting()
        context = {**(extra_context or {}), "backlogs": backlogs}
        return super().changelist_view(request, context)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether this person may let dead deliveries be tried again."""
        return request.user.has_perm(MAY_RETRY)

    @admin.action(description="Retry the selected deliveries", permissions=["retry"])
    def retry_selected(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        """Try many dead deliveries again."""
        staff_id = staff_id_of(request)
        do_to_each(
            request,
            rows,
            lambda pk: deliveries.retry_delivery(delivery_id=pk, staff_id=staff_id),
        )

    @admin.display(description="event")
    def event_type(self, delivery: EventDelivery) -> str:
        """What happened."""
        return delivery.event.type

    @admin.display(description="event")
    def event_link(self, delivery: EventDelivery) -> SafeString:
        """What happened, as a link."""
        return format_link("recovery_outboxevent", delivery.event, delivery.event.type)

    @admin.display(description="subject")
    def event_subject(self, delivery: EventDelivery) -> SafeString | str:
        """What it happened to."""
        return format_subject(delivery.event)


# --- Signs of life ------------------------------------------------------------


@admin.register(Heartbeat)
class HeartbeatAdmin(BackOfficeAdmin[Heartbeat]):
    """Who gave the last sign of life when; the longest silent first."""

    list_display = ("name", "age", "beat")
    ordering = ("beat_at",)
    sortable_by = ()
    fieldsets = (("Heartbeat", {"fields": ("name", "age", "beat")}),)
    beat = venue_time("beat_at", "last sign of life")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the time at which the rows were read."""
        return super().get_queryset(request).annotate(as_of=Now())

    @admin.display(description="silent for")
    def age(self, heartbeat: Any) -> str:
        """How long ago it was."""
        return say_duration(heartbeat.as_of - heartbeat.beat_at)
