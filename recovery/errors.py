"""What can be wrong with an Idempotency-Key, work on a case, and four eyes."""

from typing import TYPE_CHECKING

from slotbase.lib.errors import (
    Conflict,
    Forbidden,
    InvalidState,
    NotFound,
    Unprocessable,
    ValidationFailed,
)

if TYPE_CHECKING:
    from recovery.approvals import Proposal


class KeyRequired(ValidationFailed):
    code, title = "idempotency_key_required", "Send an Idempotency-Key"


class KeyReused(Unprocessable):
    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used for another request"


class KeyInProgress(Conflict):
    code = "idempotency_in_progress"
    title = "The first request with this key is still running"
    retryable, retry_after = True, 1


class CaseNotFound(NotFound):
    """There is no such case."""


class CaseIsTaken(InvalidState):
    """A colleague claimed the case and their time is not over."""


class Frozen(Conflict):
    """A rule that must always hold is broken here: first a person looks at it."""

    code, title = "frozen", "It cannot be changed until it was looked at"

    def __init__(self) -> None:
        super().__init__(
            "Something about it does not add up. Our staff were told and look at it;"
            " nothing can be changed until then."
        )


class WorkflowIsRunning(InvalidState):
    """A run of this workflow for this subject is not finished yet."""


class CaseHasChanged(Conflict):
    code, title = "version_conflict", "Somebody changed this meanwhile"


class ApprovalRequired(Conflict):
    """Nobody may do this alone: `proposal` is what a second person has to agree to."""

    code, title = "approval_required", "A second person has to agree"

    def __init__(self, proposal: "Proposal") -> None:
        super().__init__("Nobody may do this alone: a colleague has to agree.")
        self.proposal = proposal


class AlreadyProposed(InvalidState):
    """There is an open proposal of this kind about the same thing."""

    def __init__(self, by: str) -> None:
        super().__init__(f"{by} proposed this already; it waits for a second person.")


class NotYours(Forbidden):
    """It is not for this person to decide about a proposal."""


class ApprovalHasChanged(Conflict):
    code, title = "version_conflict", "Somebody changed this meanwhile"
