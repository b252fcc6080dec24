"""Back office: the money of a booking, and the pages to take it and to give it back."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from bookings.admin.forms import RecordForm, RefundForm
from bookings.models import Booking
from payments.admin.base import MAY_RECORD, MAY_REFUND, link_to, show_money
from payments.admin.payments import link_to_receipt
from payments.admin.refunds import show_refund
from payments.errors import (
    Overpayment,
    PayableHasChanged,
    PaymentDisputed,
    PaymentNotFound,
    PossibleDuplicate,
    RefundExceedsBalance,
)
from payments.models import OfflinePayment, Payable, Refund
from payments.queries import list_refunds
from payments.services.offline import Received, record_payment
from payments.services.refunds import refund_amount
from payments.states import OfflineMethod
from recovery.backoffice import AuditedAdmin, staff_id_of
from recovery.errors import ApprovalRequired
from recovery.proposals import propose, show_proposals
from recovery.step_up import ask_first
from slotbase.lib.columns import format_link, format_state
from slotbase.lib.errors import DomainError, ValidationFailed
from slotbase.lib.money import format_money

RECORD, REFUND = "bookings_booking_record_payment", "bookings_booking_refund"


class MoneyPages(AuditedAdmin[Any]):
    """What a booking costs and what was paid, and two buttons."""

    change_form_template = "admin/booking.html"
    #: The buttons: words, page, who may press them.
    money_buttons: ClassVar[Sequence[tuple[str, str, str]]] = (
        ("Record payment", RECORD, MAY_RECORD),
        ("Refund", REFUND, MAY_REFUND),
    )

    def get_urls(self) -> list[Any]:
        """Each has a page of its own."""
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/record-payment/", view(self.show_record), name=RECORD),
            path("<uuid:pk>/refund/", view(self.show_refund), name=REFUND),
            *super().get_urls(),
        ]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """With the buttons that this person may press."""
        booking = context["original"]
        context["money_buttons"] = [
            (words, reverse(f"admin:{page}", args=[booking.pk]))
            for words, page, permission in self.money_buttons
            if booking.payable_id and request.user.has_perm(permission)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    # --- Taking money --------------------------------------------------------------

    def show_record(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask what was paid, and record it once."""
        booking, payable = self._open(request, pk, MAY_RECORD)
        form = RecordForm(payable, request.POST or None)
        if request.method != "POST":
            return self._show(request, booking, form, "Record payment")
        status = 400
        if form.is_valid():
            try:
                payment, is_new = record_payment(_received(request, form))
            except DomainError as error:
                status = error.status
                _say_why_not_recorded(form, error)
            else:
                _tell(request, form, payment, is_new=is_new)
                return _back_to(booking)
        return self._show(request, booking, form, "Record payment", status)

    # --- Giving it back ------------------------------------------------------------

    def show_refund(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask how much of which payment goes back, and let it go."""
        booking, payable = self._open(request, pk, MAY_REFUND)
        if asked := ask_first(request):
            return asked
        form = RefundForm(payable, request.POST or None)
        if request.method != "POST":
            return self._show(request, booking, form, "Refund")
        status = 400
        if form.is_valid():
            try:
                messages.success(request, _refund_or_propose(request, form))
            except DomainError as error:
                status = error.status
                form = _say_why_not_refunded(payable, form, error)
            else:
                return _back_to(booking)
        return self._show(request, booking, form, "Refund", status)

    def _open(
        self, request: HttpRequest, pk: UUID, permission: str
    ) -> tuple[Booking, Payable]:
        """A booking that this person sees and whose money they may move."""
        if not request.user.has_perm(permission):
            raise PermissionDenied
        if not self.has_view_permission(request):
            raise PermissionDenied
        booking: Booking | None = self.get_object(request, str(pk))
        if booking is None or booking.payable is None:
            raise Http404
        return booking, booking.payable

    def _show(
        self,
        request: HttpRequest,
        booking: Booking,
        form: forms.Form,
        title: str,
        status: int = 200,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "subtitle": booking.reference,
            "opts": self.opts,
            "original": booking,
            "form": form,
            "facts": dict(self._facts(booking)),
        }
        return TemplateResponse(
            request, "admin/booking_money.html", context, status=status
        )

    def _facts(self, booking: Booking) -> Iterator[tuple[str, Any]]:
        """What they must see to type the right thing."""
        yield "Booking", format_link("bookings_booking", booking)
        yield "What", booking.resource
        yield "When", self.when(booking)  # type: ignore[attr-defined]
        yield "Customer", booking.customer
        for name in ("owed", "paid", "due"):
            yield name.capitalize(), getattr(self, name)(booking)

    # --- What is shown --------------------------------------------------------------

    @admin.display(description="payment")
    def payment_state(self, booking: Booking) -> SafeString | str:
        """How far it is paid."""
        if booking.payable is None:
            return self.get_empty_value_display()
        return format_state(booking.payable.status)

    @admin.display(description="owed")
    def owed(self, booking: Booking) -> SafeString | str:
        """What it costs by now: fees and waivers included."""
        return self._amount(booking, "owed_minor")

    @admin.display(description="paid")
    def paid(self, booking: Booking) -> SafeString | str:
        """What came in."""
        return self._amount(booking, "paid_minor")

    @admin.display(description="due")
    def due(self, booking: Booking) -> SafeString | str:
        """What is still to be paid."""
        return self._amount(booking, "due_minor")

    def _amount(self, booking: Booking, field: str) -> SafeString | str:
        if booking.payable is None:
            return self.get_empty_value_display()
        return show_money(getattr(booking.payable, field), booking.payable.currency)

    @admin.display(description="refunds")
    def refunds(self, booking: Booking) -> SafeString | str:
        """What goes back, each with its state."""
        lines = [(show_refund(each),) for each in list_refunds(booking.payable)]
        none = self.get_empty_value_display()
        return format_html_join("", "<div>{}</div>", lines) or none

    @admin.display(description="waits for a colleague")
    def proposals(self, booking: Booking) -> SafeString | str:
        """What somebody proposed about its money, and nobody has decided yet."""
        lines = [(each,) for each in _proposals_about(booking)]
        return format_html_join("", "<div>{}</div>", lines) or (
            self.get_empty_value_display()
        )

    @admin.display(description="receipts")
    def receipts(self, booking: Booking) -> SafeString | str:
        """What was paid by hand, to print."""
        payments = OfflinePayment.objects.filter(payable=booking.payable_id)
        links = [(link_to_receipt(each),) for each in payments.order_by("id")]
        return format_html_join(", ", "{}", links) or self.get_empty_value_display()

    @admin.display(description="all of it")
    def all_money(self, booking: Booking) -> SafeString | str:
        """The way to everything about its money."""
        if booking.payable is None:
            return self.get_empty_value_display()
        return link_to(booking.payable, "Lines, payments and refunds")


def _proposals_about(booking: Booking) -> list[SafeString]:
    refunds = [each.pk for each in list_refunds(booking.payable)]
    return [
        *show_proposals("booking", booking.pk),
        *show_proposals("payable", booking.payable_id),
        *show_proposals("refund", *refunds),
    ]


def _back_to(booking: Booking) -> HttpResponse:
    url = reverse("admin:bookings_booking_change", args=[booking.pk])
    return HttpResponseRedirect(url)


# --- Taking money ---------------------------------------------------------------------


def _received(request: HttpRequest, form: RecordForm) -> Received:
    typed = form.cleaned_data
    return Received(
        payable_id=form.payable.pk,
        amount_minor=typed["amount"],
        method=OfflineMethod(typed["method"]),
        staff_id=staff_id_of(request),
        key=typed["key"],
        note=typed["note"],
        is_second=typed["is_second"],
        may_exceed=typed["may_exceed"],
    )


def _say_why_not_recorded(form: RecordForm, error: DomainError) -> None:
    """Beside the field that it is about; what was typed stays."""
    if isinstance(error, Overpayment):
        form.ask_about_excess(error.due_minor)
    elif isinstance(error, PossibleDuplicate) and error.payment_id:
        earlier = _payment(error.payment_id)
        question = f"{_say_earlier(earlier)} If this is another one, tick the box."
        form.add_error("is_second", question)
    else:
        _add_errors(form, error)


def _add_errors(form: forms.Form, error: DomainError) -> None:
    fields: Mapping[str, list[str]] = {}
    if isinstance(error, ValidationFailed):
        fields = error.extra["errors"]
    for name, texts in fields.items():
        form.add_error(name if name in form.fields else None, texts)
    if not fields:
        form.add_error(None, str(error))


def _payment(payment_id: UUID) -> OfflinePayment:
    payments = OfflinePayment.objects.select_related("venue", "recorded_by")
    return payments.get(pk=payment_id)


def _say_earlier(payment: OfflinePayment) -> str:
    """For people: 24.00 EUR was already recorded at 14:02 CET by Ana, receipt 1042."""
    amount = format_money(payment.amount_minor, payment.currency)
    at = payment.recorded_at.astimezone(payment.venue.zone)
    return (
        f"{amount} was already recorded at {at:%H:%M %Z} by {payment.recorded_by},"
        f" receipt {payment.receipt_number}."
    )


def _tell(
    request: HttpRequest, form: RecordForm, payment: OfflinePayment, *, is_new: bool
) -> None:
    if is_new:
        messages.success(request, _say_recorded(payment))
        return
    words = _say_earlier(_payment(payment.pk))
    if payment.amount_minor == form.cleaned_data["amount"]:
        messages.warning(request, f"{words} It was not recorded again.")
        return
    # The same form with another amount: whoever came back to it meant something else.
    again = "Nothing new was recorded. To record another payment, open the form anew."
    messages.error(request, f"{words} {again}")


def _say_recorded(payment: OfflinePayment) -> SafeString:
    return format_html(
        "{} recorded ({}): {}.",
        format_money(payment.amount_minor, payment.currency),
        payment.get_method_display().lower(),
        link_to_receipt(payment),
    )


# --- Giving it back -------------------------------------------------------------------


def _refund_or_propose(request: HttpRequest, form: RefundForm) -> SafeString | str:
    """Let it go; what takes two is proposed. Says which of them."""
    typed, staff_id = form.cleaned_data, staff_id_of(request)
    try:
        refund = refund_amount(
            payment_id=form.payment_id,
            amount_minor=typed["amount"],
            staff_id=staff_id,
            version=typed["version"],
            stays_owed=typed["stays_owed"],
        )
    except ApprovalRequired as needed:
        return propose(needed, staff_id=staff_id, reason=typed["reason"])
    return _say_way_back(refund)


def _say_why_not_refunded(
    payable: Payable, form: RefundForm, error: DomainError
) -> RefundForm:
    """The form with what was typed, at the money as it is now."""
    if isinstance(error, PayableHasChanged):
        return _look_again(payable, form)
    if isinstance(error, RefundExceedsBalance):
        left = format_money(error.refundable_minor, form.currency)
        form.add_error("amount", f"Only {left} is left of this payment.")
    elif isinstance(error, PaymentDisputed | PaymentNotFound):
        form.add_error("payment", str(error))
    else:
        _add_errors(form, error)
    return form


def _look_again(payable: Payable, form: RefundForm) -> RefundForm:
    payable.refresh_from_db()
    data = {name: form.data[name] for name in form.fields if name in form.data}
    data["version"] = payable.version
    fresh = RefundForm(payable, data)
    fresh.is_valid()
    fresh.add_error(None, "Somebody changed its money meanwhile. Look at it again.")
    return fresh


def _say_way_back(refund: Refund) -> SafeString:
    amount = format_money(refund.amount_minor, refund.currency)
    way = "goes back to the card" if not refund.is_payout else "is to be paid out"
    return format_html("{} {}: {}.", amount, way, link_to(refund, "refund"))
