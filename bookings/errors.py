"""What can go wrong with a hold or a booking, as the client is told."""

from datetime import timedelta
from math import ceil

from slotbase.lib.errors import (
    Conflict,
    DomainError,
    Gone,
    InvalidState,
    NotFound,
    TooMany,
    Unprocessable,
)


class ResourceNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__(
            "There is no such resource.",
            errors={"resource": ["There is no such resource."]},
        )


class HoldNotFound(NotFound):
    title = "There is no such hold"


class BookingNotFound(NotFound):
    title = "There is no such booking"


class SlotUnavailable(Conflict):
    code, title = "slot_unavailable", "This slot was just taken"


class ResourceClosed(Conflict):
    code, title = "resource_closed", "It is closed at that time"


class HoldLimit(TooMany):
    code, title = "hold_limit", "You hold as many slots as you may"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"You may hold {limit} slots at a time. Confirm or release one first."
        )


class CoolDown(TooMany):
    """Slots were kept from others again and again, and for nothing."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__("You let several holds run out. Please wait for a while.")
        self.retry_after = max(1, ceil(wait.total_seconds()))


class WaitlistEntryNotFound(NotFound):
    title = "You do not wait for this"


class WaitlistLimit(TooMany):
    code, title = "waitlist_limit", "You wait for as many slots as you may"

    def __init__(self, limit: int) -> None:
        super().__init__(f"You may wait for {limit} slots at a time. Leave one first.")


class NothingOffered(InvalidState):
    """There is no offer that could be declined, or it has run out."""


class HoldHasExpired(Gone):
    code, title = "hold_expired", "The hold has expired"

    def __init__(self) -> None:
        super().__init__("The hold has expired. Please hold the slot again.")


class HoldIsReleased(Conflict):
    code, title = "hold_released", "The hold was released"


class PaymentRequired(DomainError):
    code, status, title = "payment_required", 402, "Pay for this booking first"


class PaymentUndecided(Exception):
    """Not refused: the answer is 202, and the booking comes when the money does."""


class NothingToPay(InvalidState):
    """The hold costs nothing online, or is paid or sold already."""


class NotCancellable(Conflict):
    code, title = "not_cancellable", "The booking cannot be cancelled any more"


class CancellationClosed(Conflict):
    code, title = "cancellation_closed", "It is too late to cancel"


class NotMovable(InvalidState):
    """Only what is still to come can be moved."""


class BookingHasChanged(Conflict):
    code, title = "version_conflict", "Somebody changed this meanwhile"


class NonexistentTime(Unprocessable):
    code, title = "nonexistent_time", "The clocks skip this local time"


class AmbiguousTime(Unprocessable):
    code, title = "ambiguous_time", "This local time happens twice"
