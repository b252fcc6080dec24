"""Money for something that was sold: what is owed, what was paid, what went back."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from payments.models.reconciliation import Installation as Installation
from payments.models.reconciliation import ReconciledDay as ReconciledDay
from payments.models.reconciliation import Reconciliation as Reconciliation
from payments.states import (
    UNDECIDED_PAYMENTS,
    CardPaymentStatus,
    DisputeStatus,
    LineKind,
    OfflineMethod,
    PaymentStatus,
    RefundReason,
    RefundStatus,
)
from recovery.models import Case, DueRow
from slotbase.accounts.models import Venue
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class Payable(models.Model):
    """What is owed for one sale. Its row is the lock for all of its money.

    It knows the sale only by what it was given: venue, customer, reference and title.
    The counters are sums over the rows below it (`services.payables.recount`).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    venue = models.ForeignKey(
        Venue, models.PROTECT, null=True, blank=True, related_name="+"
    )
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="payables",
    )
    reference = models.CharField(max_length=64, blank=True)
    title = models.CharField(max_length=200)
    tax_rate = models.DecimalField(
        max_digits=5, decimal_places=2, default=0, help_text="Percent, included."
    )
    currency = models.CharField(max_length=3)
    owed_minor = models.BigIntegerField(default=0)
    paid_minor = models.BigIntegerField(default=0)
    refunded_minor = models.BigIntegerField(default=0)
    refund_reserved_minor = models.BigIntegerField(default=0)
    disputed_minor = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    paid_at = models.DateTimeField(
        null=True, blank=True, help_text="When money came in last."
    )
    version = models.PositiveIntegerField(default=1)

    class Meta:
        permissions = (
            ("record_payment", "Can record money that was paid by hand"),
            ("refund_payment", "Can give money back"),
            ("pay_out_refund", "Can pay out by hand what is owed to a customer"),
            ("approve_refund", "Can approve a refund of a colleague"),
            ("void_payment", "Can void money that was recorded by mistake"),
        )
        indexes = (
            models.Index(fields=["reference"], name="payments_payable_reference"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(
                    owed_minor__gte=0,
                    paid_minor__gte=0,
                    refunded_minor__gte=0,
                    refund_reserved_minor__gte=0,
                    disputed_minor__gte=0,
                ),
                name="payments_payable_not_negative",
            ),
        )

    def __str__(self) -> str:
        return f"{self.title} {self.reference}".strip()

    @property
    def kept_minor(self) -> int:
        """What is ours of the money that came in, in minor units."""
        gone = self.refunded_minor + self.refund_reserved_minor + self.disputed_minor
        return self.paid_minor - gone

    @property
    def due_minor(self) -> int:
        """What is still to be paid."""
        return max(self.owed_minor - self.kept_minor, 0)

    @property
    def excess_minor(self) -> int:
        """What we have and must not keep."""
        return max(self.kept_minor - self.owed_minor, 0)

    @property
    def is_covered(self) -> bool:
        """Whether something was owed, and all of it is here."""
        return self.owed_minor > 0 and self.kept_minor >= self.owed_minor

    @property
    def status(self) -> PaymentStatus:
        """In one word."""
        if self.refunded_minor and self.refunded_minor >= self.paid_minor:
            return PaymentStatus.REFUNDED
        if self.refunded_minor:
            return PaymentStatus.PARTIALLY_REFUNDED
        if not self.paid_minor:
            return PaymentStatus.UNPAID
        if self.paid_minor < self.owed_minor:
            return PaymentStatus.PARTIALLY_PAID
        # What is on its way back is no credit.
        return PaymentStatus.OVERPAID if self.excess_minor else PaymentStatus.PAID


class PayableLine(models.Model):
    """Why something is owed: lines are added, never changed; owed is their sum."""

    payable = models.ForeignKey(Payable, models.PROTECT, related_name="lines")
    kind = models.CharField(max_length=8, choices=LineKind)
    amount_minor = models.BigIntegerField()
    added_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(kind=LineKind.WAIVER, amount_minor__lte=0)
                | Q(kind__in=[LineKind.PRICE, LineKind.FEE], amount_minor__gte=0)
                | Q(kind=LineKind.MOVE),
                name="payments_line_sign",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.amount_minor}"


class CardPayment(DueRow):
    """One PaymentIntent of Stripe. No card data reaches us.

    Due means: to be made there, to be looked at, or to be cancelled there.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payable = models.ForeignKey(Payable, models.PROTECT, related_name="card_payments")
    status = models.CharField(
        max_length=10, choices=CardPaymentStatus, default=CardPaymentStatus.CREATING
    )
    amount_minor = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    received_minor = models.PositiveBigIntegerField(default=0)
    received_currency = models.CharField(max_length=3, blank=True)
    # Other than asked for: it counts once staff say so.
    is_mismatch = models.BooleanField(default=False)
    epoch = models.PositiveSmallIntegerField(default=1)
    # The key holds an error for ever: ask before a new one is used.
    is_key_spent = models.BooleanField(default=False)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    provider_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    provider_status = models.CharField(max_length=32, blank=True)
    client_secret = models.CharField(max_length=255, blank=True, editable=False)
    decline_code = models.CharField(max_length=64, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    succeeded_at = models.DateTimeField(null=True, blank=True)
    compared_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(DueRow.Meta):
        indexes = (
            models.Index(fields=["created_at"], name="payments_cardpayment_created"),
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="payments_cardpayment_due",
            ),
        )
        constraints = (
            *DueRow.due_constraints("payments_cardpayment"),
            models.CheckConstraint(
                condition=Q(status__in=CardPaymentStatus.values),
                name="payments_cardpayment_choices",
            ),
            models.UniqueConstraint(
                fields=["payable"],
                condition=Q(status__in=UNDECIDED_PAYMENTS),
                name="payments_cardpayment_one_open",
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0), name="payments_cardpayment_positive"
            ),
            models.CheckConstraint(
                condition=Q(
                    status=CardPaymentStatus.SUCCEEDED,
                    succeeded_at__isnull=False,
                )
                & ~Q(received_currency="")
                | ~Q(status=CardPaymentStatus.SUCCEEDED)
                & Q(succeeded_at__isnull=True, received_minor=0),
                name="payments_cardpayment_succeeded",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[CardPaymentStatus.CREATING, CardPaymentStatus.UNKNOWN],
                    next_run_at__isnull=False,
                )
                | Q(
                    status__in=[CardPaymentStatus.OPEN, CardPaymentStatus.PROCESSING],
                    provider_id__isnull=False,
                )
                | Q(status=CardPaymentStatus.SUCCEEDED, provider_id__isnull=False)
                | Q(status=CardPaymentStatus.CANCELED, next_run_at__isnull=True),
                name="payments_cardpayment_due_while_undecided",
            ),
        )

    def __str__(self) -> str:
        return self.provider_id or f"Card payment {str(self.pk)[-6:]}"


class OfflinePayment(models.Model):
    """Money that staff took in by hand. Never changed; a void is a reversing row."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payable = models.ForeignKey(
        Payable, models.PROTECT, related_name="offline_payments"
    )
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    method = models.CharField(max_length=16, choices=OfflineMethod)
    note = models.CharField(max_length=200, blank=True)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    recorded_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    venue = models.ForeignKey(Venue, models.PROTECT, related_name="+")
    receipt_number = models.PositiveIntegerField()
    tax_rate = models.DecimalField(max_digits=5, decimal_places=2, default=0)
    tax_minor = models.BigIntegerField(default=0)
    idempotency_key = models.UUIDField(unique=True)
    reverses = models.OneToOneField(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="reversed_by",
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["venue", "receipt_number"], name="payments_offline_receipt"
            ),
            models.CheckConstraint(
                condition=Q(method__in=OfflineMethod.values),
                name="payments_offline_choices",
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0, reverses__isnull=True)
                | Q(amount_minor__lt=0, reverses__isnull=False),
                name="payments_offline_sign",
            ),
        )

    def __str__(self) -> str:
        return f"Receipt {self.receipt_number}"


class ReceiptCounter(models.Model):
    """The last receipt number of a venue: its row lock keeps numbers without gaps."""

    venue = models.OneToOneField(Venue, models.PROTECT, primary_key=True)
    last_number = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.venue}: {self.last_number}"


class Refund(DueRow):
    """Money of one payment that goes back to whoever paid it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payable = models.ForeignKey(Payable, models.PROTECT, related_name="refunds")
    card_payment = models.ForeignKey(
        CardPayment, models.PROTECT, null=True, blank=True, related_name="refunds"
    )
    offline_payment = models.ForeignKey(
        OfflinePayment, models.PROTECT, null=True, blank=True, related_name="refunds"
    )
    status = models.CharField(
        max_length=20, choices=RefundStatus, default=RefundStatus.REQUESTED
    )
    amount_minor = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=10, choices=RefundReason)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )
    # The first one of those that were made because the one before failed.
    origin = models.UUIDField(editable=False, db_index=True)
    epoch = models.PositiveSmallIntegerField(default=1)
    is_key_spent = models.BooleanField(default=False)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    # How often, and since when, Stripe was asked and had no such refund.
    absent_reads = models.PositiveSmallIntegerField(default=0)
    absent_since = models.DateTimeField(null=True, blank=True)
    provider_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    failure_reason = models.CharField(max_length=64, blank=True)
    pending_reason = models.CharField(max_length=64, blank=True)
    # By hand, since the payment was, or since the card does not take it.
    is_payout = models.BooleanField(default=False)
    evidence = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    settled_at = models.DateTimeField(null=True, blank=True)
    compared_at = models.DateTimeField(null=True, blank=True, editable=False)
    version = models.PositiveIntegerField(default=1)

    class Meta(DueRow.Meta):
        indexes = (
            models.Index(fields=["created_at"], name="payments_refund_created"),
            models.Index(
                fields=["requested_by", "created_at"],
                condition=Q(requested_by__isnull=False),
                name="payments_refund_of_staff",
            ),
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="payments_refund_due",
            ),
        )
        constraints = (
            *DueRow.due_constraints("payments_refund"),
            models.CheckConstraint(
                condition=Q(status__in=RefundStatus.values)
                & Q(reason__in=RefundReason.values),
                name="payments_refund_choices",
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0), name="payments_refund_positive"
            ),
            models.CheckConstraint(
                condition=Q(card_payment__isnull=False, offline_payment__isnull=True)
                | Q(card_payment__isnull=True, offline_payment__isnull=False),
                name="payments_refund_of_one_payment",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        RefundStatus.REQUESTED,
                        RefundStatus.SENDING,
                        RefundStatus.UNKNOWN,
                    ],
                    next_run_at__isnull=False,
                    card_payment__isnull=False,
                )
                | Q(
                    status__in=[
                        RefundStatus.PENDING,
                        RefundStatus.REQUIRES_ACTION,
                        RefundStatus.SUCCEEDED,
                    ],
                    provider_id__isnull=False,
                )
                | Q(
                    status__in=[
                        RefundStatus.FAILED,
                        RefundStatus.CANCELED,
                        RefundStatus.NEEDS_STAFF,
                        RefundStatus.RESOLVED_OUT_OF_BAND,
                    ],
                    next_run_at__isnull=True,
                ),
                name="payments_refund_due_while_open",
            ),
        )

    def __str__(self) -> str:
        return self.provider_id or f"Refund {str(self.pk)[-6:]}"

    @property
    def payment(self) -> Any:
        """The payment whose money it is."""
        return self.card_payment or self.offline_payment


class Dispute(models.Model):
    """A customer asked their bank for the money of a card payment."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    card_payment = models.ForeignKey(
        CardPayment, models.PROTECT, related_name="disputes"
    )
    provider_id = models.CharField(max_length=255, unique=True)
    status = models.CharField(
        max_length=4, choices=DisputeStatus, default=DisputeStatus.OPEN
    )
    amount_minor = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=64, blank=True)
    # False: only an inquiry so far; the money is still with us.
    took_money = models.BooleanField(default=True)
    opened_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=DisputeStatus.values),
                name="payments_dispute_choices",
            ),
            models.CheckConstraint(
                condition=Q(status=DisputeStatus.OPEN, closed_at__isnull=True)
                | ~Q(status=DisputeStatus.OPEN) & Q(closed_at__isnull=False),
                name="payments_dispute_closed_at",
            ),
        )

    def __str__(self) -> str:
        return self.provider_id


class RefundFailures(models.Manager["RefundFailure"]):
    """The cases of refunds that did not reach the customer."""

    def get_queryset(self) -> Any:
        """Only those."""
        return super().get_queryset().filter(kind="refund_failure")


class RefundFailure(Case):
    """A refund that needs a person; the refund itself is its subject."""

    objects: ClassVar[RefundFailures] = RefundFailures()

    class Meta:
        proxy = True
