"""Back office: payments by card and by hand, their receipts, and disputes."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from payments.admin.base import MAY_RECORD, MoneyAdmin, MoneyInline, link_to
from payments.admin.payables import RefundInline, show_received
from payments.errors import VoidNotAllowed
from payments.models import CardPayment, Dispute, OfflinePayment
from payments.services.voiding import is_voidable, may_void, void_payment
from recovery.backoffice import HISTORY, ActingAdmin, RowAction, Wish
from slotbase.lib.backoffice import OwnRowsFilter
from slotbase.lib.columns import badge, format_moment, money, venue_time
from slotbase.lib.money import format_money

OF_VENUE: Any = ("payable__venue", OwnRowsFilter)


class DisputeInline(MoneyInline):
    """What a bank was asked to take back."""

    model = Dispute
    path_to_venue = "card_payment__payable__venue"
    fields = readonly_fields = ("page", "state", "amount", "opened", "closed")
    state, amount = badge("status"), money("amount_minor", label="amount")
    opened, closed = venue_time("opened_at"), venue_time("closed_at")


class RefundOfCardInline(RefundInline):
    """Refunds of one card payment."""

    fk_name = "card_payment"


class RefundByHandInline(RefundInline):
    """Refunds of money that was paid by hand."""

    fk_name = "offline_payment"


@admin.register(CardPayment)
class CardPaymentAdmin(MoneyAdmin):
    """What customers pay by card, at Stripe."""

    audit_subject = "cardpayment"
    list_display = (
        *("__str__", "state", "amount", "received", "sale"),
        *("buyer", "created"),
    )
    list_filter: ClassVar[Any] = ("status", OF_VENUE)
    fieldsets = (
        (
            "Payment",
            {
                "fields": (
                    *("state", "amount", "received", "is_mismatch", "decline_code"),
                    *("created", "succeeded", "called_off"),
                )
            },
        ),
        ("For", {"fields": ("sold", "sale", "buyer")}),
        (
            "At Stripe",
            {
                "fields": (
                    *("provider_id", "provider_status", "epoch", "attempts"),
                    *("next_attempt", "last_error"),
                )
            },
        ),
        HISTORY,
    )
    inlines = (RefundOfCardInline, DisputeInline)
    state, amount = badge("status"), money("amount_minor", label="asked for")
    created, succeeded = venue_time("created_at", "begun"), venue_time("succeeded_at")
    called_off = venue_time("cancel_requested_at", "called off")
    next_attempt = venue_time("next_run_at", "next attempt")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without what opens a payment at Stripe."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.defer("client_secret")

    @admin.display(description="received")
    def received(self, payment: CardPayment) -> SafeString | str:
        """What came in."""
        return show_received(payment) or self.get_empty_value_display()


def _void(payment: OfflinePayment, wish: Wish) -> None:
    void_payment(payment_id=payment.pk, staff_id=wish.staff_id, reason=wish.reason)


def _why_no_void(payment: OfflinePayment, staff_id: UUID) -> str:
    if not is_voidable(payment) or may_void(payment, staff_id):
        return ""
    return str(VoidNotAllowed())


@admin.register(OfflinePayment)
class OfflinePaymentAdmin(ActingAdmin[Any], MoneyAdmin):
    """Money that staff took in by hand, by receipt; a mistake is voided, with a why."""

    audit_subject = "offlinepayment"
    list_display = (
        *("__str__", "venue", "amount", "method", "sale"),
        *("buyer", "recorded_by", "recorded"),
    )
    list_filter: ClassVar[Any] = ("method", OF_VENUE)
    list_select_related = (*MoneyAdmin.list_select_related, "venue", "recorded_by")
    fieldsets = (
        (
            "Payment",
            {"fields": ("amount", "tax", "method", "note", "recorded_by", "recorded")},
        ),
        ("For", {"fields": ("sold", "sale", "buyer")}),
        (
            "Receipt",
            {"fields": ("venue", "receipt_number", "receipt", "reverses", "void")},
        ),
        HISTORY,
    )
    inlines = (RefundByHandInline,)
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "void": RowAction(
            "Void",
            "For what was recorded by mistake and never paid. It is due again; both"
            " receipts stay. Money that was paid is refunded instead.",
            "It is voided, and due again.",
            MAY_RECORD,
            _void,
            lambda payment, staff_id: (
                is_voidable(payment) and may_void(payment, staff_id)
            ),
            needs_reason=True,
            needs_step_up=True,
            why_not=_why_no_void,
        )
    }
    amount = money("amount_minor", label="amount")
    recorded = venue_time("recorded_at", "when")

    def hidden_fields(
        self, request: HttpRequest, obj: OfflinePayment | None = None
    ) -> Sequence[str]:
        """Most payments reverse no other, and are not reversed."""
        hidden = tuple(super().hidden_fields(request, obj))
        if obj is None:
            return hidden
        has = {"reverses": obj.reverses_id, "void": hasattr(obj, "reversed_by")}
        return (*hidden, *(name for name, is_there in has.items() if not is_there))

    def row_actions(self, row: OfflinePayment) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Taking a mistake back."""
        return self.buttons

    def get_urls(self) -> list[Any]:
        """The receipt is a page of its own."""
        receipt = path(
            "<uuid:payment_id>/receipt/",
            self.admin_site.admin_view(self.show_receipt),
            name="payments_offlinepayment_receipt",
        )
        return [receipt, *super().get_urls()]

    def show_receipt(self, request: HttpRequest, payment_id: UUID) -> HttpResponse:
        """A receipt that can be printed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        payment = self.get_object(request, str(payment_id))
        if payment is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": f"Receipt {payment.receipt_number}",
            "opts": self.opts,
            "original": payment,
            "lines": _lines_of_receipt(payment),
        }
        return TemplateResponse(request, "admin/receipt.html", context)

    @admin.display(description="tax included")
    def tax(self, payment: OfflinePayment) -> str:
        """How much of it, at which rate."""
        return _say_tax(payment)

    @admin.display(description="voided by")
    def void(self, payment: OfflinePayment) -> SafeString:
        """The row that takes it back."""
        return link_to(payment.reversed_by)

    @admin.display(description="to print")
    def receipt(self, payment: OfflinePayment) -> SafeString:
        """The way to its receipt."""
        return link_to_receipt(payment)


def link_to_receipt(payment: OfflinePayment) -> SafeString:
    """A link to the receipt that can be printed."""
    url = reverse("admin:payments_offlinepayment_receipt", args=[payment.pk])
    name = "reversal" if payment.reverses_id else "receipt"
    return format_html('<a href="{}">{} {}</a>', url, name, payment.receipt_number)


def _say_tax(payment: OfflinePayment) -> str:
    tax = format_money(payment.tax_minor, payment.currency)
    return f"{tax} ({payment.tax_rate.normalize():f} %)"


def _lines_of_receipt(payment: OfflinePayment) -> dict[str, Any]:
    verb = "Taken back" if payment.reverses_id else "Paid"
    lines = {
        "Number": payment.receipt_number,
        "Date": format_moment(payment.recorded_at, payment.venue.zone),
        "For": payment.payable.title,
        "Reference": payment.payable.reference,
        verb: format_money(payment.amount_minor, payment.currency),
        "Tax included": _say_tax(payment),
        "Method": payment.get_method_display(),
    }
    return {name: value for name, value in lines.items() if value != ""}


@admin.register(Dispute)
class DisputeAdmin(MoneyAdmin):
    """Payments that customers asked their banks to take back."""

    audit_subject = "dispute"
    path_to_payable = "card_payment__payable"
    path_to_venue = f"{path_to_payable}__venue"
    list_display = (
        *("provider_id", "state", "amount", "reason", "sale"),
        *("buyer", "opened", "closed"),
    )
    list_filter: ClassVar[Any] = ("status", (path_to_venue, OwnRowsFilter))
    list_select_related = (path_to_venue, f"{path_to_payable}__customer")
    fieldsets = (
        (
            "Dispute",
            {"fields": ("state", "amount", "reason", "opened", "closed")},
        ),
        ("For", {"fields": ("payment", "sold", "sale", "buyer")}),
        ("At Stripe", {"fields": ("provider_id",)}),
        HISTORY,
    )
    state, amount = badge("status"), money("amount_minor", label="amount")
    opened, closed = venue_time("opened_at"), venue_time("closed_at")

    @admin.display(description="payment")
    def payment(self, dispute: Dispute) -> SafeString:
        """The card payment whose money it is."""
        return link_to(dispute.card_payment)
