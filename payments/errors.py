"""What can go wrong with money, as the client or staff are told."""

from uuid import UUID

from slotbase.lib.errors import Conflict, DomainError, Forbidden, NotFound


class PayableNotFound(NotFound):
    title = "There is nothing to pay here"


class PaymentNotFound(NotFound):
    title = "There is no such payment"


class RefundNotFound(NotFound):
    title = "There is no such refund"


class CardDeclined(DomainError):
    code, status, title = "card_declined", 402, "The card was declined"

    def __init__(self) -> None:
        super().__init__("The card was declined. Try again, or use another card.")


class RefundExceedsBalance(Conflict):
    code, title = "refund_exceeds_balance", "More than is left of this payment"

    def __init__(self, refundable_minor: int) -> None:
        super().__init__(
            "Less is left to give back.", refundable_minor=refundable_minor
        )
        self.refundable_minor = refundable_minor


class PaymentDisputed(Conflict):
    code, title = "payment_disputed", "The payment is disputed at the bank"


class Overpayment(Conflict):
    code, title = "overpayment", "More than is due"

    def __init__(self, due_minor: int) -> None:
        super().__init__("It is more than is due.", due_minor=due_minor)
        self.due_minor = due_minor


class PossibleDuplicate(Conflict):
    code, title = "possible_duplicate", "This may have been recorded already"

    def __init__(self, detail: str = "", *, payment_id: UUID | None = None) -> None:
        super().__init__(detail)
        self.payment_id = payment_id


class PayableHasChanged(Conflict):
    code, title = "version_conflict", "Somebody changed this meanwhile"


class VoidNotAllowed(Forbidden):
    def __init__(self) -> None:
        super().__init__(
            "You may void what you recorded yourself today. Ask a manager."
        )


class TooMuchForTheDesk(Forbidden):
    def __init__(self, limit: str) -> None:
        super().__init__(f"More than {limit} at once is recorded by a manager.")
