"""Back office: cases, the most urgent first. `actions` says what may be done."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Case as Switch
from django.db.models import Q, QuerySet, Value, When
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from recovery import cases
from recovery.admin import actions
from recovery.admin.actions import actions_of, is_taken, webhook_of
from recovery.backoffice import (
    HISTORY,
    PAYLOAD,
    ActingAdmin,
    RowAction,
    format_received,
    format_subject,
    names_of_actors,
    say_action,
    say_duration,
    staff_id_of,
)
from recovery.errors import CaseHasChanged
from recovery.lists import ValueFilter, do_to_each
from recovery.models import AuditEntry, Case, InboxEvent, WebhookFailure
from recovery.runbooks import read_runbook, runbook_url
from recovery.states import CaseSeverity, CaseStatus
from slotbase.lib.backoffice import (
    BackOfficeAdmin,
    ConditionFilter,
    ModelAdmin,
    OwnRowsFilter,
    of_own_venues,
)
from slotbase.lib.clock import Now
from slotbase.lib.columns import (
    badge,
    contact,
    follow,
    format_moment,
    format_state,
    venue_time,
)
from slotbase.lib.errors import DomainError
from slotbase.lib.money import format_money

CONTACT = ("phone", "e_mail")
CLOSED = (CaseStatus.RESOLVED, CaseStatus.DISCARDED)


#: Groups at a venue: they see the cases that are for these, and no others.
AT_THE_VENUE = {
    "front_desk": {"front_desk"},
    "manager": {"front_desk", "manager"},
}


@dataclass(frozen=True)
class Background:
    """What another app knows of the cases of a kind, for their pages."""

    facts: Callable[[Any], Mapping[str, Any]]
    history: Callable[[Any], QuerySet[AuditEntry]] | None = None


_backgrounds: dict[str, Background] = {}


def register_background(background: Background, *kinds: str) -> None:
    """Show this on the pages of cases of these kinds, as it is at that time."""
    _backgrounds.update(dict.fromkeys(kinds, background))


class StateFilter(ConditionFilter):
    """Open cases, if no others are asked for."""

    title = parameter_name = "state"
    conditions = {"closed": ("Closed", Q(status__in=CLOSED)), "all": ("All", Q())}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Cases in the chosen state."""
        if self.value() in self.conditions:
            return super().queryset(request, queryset)
        return queryset.filter(status__in=cases.IS_OPEN)

    def choices(self, changelist: Any) -> Any:
        """What Django calls `All`, the choice of nothing, are the open ones here."""
        first, *others = super().choices(changelist)
        return [{**first, "display": "Open"}, *others]


class OwnerFilter(admin.SimpleListFilter):
    """Those that I claimed."""

    title, parameter_name = "claimed by", "claimed_by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Only me: colleagues stand in the list."""
        return [("me", "Me")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Mine, or all."""
        is_mine = self.value() == "me"
        return queryset.filter(claimed_by=request.user.pk) if is_mine else queryset


class KindFilter(ValueFilter):
    title = parameter_name = "kind"

    def values(self, page: ModelAdmin[Any]) -> Iterable[str]:  # noqa: ARG002
        """All kinds that there are."""
        return cases.registered()


class AudienceFilter(ValueFilter):
    title, parameter_name = "for", "audience"

    def values(self, page: ModelAdmin[Any]) -> Iterable[str]:  # noqa: ARG002
        """All for whom there are kinds of case."""
        return {kind.audience for kind in cases.registered().values()}


URGENCY = Switch(
    *(When(severity=each, then=Value(rank)) for rank, each in enumerate(CaseSeverity)),
    default=Value(len(CaseSeverity)),
)


class OwnVenuesAdmin(BackOfficeAdmin[Any]):
    """Rows of one's own venues; those without a venue are for support."""

    #: From a row to its venue, of which there may be none.
    path_to_venue: ClassVar[str] = "venue"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What this person may see."""
        rows = super().get_queryset(request)
        return of_own_venues(rows, request.user, self.path_to_venue)

    def history_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Django looks for the row before it asks whether one may."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, *args, **kwargs)

    def zone_of(self, row: Any) -> tzinfo:
        """Its venue's, if it has one."""
        return zone_of_venue(follow(row, self.path_to_venue))


def zone_of_venue(venue: Any) -> tzinfo:
    """Its time zone, or UTC if there is no venue."""
    zone: tzinfo = venue.zone if venue else UTC
    return zone


@admin.register(Case)
class CaseAdmin(OwnVenuesAdmin, ActingAdmin[Any]):
    """What needs a person; shown with the time at which the rows were read."""

    audit_subject = "case"
    list_display = (
        *("title", "kind_in_words", "badges", "age", "times"),
        *("owner", "venue", "reference", "amount"),
    )
    list_filter: ClassVar[Any] = (
        *(StateFilter, OwnerFilter, KindFilter, "severity", AudienceFilter),
        ("venue", OwnRowsFilter),
    )
    list_select_related: ClassVar[Any] = ("venue", "claimed_by")
    actions = ("retry_selected",)
    # Each column but these would need an index of its own, or words in their order.
    sortable_by = ("age", "amount", "times")
    search_fields = ("title", "reference", "subject_id__exact")
    search_help_text = "Words of the title, reference, or whole id of the subject"
    closed_fields = ("closed", "close_reason", "evidence")
    fieldsets: ClassVar[Any] = (
        (
            "What happened",
            {
                "fields": (
                    *("says", "cause", "severity_badge", "state", "age", "who"),
                    *("occurrences", "opened", "seen", "heals", "runbook"),
                )
            },
        ),
        (
            "About",
            {
                "fields": (
                    *("kind_in_words", "subject", "customer", *CONTACT),
                    *("venue", "reference", "amount"),
                )
            },
        ),
        ("How it stands", {"fields": ("facts",), "classes": ("bare",)}),
        ("Details", {"fields": ("shown_details",), "classes": ("bare",)}),
        ("How it ended", {"fields": closed_fields}),
        HISTORY,
    )
    severity_badge = badge("severity")
    opened = venue_time("opened_at", "opened")
    seen = venue_time("last_seen_at", "last seen")
    closed = venue_time("closed_at", "closed")
    phone = contact("customer__phone", "phone")
    e_mail = contact("customer__email", "e-mail")

    # --- Which, and in what order ----------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the time at which the rows were read."""
        rows: QuerySet[Any] = super().get_queryset(request).annotate(as_of=Now())
        user = cast("Any", request.user)
        groups = set(user.groups.values_list("name", flat=True))
        if user.is_superuser or not groups <= AT_THE_VENUE.keys():
            return rows
        theirs = set().union(*(AT_THE_VENUE[group] for group in groups))
        return rows.filter(audience__in=theirs)

    def get_ordering(self, request: HttpRequest) -> tuple[str | Switch, ...]:
        """The most severe first, then the most overdue; what is over, newest first."""
        is_history = request.GET.get("state") in StateFilter.conditions
        return ("-id",) if is_history else (URGENCY, "due_at", "id")

    # --- What may be done -------------------------------------------------------

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether this person may let work that gave up be tried again."""
        return request.user.has_perm(actions.MAY_RETRY)

    @admin.action(
        description="Retry what the selected cases are about", permissions=["retry"]
    )
    def retry_selected(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        """Try many again."""
        staff_id = staff_id_of(request)
        do_to_each(
            request,
            rows,
            lambda pk: actions.retry_case(case_id=pk, staff_id=staff_id),
        )

    def row_actions(self, row: Case) -> dict[str, RowAction[Any]]:
        """Those of every case and those of its kind."""
        return actions_of(row)

    def explain(self, error: DomainError, row: Case) -> str:
        """Also who changed it."""
        last = self.entries_of(row).order_by("-id").first()
        if not isinstance(error, CaseHasChanged) or last is None:
            return super().explain(error, row)
        who = names_of_actors([last]).get(last.actor_id, last.actor_id)
        return f"{say_action(last.action)} by {who} meanwhile. {error}"

    # --- What is shown ----------------------------------------------------------

    def whose_contact_data(self, row: Case) -> tuple[str, Any] | None:
        """The customer's, if it is about one."""
        return ("user", row.customer_id) if row.customer_id else None

    def hidden_fields(
        self, request: HttpRequest, obj: Case | None = None
    ) -> Sequence[str]:
        """Also what a case does not have."""
        hidden = tuple(super().hidden_fields(request, obj))
        if obj is None:
            return hidden
        if obj.customer_id is None:
            hidden += CONTACT
        if not obj.details:
            hidden += ("shown_details",)
        if obj.kind not in _backgrounds:
            hidden += ("facts",)
        if obj.status in cases.IS_OPEN:
            hidden += tuple(
                each for each in self.closed_fields if not getattr(obj, each, None)
            )
        return hidden

    def entries_of(self, row: Case) -> QuerySet[AuditEntry]:
        """Of the case itself."""
        return super().history_of(row)

    def history_of(self, row: Case) -> QuerySet[AuditEntry]:
        """What was done with what it is about belongs to its story."""
        known = _backgrounds.get(row.kind)
        if known is not None and known.history is not None:
            return self.entries_of(row) | known.history(row)
        about = {"subject_type": row.subject_type, "subject_id": row.subject_id}
        return self.entries_of(row) | AuditEntry.objects.filter(**about)

    @admin.display(description="kind")
    def kind_in_words(self, case: Case) -> str:
        """`Webhook failure`."""
        return say_action(case.kind)

    @admin.display(description="in short")
    def says(self, case: Case) -> str:
        """The words of its kind."""
        kind = cases.registered().get(case.kind)
        return kind.says if kind else ""

    @admin.display(description="closes itself")
    def heals(self, case: Case) -> str:
        """When, if it does at all."""
        kind = cases.registered().get(case.kind)
        is_healing = kind and kind.closes_itself_when
        return f"when {is_healing}" if is_healing else "never"

    @admin.display(description="runbook")
    def runbook(self, case: Case) -> SafeString | str:
        """What to do about such cases, as a link to its page."""
        if read_runbook(case.kind) is None:
            return self.get_empty_value_display()
        words = f"What to do about a {say_action(case.kind).lower()}"
        return format_html('<a href="{}">{}</a>', runbook_url(case.kind), words)

    @admin.display(description="state", ordering="status")
    def state(self, case: Any) -> SafeString:
        """A claim that ran out is none, even before a sweep takes it back."""
        is_over = case.status == CaseStatus.CLAIMED and not is_taken(case)
        return format_state(CaseStatus.OPEN if is_over else case.status)

    @admin.display(description="severity")
    def badges(self, case: Any) -> SafeString:
        """How bad it is, and whether somebody works on it."""
        return format_html("{} {}", format_state(case.severity), self.state(case))

    @admin.display(description="times", ordering="occurrences")
    def times(self, case: Case) -> int:
        """How often it was seen."""
        return case.occurrences

    @admin.display(description="age", ordering="due_at")
    def age(self, case: Any) -> SafeString | str:
        """How old it is, and whether somebody should have looked at it by now."""
        age = say_duration((case.closed_at or case.as_of) - case.opened_at)
        if case.closed_at is not None:
            return f"was open for {age}"
        if case.due_at > case.as_of:
            left = say_duration(case.due_at - case.as_of)
            return format_html("{}, due in {}", age, left)
        late = say_duration(case.as_of - case.due_at)
        return format_html('{}, <b class="overdue">overdue by {}</b>', age, late)

    @admin.display(description="claimed by")
    def owner(self, case: Any) -> str:
        """Who works on it now."""
        if not is_taken(case):
            return self.get_empty_value_display()
        return str(case.claimed_by)

    @admin.display(description="claimed by")
    def who(self, case: Any) -> SafeString | str:
        """Who works on it now, and until when."""
        if not is_taken(case):
            return self.get_empty_value_display()
        until = format_moment(case.claimed_until, self.zone_of(case))
        return format_html("{} until {}", case.claimed_by, until)

    @admin.display(description="amount", ordering="amount_minor")
    def amount(self, case: Case) -> SafeString | str:
        """The money that is at stake, if any."""
        if case.amount_minor is None:
            return self.get_empty_value_display()
        words = format_money(case.amount_minor, case.currency)
        return format_html('<span class="money">{}</span>', words)

    @admin.display(description="subject")
    def subject(self, case: Case) -> SafeString | str:
        """What it is about, as a link if it has a page."""
        return format_subject(case)

    @admin.display(description="details")
    def shown_details(self, case: Case) -> str:
        """What was found when the case was opened."""
        # Ids of what is frozen may be many, and are in the rows, as far as people read.
        shown = {**case.details, "frozen": len(case.details.get("frozen", ())) or ""}
        named = {say_action(name): value for name, value in shown.items()}
        return _render_facts(named)

    @admin.display(description="how it stands")
    def facts(self, case: Case) -> str:
        """What is true now of what it is about."""
        return _render_facts(_backgrounds[case.kind].facts(case))


def _render_facts(facts: Mapping[str, Any]) -> str:
    """Each fact in a line; rows of a list one below the other."""
    lines = {
        name: value if isinstance(value, list) else [value]
        for name, value in facts.items()
        if value or value == 0
    }
    return render_to_string("admin/details.html", {"facts": lines})


def of_webhook(field: str, label: str) -> Callable[[Any, Any], Any]:
    """A column with what the webhook behind a case says."""

    @admin.display(description=label)
    def column(page: Any, case: Case) -> Any:
        webhook = webhook_of(case)
        return getattr(webhook, field) if webhook else page.get_empty_value_display()

    return column


class FailuresWithWebhooks(ChangeList):
    """Reads the webhooks of a page in one query."""

    def get_results(self, request: HttpRequest) -> None:
        """Put `webhook` on each case of the page."""
        super().get_results(request)
        events = InboxEvent.objects.defer("payload").filter(
            pk__in=[
                case.subject_id
                for case in self.result_list
                if case.subject_type == InboxEvent.subject()
            ]
        )
        by_id = {str(event.pk): event for event in events}
        for case in self.result_list:
            case.webhook = by_id.get(case.subject_id)


@admin.register(WebhookFailure)
class WebhookFailureAdmin(CaseAdmin):
    """Cases of webhooks, with what each webhook says."""

    list_display = (
        *("title", "badges", "age", "times", "owner"),
        *("provider", "event_id", "webhook_type", "error"),
    )
    list_filter: ClassVar[Any] = (StateFilter, OwnerFilter, "severity")
    fieldsets: ClassVar[Any] = (
        CaseAdmin.fieldsets[0],
        (
            "Webhook",
            {
                "fields": (
                    *("subject", "webhook_state", "provider", "event_id"),
                    *("webhook_type", "error", "attempts"),
                )
            },
        ),
        *CaseAdmin.fieldsets[4:-1],
        PAYLOAD,
        HISTORY,
    )
    provider = of_webhook("provider", "provider")
    event_id = of_webhook("event_id", "event id")
    webhook_type = of_webhook("type", "type")
    error = of_webhook("last_error", "error")
    attempts = of_webhook("attempts", "attempts")

    def get_changelist(self, *_: Any, **__: Any) -> type[ChangeList]:
        """A list that knows the webhooks."""
        return FailuresWithWebhooks

    def hidden_fields(
        self, request: HttpRequest, obj: Case | None = None
    ) -> Sequence[str]:
        """Who only looks does not see what providers sent."""
        hidden = tuple(super().hidden_fields(request, obj))
        is_actor = request.user.has_perm(actions.MAY_CLOSE)
        return hidden if is_actor else (*hidden, "payload_shown")

    def whose_contact_data(self, row: Case) -> tuple[str, Any]:
        """Of whoever the provider told us about: it is the webhook that is read."""
        return row.subject_type, row.subject_id

    @admin.display(description="webhook is")
    def webhook_state(self, case: Case) -> SafeString | str:
        """The state of the webhook itself."""
        webhook = webhook_of(case)
        if webhook is None:
            return self.get_empty_value_display()
        return format_state(webhook.status)

    @admin.display(description="payload")
    def payload_shown(self, case: Case) -> SafeString | str:
        """What the provider sent."""
        webhook = webhook_of(case)
        return format_received(webhook.payload if webhook else None, case)
