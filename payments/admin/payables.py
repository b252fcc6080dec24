"""Back office: what is owed for each sale, and all of its money."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from payments.admin.base import MoneyAdmin, MoneyInline, link_to, show_money
from payments.models import (
    CardPayment,
    Dispute,
    OfflinePayment,
    Payable,
    PayableLine,
    Refund,
)
from payments.queries import list_history
from recovery.backoffice import HISTORY
from recovery.models import AuditEntry
from slotbase.lib.backoffice import ConditionFilter, OwnRowsFilter
from slotbase.lib.columns import badge, format_state, money, venue_time

KEPT = (
    F("paid_minor")
    - F("refunded_minor")
    - F("refund_reserved_minor")
    - F("disputed_minor")
)


class BalanceFilter(ConditionFilter):
    """Where somebody owes somebody something."""

    title = parameter_name = "balance"
    conditions = {
        "due": ("Still to be paid", Q(owed_minor__gt=KEPT)),
        "excess": ("More than is owed", Q(owed_minor__lt=KEPT)),
        "refunds": ("Refunds under way", Q(refund_reserved_minor__gt=0)),
        "disputed": ("Disputed", Q(disputed_minor__gt=0)),
    }


class LineInline(MoneyInline):
    """Why something is owed."""

    model = PayableLine
    fields = readonly_fields = ("kind", "amount", "added")
    verbose_name_plural = "why it is owed"
    amount = money("amount_minor", currency="payable__currency", label="amount")
    added = venue_time("added_at", "when")


class CardPaymentInline(MoneyInline):
    """Payments by card."""

    model = CardPayment
    fields = readonly_fields = ("page", "state", "amount", "received", "created")
    state, created = badge("status"), venue_time("created_at", "begun")
    amount = money("amount_minor", label="asked for")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without what opens a payment at Stripe."""
        return super().get_queryset(request).defer("client_secret")

    @admin.display(description="received")
    def received(self, payment: CardPayment) -> SafeString | str:
        """What came in."""
        return show_received(payment) or self.get_empty_value_display()


class OfflinePaymentInline(MoneyInline):
    """Money that was paid by hand."""

    model = OfflinePayment
    fields = readonly_fields = ("page", "amount", "method", "recorded_by", "recorded")
    amount = money("amount_minor", label="amount")
    recorded = venue_time("recorded_at", "when")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With who took it."""
        return super().get_queryset(request).select_related("recorded_by")


class RefundInline(MoneyInline):
    """Money that goes back."""

    model = Refund
    fk_name = "payable"
    fields = readonly_fields = ("page", "state", "amount", "reason", "created")
    state, created = badge("status"), venue_time("created_at", "asked for")
    amount = money("amount_minor", label="amount")


def show_received(payment: CardPayment) -> SafeString | str:
    """What came in by a card payment, if anything did."""
    if not payment.received_minor:
        return ""
    return show_money(payment.received_minor, payment.received_currency)


def amount_of(field: str, label: str) -> Callable[[Any, Any], Any]:
    """An amount of a payable; what is nothing is not shown as an amount."""

    @admin.display(description=label)
    def column(page: Any, row: Payable) -> Any:
        amount = getattr(row, field)
        if not amount:
            return page.get_empty_value_display()
        return show_money(amount, row.currency)

    return column


@admin.register(Payable)
class PayableAdmin(MoneyAdmin):
    """What is owed, what was paid, and what went back."""

    audit_subject = "payable"
    path_to_venue, path_to_payable = "venue", "pk"
    list_display = (
        *("title", "sale", "buyer", "venue", "state"),
        *("owed", "paid", "back", "due"),
    )
    list_filter: ClassVar[Any] = (BalanceFilter, ("venue", OwnRowsFilter))
    list_select_related = ("venue", "customer")
    fieldsets = (
        (
            "Money",
            {
                "fields": (
                    *("state", "owed", "paid", "back", "reserved"),
                    *("disputed", "due", "excess", "disputes"),
                )
            },
        ),
        (
            "For",
            {"fields": ("title", "sale", "buyer", "venue", "created", "paid_last")},
        ),
        HISTORY,
    )
    inlines = (LineInline, CardPaymentInline, OfflinePaymentInline, RefundInline)
    owed = money("owed_minor", label="owed")
    paid = money("paid_minor", label="paid")
    back = amount_of("refunded_minor", "given back")
    reserved = amount_of("refund_reserved_minor", "on its way back")
    disputed = amount_of("disputed_minor", "disputed")
    due = amount_of("due_minor", "to be paid")
    excess = amount_of("excess_minor", "too much")
    created = venue_time("created_at", "made")
    paid_last = venue_time("paid_at", "money came last")

    def hidden_fields(
        self, request: HttpRequest, obj: Payable | None = None
    ) -> Sequence[str]:
        """Also what there is none of."""
        hidden = tuple(super().hidden_fields(request, obj))
        if obj is None:
            return hidden
        none = {
            "reserved": obj.refund_reserved_minor,
            "disputed": obj.disputed_minor,
            "excess": obj.excess_minor,
            "disputes": any(each.disputes.exists() for each in cards_of(obj)),
        }
        return (*hidden, *(name for name, value in none.items() if not value))

    def history_of(self, row: Payable) -> QuerySet[AuditEntry]:
        """That of all of its money."""
        return list_history(row.pk)

    @admin.display(description="state")
    def state(self, row: Payable) -> SafeString:
        """How far it is paid."""
        return format_state(row.status)

    def payable_of(self, row: Payable) -> Payable:
        """It is one."""
        return row

    @admin.display(description="disputes")
    def disputes(self, row: Payable) -> SafeString:
        """What banks were asked to take back."""
        disputes = Dispute.objects.filter(card_payment__payable=row)
        links = ((link_to(each), format_state(each.status)) for each in disputes)
        return format_html_join(" ", "{} {}", links)


def cards_of(payable: Payable) -> QuerySet[CardPayment]:
    """Its card payments, without what opens them at Stripe."""
    return payable.card_payments.defer("client_secret")
