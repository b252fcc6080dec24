"""Back office: refunds, and the cases of those that did not reach the customer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from payments.admin.base import MoneyAdmin, link_to, show_money
from payments.admin.payments import OF_VENUE
from payments.models import Payable, Refund, RefundFailure
from payments.queries import get_current_refund, list_history, list_history_of_refund
from payments.services import troubles
from payments.services.troubles import say_why
from payments.states import RefundReason
from recovery.admin.cases import (
    CaseAdmin,
    OwnerFilter,
    StateFilter,
    zone_of_venue,
)
from recovery.backoffice import HISTORY, format_reference
from recovery.models import AuditEntry, Case
from recovery.proposals import show_proposals
from slotbase.lib.backoffice import OwnRowsFilter
from slotbase.lib.columns import (
    badge,
    format_link,
    format_moment,
    format_state,
    money,
    venue_time,
)


@admin.register(Refund)
class RefundAdmin(MoneyAdmin):
    """Money that goes back: each refund with its attempts."""

    audit_subject = "refund"
    list_display = (
        *("__str__", "state", "amount", "reason", "sale"),
        *("buyer", "created"),
    )
    list_filter: ClassVar[Any] = ("status", "reason", OF_VENUE)
    fieldsets = (
        (
            "Refund",
            {
                "fields": (
                    *("state", "amount", "reason", "requested_by", "created"),
                    *("approved_by", "settled", "why", "is_payout", "evidence"),
                )
            },
        ),
        ("For", {"fields": ("payment", "sold", "sale", "buyer", "case")}),
        (
            "At Stripe",
            {
                "fields": (
                    *("provider_id", "epoch", "first_sent", "pending_reason"),
                    *("attempts", "next_attempt", "last_error"),
                    *("absent_reads", "absent"),
                )
            },
        ),
        HISTORY,
    )
    state, amount = badge("status"), money("amount_minor", label="amount")
    created, settled = venue_time("created_at", "asked for"), venue_time("settled_at")
    first_sent = venue_time("first_sent_at", "first sent")
    next_attempt = venue_time("next_run_at", "next attempt")
    absent = venue_time("absent_since", "not there since")

    def hidden_fields(
        self, request: HttpRequest, obj: Refund | None = None
    ) -> Sequence[str]:
        """Also what there is none of."""
        hidden = tuple(super().hidden_fields(request, obj))
        if obj is None:
            return hidden
        facts = (
            *("evidence", "pending_reason", "absent_reads", "failure_reason"),
            "approved_by",
        )
        none = {name for name in facts if not getattr(obj, name)}
        also = {"absent_reads": "absent", "failure_reason": "why"}
        return (*hidden, *none, *(also[name] for name in none if name in also))

    def history_of(self, row: Refund) -> QuerySet[AuditEntry]:
        """Also of those that it replaced or that replaced it."""
        return list_history_of_refund(row)

    @admin.display(description="payment")
    def payment(self, refund: Refund) -> SafeString:
        """Whose money it is."""
        return link_to(refund.payment)

    @admin.display(description="why it failed")
    def why(self, refund: Refund) -> str:
        """In words."""
        return say_why(refund)

    @admin.display(description="case")
    def case(self, refund: Refund) -> SafeString | str:
        """The newest case about it."""
        prints = (troubles.refund_failure_of(refund), troubles.payout_of(refund))
        newest = Case.objects.filter(fingerprint__in=prints).order_by("-id").first()
        if newest is None:
            return self.get_empty_value_display()
        return format_link("recovery_case", newest)


# --- Cases ----------------------------------------------------------------------


def refund_of(case: Any) -> Refund | None:
    """The refund that a case is about by now, read once: it may have been replaced."""
    if not hasattr(case, "refund"):
        case.refund = None
        if case.subject_type == "refund":
            case.refund = get_current_refund(UUID(case.subject_id))
    refund: Refund | None = case.refund
    return refund


def payable_of(case: Any) -> Payable | None:
    """The payable that a case is about."""
    if case.subject_type != "payable":
        return None
    return Payable.objects.filter(pk=case.subject_id).first()


def show_refund(refund: Refund) -> SafeString:
    """A refund in a line: amount, state, and the way to it."""
    amount = show_money(refund.amount_minor, refund.currency)
    return format_html(
        "{} {} {}", amount, format_state(refund.status), link_to(refund, "Details")
    )


def facts_of_refund(case: Any) -> Mapping[str, Any]:
    """What is true now of the refund behind a case."""
    refund = refund_of(case)
    if refund is None:
        return {}
    sent, zone = refund.first_sent_at, zone_of_venue(case.venue)
    return {
        "Refund": show_refund(refund),
        "Because": RefundReason(refund.reason).label,
        "Of the payment": link_to(refund.payment),
        "For": link_to(refund.payable),
        "Booking": format_reference(refund.payable.reference),
        "Why it failed": say_why(refund),
        "First sent": sent and format_moment(sent, zone),
        "Stripe was asked": _say_reads(refund),
        "Waits for a colleague": show_proposals("refund", refund.pk),
    }


def _say_reads(refund: Refund) -> str:
    times = refund.absent_reads
    if not times:
        return ""
    return f"{times} time{'s' if times > 1 else ''}: it has no such refund"


def history_of_refund(case: Any) -> QuerySet[AuditEntry]:
    """The attempts, from the audit."""
    refund = refund_of(case)
    if refund is None:
        return AuditEntry.objects.none()
    return list_history_of_refund(refund)


def facts_of_payable(case: Any) -> Mapping[str, Any]:
    """What is true now of the money behind a case."""
    payable = payable_of(case)
    if payable is None:
        return {}
    amounts = {
        "Owed": payable.owed_minor,
        "Paid": payable.paid_minor,
        "Given back": payable.refunded_minor,
        "On its way back": payable.refund_reserved_minor,
        "Too much": payable.excess_minor,
    }
    return {
        "For": link_to(payable),
        "Booking": format_reference(payable.reference),
        **{
            name: show_money(amount, payable.currency)
            for name, amount in amounts.items()
            if amount or name in {"Owed", "Paid"}
        },
        "Refunds": [show_refund(each) for each in payable.refunds.order_by("id")],
        "Waits for a colleague": [
            *show_proposals("payable", payable.pk),
            *show_proposals("refund", *payable.refunds.values_list("pk", flat=True)),
        ],
    }


def facts_of_intent(case: Any) -> Mapping[str, Any]:
    """What is about to be done with money that belongs to nothing."""
    waiting = show_proposals("paymentintent", case.subject_id)
    return {"Waits for a colleague": waiting}


def history_of_payable(case: Any) -> QuerySet[AuditEntry]:
    """That of all of its money."""
    return list_history(UUID(case.subject_id))


# --- Refund failures -----------------------------------------------------------------


class FailuresWithRefunds(ChangeList):
    """Reads the refunds of a page in one query."""

    def get_results(self, request: HttpRequest) -> None:
        """Put `refund` on each case of the page."""
        super().get_results(request)
        by_id = _current_refunds(case.subject_id for case in self.result_list)
        for case in self.result_list:
            case.refund = by_id.get(case.subject_id)


def _current_refunds(ids: Iterable[str]) -> dict[str, Refund]:
    """By the id of any refund: the latest of those that were made in its place."""
    origins = Refund.objects.filter(pk__in=[*ids]).values("origin")
    chain = list(Refund.objects.filter(origin__in=origins).order_by("id"))
    latest = {refund.origin: refund for refund in chain}
    return {str(refund.pk): latest[refund.origin] for refund in chain}


def of_refund(label: str, say: Callable[[Refund], Any]) -> Callable[[Any, Any], Any]:
    """A column with what the refund behind a case says."""

    @admin.display(description=label)
    def column(page: Any, case: Case) -> Any:
        refund = refund_of(case)
        return (say(refund) if refund else "") or page.get_empty_value_display()

    return column


@admin.register(RefundFailure)
class RefundFailureAdmin(CaseAdmin):
    """Cases of refunds, with how far each refund is."""

    list_display = (
        *("title", "badges", "age", "amount", "refund_state", "why"),
        *("owner", "customer", "venue"),
    )
    list_filter: ClassVar[Any] = (
        *(StateFilter, OwnerFilter, "severity"),
        ("venue", OwnRowsFilter),
    )
    list_select_related = ("venue", "claimed_by", "customer")
    refund_state = of_refund("refund is", lambda refund: format_state(refund.status))
    why = of_refund("why", say_why)

    def get_changelist(self, *_: Any, **__: Any) -> type[ChangeList]:
        """A list that knows the refunds."""
        return FailuresWithRefunds
