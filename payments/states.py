"""The states of payments, refunds and disputes, and the only legal moves.

`CANCELED` is Stripe's spelling and stands for its objects.
"""

from django.db.models import TextChoices


class LineKind(TextChoices):
    PRICE = "PRICE"
    MOVE = "MOVE"
    FEE = "FEE"
    # What need not be paid any more: the sale came to nothing, or was cancelled.
    WAIVER = "WAIVER"


class PaymentStatus(TextChoices):
    """Of a payable, derived from its counters."""

    UNPAID = "UNPAID"
    PARTIALLY_PAID = "PARTIALLY_PAID"
    PAID = "PAID"
    OVERPAID = "OVERPAID"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"


class RefundProgress(TextChoices):
    """Of all refunds of a payable, derived from them."""

    NONE = "NONE"
    PENDING = "PENDING"
    PARTIAL = "PARTIAL"
    COMPLETE = "COMPLETE"
    NEEDS_STAFF = "NEEDS_STAFF"


class CardPaymentStatus(TextChoices):
    CREATING = "CREATING"
    # Whether there is an intent at Stripe is not known.
    UNKNOWN = "UNKNOWN"
    # The customer can pay.
    OPEN = "OPEN"
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    CANCELED = "CANCELED"


_ANY_INTENT = {
    CardPaymentStatus.OPEN,
    CardPaymentStatus.PROCESSING,
    CardPaymentStatus.SUCCEEDED,
    CardPaymentStatus.CANCELED,
}
CARD_PAYMENT_MOVES: dict[str, frozenset[str]] = {
    CardPaymentStatus.CREATING: frozenset({CardPaymentStatus.UNKNOWN, *_ANY_INTENT}),
    CardPaymentStatus.UNKNOWN: frozenset(_ANY_INTENT),
    CardPaymentStatus.OPEN: frozenset(_ANY_INTENT - {CardPaymentStatus.OPEN}),
    CardPaymentStatus.PROCESSING: frozenset(
        _ANY_INTENT - {CardPaymentStatus.PROCESSING}
    ),
    CardPaymentStatus.SUCCEEDED: frozenset(),
    # We had given up one that nobody knew of, and it was paid all the same.
    CardPaymentStatus.CANCELED: frozenset({CardPaymentStatus.SUCCEEDED}),
}
#: At most one of a payable at a time.
UNDECIDED_PAYMENTS = (
    CardPaymentStatus.CREATING,
    CardPaymentStatus.UNKNOWN,
    CardPaymentStatus.OPEN,
    CardPaymentStatus.PROCESSING,
)


class OfflineMethod(TextChoices):
    CASH = "CASH", "Cash"
    CARD_TERMINAL = "CARD_TERMINAL", "Card terminal"
    BANK_TRANSFER = "BANK_TRANSFER", "Bank transfer"
    CHEQUE = "CHEQUE", "Cheque"
    OTHER = "OTHER", "Other"


class RefundStatus(TextChoices):
    REQUESTED = "REQUESTED"
    SENDING = "SENDING"
    # Whether Stripe made it is not known: never taken for failed.
    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    # Stands in a case: refused, out of attempts, or to be paid out by hand.
    NEEDS_STAFF = "NEEDS_STAFF"
    RESOLVED_OUT_OF_BAND = "RESOLVED_OUT_OF_BAND"


_TOLD_BY_STRIPE = {
    RefundStatus.PENDING,
    RefundStatus.REQUIRES_ACTION,
    RefundStatus.SUCCEEDED,
    RefundStatus.FAILED,
    RefundStatus.CANCELED,
}
REFUND_MOVES: dict[str, frozenset[str]] = {
    RefundStatus.REQUESTED: frozenset(
        {RefundStatus.SENDING, RefundStatus.NEEDS_STAFF, *_TOLD_BY_STRIPE}
    ),
    # REQUESTED again: it surely did not happen.
    RefundStatus.SENDING: frozenset(
        {
            RefundStatus.REQUESTED,
            RefundStatus.UNKNOWN,
            RefundStatus.NEEDS_STAFF,
            *_TOLD_BY_STRIPE,
        }
    ),
    RefundStatus.UNKNOWN: frozenset(
        {RefundStatus.REQUESTED, RefundStatus.NEEDS_STAFF, *_TOLD_BY_STRIPE}
    ),
    RefundStatus.PENDING: frozenset(_TOLD_BY_STRIPE - {RefundStatus.PENDING}),
    RefundStatus.REQUIRES_ACTION: frozenset(
        _TOLD_BY_STRIPE - {RefundStatus.REQUIRES_ACTION}
    ),
    # A bank may send the money back days later.
    RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED}),
    RefundStatus.FAILED: frozenset(
        {RefundStatus.NEEDS_STAFF, RefundStatus.RESOLVED_OUT_OF_BAND}
    ),
    RefundStatus.CANCELED: frozenset(
        {RefundStatus.NEEDS_STAFF, RefundStatus.RESOLVED_OUT_OF_BAND}
    ),
    # REQUESTED again: staff try once more.
    RefundStatus.NEEDS_STAFF: frozenset(
        {
            RefundStatus.REQUESTED,
            RefundStatus.RESOLVED_OUT_OF_BAND,
            *_TOLD_BY_STRIPE,
        }
    ),
    RefundStatus.RESOLVED_OUT_OF_BAND: frozenset(),
}
#: Their money is promised; UNKNOWN may even be gone.
RESERVED_REFUNDS = (
    RefundStatus.REQUESTED,
    RefundStatus.SENDING,
    RefundStatus.UNKNOWN,
    RefundStatus.PENDING,
    RefundStatus.REQUIRES_ACTION,
    RefundStatus.NEEDS_STAFF,
)
DONE_REFUNDS = (RefundStatus.SUCCEEDED, RefundStatus.RESOLVED_OUT_OF_BAND)
#: The money is ours again, until staff decide.
FAILED_REFUNDS = (RefundStatus.FAILED, RefundStatus.CANCELED)
#: The customer has not got the money and nothing is on its way.
STUCK_REFUNDS = (RefundStatus.NEEDS_STAFF, *FAILED_REFUNDS)


class RefundReason(TextChoices):
    CANCELLED = "CANCELLED", "The booking was cancelled"
    LATE = "LATE", "The money came too late"
    STAFF = "STAFF", "Staff decided it"
    OUTSIDE = "OUTSIDE", "Made at Stripe by a person"


class DisputeStatus(TextChoices):
    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


DISPUTE_MOVES: dict[str, frozenset[str]] = {
    DisputeStatus.OPEN: frozenset({DisputeStatus.WON, DisputeStatus.LOST}),
    DisputeStatus.WON: frozenset(),
    # A bank thinks better of it, and the money comes back.
    DisputeStatus.LOST: frozenset({DisputeStatus.WON}),
}
