"""What staff type about money: it is read exactly, and stays when it is refused."""

from typing import Any
from uuid import UUID, uuid4

from django import forms

from payments.models import CardPayment, Payable
from payments.services.refunds import Refundable, list_refundable
from payments.states import OfflineMethod
from slotbase.lib.money import (
    UnreadableMoney,
    format_amount,
    format_money,
    parse_money,
)
from slotbase.lib.typed import TypedForm


def read_amount(text: str, currency: str) -> int:
    """Minor units that somebody typed.

    Raises:
        ValidationError: it is not plainly an amount.
    """
    try:
        return parse_money(text, currency)
    except UnreadableMoney as error:
        raise forms.ValidationError(str(error)) from error


class AmountField(forms.CharField):
    """Digits, and a keyboard that has them."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput({"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(max_length=30, widget=widget, **options)


class RecordForm(TypedForm):
    """Money that was paid by hand; `key` is made when the form is shown."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    amount = AmountField()
    method = forms.ChoiceField(choices=OfflineMethod, widget=forms.RadioSelect)
    note = forms.CharField(required=False, max_length=200)
    may_exceed = forms.BooleanField(
        required=False, label="Yes, the customer paid more than is due"
    )
    is_second = forms.BooleanField(
        required=False, label="Yes, this is another payment of the same amount"
    )

    def __init__(self, payable: Payable, data: Any = None) -> None:
        due = payable.due_minor
        amount = format_amount(due, payable.currency) if due else ""
        first = {"key": uuid4(), "amount": amount, "method": OfflineMethod.CASH}
        super().__init__(data, initial=first)
        self.payable = payable
        self.fields["amount"].label = f"Amount in {payable.currency}"
        self.fields["note"].help_text = "Needed where the method is Other."

    def clean_amount(self) -> int:
        """In minor units."""
        return read_amount(self.cleaned_data["amount"], self.payable.currency)

    def ask_about_excess(self, due_minor: int) -> None:
        """More was typed than is due: ask whether it was meant so."""
        due = format_money(due_minor, self.payable.currency)
        question = f"Only {due} is due." if due_minor else "Nothing is due."
        # More than one and a half times as much.
        if 2 * self.cleaned_data["amount"] > 3 * due_minor:
            question += " This is far more: is a digit wrong?"
        self.add_error("may_exceed", f"{question} If it was paid, tick the box.")

    def visible_fields(self) -> list[forms.BoundField]:
        """Without questions that nobody asked."""
        questions = {"may_exceed", "is_second"}
        return [
            field
            for field in super().visible_fields()
            if field.name not in questions or field.errors or field.data
        ]


class RefundForm(TypedForm):
    """All or a part of one payment; `version` is that of the money they looked at."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    payment = forms.ChoiceField(widget=forms.RadioSelect)
    amount = AmountField()
    stays_owed = forms.BooleanField(
        required=False,
        label="It is to be paid again, in another way",
        help_text="Otherwise the customer does not owe it any more.",
    )

    reason = forms.CharField(
        required=False,
        max_length=200,
        label="Why",
        help_text="A colleague reads it, if one has to agree.",
    )

    def __init__(self, payable: Payable, data: Any = None) -> None:
        self.refundable = {
            str(each.payment.pk): each for each in list_refundable(payable)
        }
        first: dict[str, Any] = {"version": payable.version}
        if len(self.refundable) == 1:
            ((pk, only),) = self.refundable.items()
            # What is too much, if anything is; else all of it.
            amount = min(payable.excess_minor or only.left_minor, only.left_minor)
            first |= {"payment": pk, "amount": format_amount(amount, only.currency)}
        super().__init__(data, initial=first)
        choices = [(pk, _say(each)) for pk, each in self.refundable.items()]
        self.fields["payment"].choices = choices  # type: ignore[attr-defined]
        self.fields["amount"].help_text = "All of what is left, or a part of it."

    def clean(self) -> None:
        """The amount is in the currency of its payment."""
        chosen = self.refundable.get(self.cleaned_data.get("payment", ""))
        typed = self.cleaned_data.get("amount")
        if chosen is None or typed is None:
            return
        try:
            amount = read_amount(typed, chosen.currency)
        except forms.ValidationError as error:
            self.add_error("amount", error)
        else:
            self.cleaned_data["amount"] = amount

    @property
    def is_empty(self) -> bool:
        """Whether there is no money that could go back."""
        return not self.refundable

    @property
    def payment_id(self) -> UUID:
        """The chosen payment."""
        return UUID(self.cleaned_data["payment"])

    @property
    def currency(self) -> str:
        """That of the chosen payment."""
        return self.refundable[self.cleaned_data["payment"]].currency


def _say(refundable: Refundable) -> str:
    """`12.00 EUR left of 24.00 EUR: Cash, receipt 3`."""
    payment, currency = refundable.payment, refundable.currency
    left = format_money(refundable.left_minor, currency)
    if isinstance(payment, CardPayment):
        came = format_money(payment.received_minor, currency)
        return f"{left} left of {came}: card, {payment}"
    came = format_money(payment.amount_minor, currency)
    how = payment.get_method_display().lower()
    return f"{left} left of {came}: {how}, receipt {payment.receipt_number}"
