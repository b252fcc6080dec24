"""Buttons of the pages of cases: those of every case, and those of each kind."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from recovery import cases, dead_letters, inbox, retries, runs
from recovery.backoffice import RowAction, Wish
from recovery.models import Case, DeadLetter, InboxEvent, WorkflowRun
from recovery.states import INBOX_MOVES, DeadLetterStatus, InboxStatus
from slotbase.lib.errors import InvalidState

MAY_CLOSE = "recovery.change_case"
MAY_REPLAY = "recovery.change_inboxevent"
MAY_RETRY = "recovery.change_eventdelivery"
MAY_RUN = "recovery.change_workflowrun"


def is_taken(case: Any) -> bool:
    """Whether somebody works on it now; `as_of` is when the row was read."""
    return case.claimed_until is not None and case.claimed_until > case.as_of


def is_free_for(case: Any, staff_id: UUID) -> bool:
    """Whether it is open and no colleague works on it."""
    is_theirs = not is_taken(case) or case.claimed_by_id == staff_id
    return case.status in cases.IS_OPEN and is_theirs


def can_be_replayed(webhook: InboxEvent) -> bool:
    """Whether staff may let it be processed again."""
    is_idle = InboxStatus.RECEIVED in INBOX_MOVES[webhook.status]
    is_waiting = webhook.status == InboxStatus.RETRY
    return (is_idle or is_waiting) and webhook.payload is not None


def can_be_ignored(webhook: InboxEvent) -> bool:
    """Whether staff may say that nothing is to be done about it."""
    is_at_work = webhook.status == InboxStatus.PROCESSING
    return InboxStatus.IGNORED in INBOX_MOVES[webhook.status] and not is_at_work


def webhook_of(case: Any) -> InboxEvent | None:
    """The webhook that a case is about, read once."""
    if not hasattr(case, "webhook"):
        case.webhook = None
        if case.subject_type == InboxEvent.subject():
            case.webhook = InboxEvent.objects.filter(pk=case.subject_id).first()
    webhook: InboxEvent | None = case.webhook
    return webhook


def _can_retry(case: Case) -> bool:
    return retries.can_retry(subject_type=case.subject_type, subject_id=case.subject_id)


def _is_open_letter(case: Case) -> bool:
    letters = DeadLetter.objects.filter(status=DeadLetterStatus.OPEN)
    is_letter = case.subject_type == DeadLetter.subject()
    return is_letter and letters.filter(pk=case.subject_id).exists()


def _is_unfinished(case: Case) -> bool:
    unfinished = WorkflowRun.objects.filter(finished_at=None)
    is_run = case.subject_type == WorkflowRun.subject()
    return is_run and unfinished.filter(pk=case.subject_id).exists()


# --- What each does -----------------------------------------------------------


def _seen(case: Case, wish: Wish) -> dict[str, Any]:
    return {"case_id": case.pk, "staff_id": wish.staff_id, "version": wish.version}


def _claim(case: Case, wish: Wish) -> None:
    cases.claim_case(**_seen(case, wish))


def _give_back(case: Case, wish: Wish) -> None:
    cases.give_back_case(**_seen(case, wish))


def _resolve(case: Case, wish: Wish) -> None:
    cases.resolve_case(**_seen(case, wish), reason=wish.reason, evidence=wish.evidence)


def _discard(case: Case, wish: Wish) -> None:
    cases.discard_case(**_seen(case, wish), reason=wish.reason)


def _resume(case: Case, wish: Wish) -> None:
    reason = wish.reason or "The queue was resumed."
    cases.resolve_case(**_seen(case, wish), reason=reason, evidence=wish.evidence)


# Of what a case is about. Two people at once do no harm here: the second is refused.


def _replay(case: Case, wish: Wish) -> None:
    cases.require_free(**_seen(case, wish))
    inbox.replay(event_id=UUID(case.subject_id), staff_id=wish.staff_id)


def _ignore(case: Case, wish: Wish) -> None:
    cases.require_free(**_seen(case, wish))
    event_id = UUID(case.subject_id)
    inbox.ignore(event_id=event_id, staff_id=wish.staff_id, reason=wish.reason)


def _retry(case: Case, wish: Wish) -> None:
    cases.require_free(**_seen(case, wish))
    retries.retry(
        subject_type=case.subject_type,
        subject_id=case.subject_id,
        staff_id=wish.staff_id,
    )


def retry_case(*, case_id: UUID, staff_id: UUID) -> None:
    """Try again what a case is about, whatever version of it a list shows.

    Raises:
        InvalidState, CaseIsTaken: leave it alone.
    """
    case = Case.objects.get(pk=case_id)
    if "retry" not in _of_kind.get(case.kind, {}):
        raise InvalidState("Cases of this kind have no such button.")
    _retry(case, Wish(staff_id, case.version, reason="", evidence=""))


def _give_up(case: Case, wish: Wish) -> None:
    """A dead letter ends, and its case with it; other work stays as it is."""
    if not _is_open_letter(case):
        _discard(case, wish)
        return
    cases.require_free(**_seen(case, wish))
    letter_id = UUID(case.subject_id)
    dead_letters.discard(
        letter_id=letter_id, staff_id=wish.staff_id, reason=wish.reason
    )


def _resume_run(case: Case, wish: Wish) -> None:
    cases.require_free(**_seen(case, wish))
    runs.resume(run_id=UUID(case.subject_id), actor=wish.actor)


def _abandon_run(case: Case, wish: Wish) -> None:
    cases.require_free(**_seen(case, wish))
    run_id = UUID(case.subject_id)
    runs.abandon(run_id=run_id, actor=wish.actor, reason=wish.reason)


# --- The buttons --------------------------------------------------------------


def refused_while(
    waits: Callable[[Any], bool],
    action: RowAction[Any],
    words: str = "Another button of this case comes first.",
) -> RowAction[Any]:
    """The button where nothing waits for a decision; pressed all the same: refused."""

    def run(case: Any, wish: Wish) -> None:
        if waits(case):
            raise InvalidState(words)
        action.run(case, wish)

    def is_offered(case: Any, staff_id: UUID) -> bool:
        return action.is_offered(case, staff_id) and not waits(case)

    return replace(action, run=run, is_offered=is_offered)


FOR_EVERY_CASE: dict[str, RowAction[Any]] = {
    "claim": RowAction(
        "Claim",
        "Takes it for 15 minutes; pressed again, for 15 minutes more.",
        "It is yours for 15 minutes.",
        MAY_CLOSE,
        _claim,
        is_free_for,
    ),
    "give_back": RowAction(
        "Give back",
        "Lets colleagues take it; it stays open.",
        "Colleagues may take it now.",
        MAY_CLOSE,
        _give_back,
        lambda case, staff_id: bool(case.claimed_by_id == staff_id),
    ),
    "resolve": RowAction(
        "Resolve",
        "Closes it: what was to be done is done. Say what that was.",
        "The case is resolved.",
        MAY_CLOSE,
        _resolve,
        is_free_for,
        needs_reason=True,
        takes_evidence=True,
    ),
    "discard": RowAction(
        "Discard",
        "Closes it: nothing is to be done. Say why.",
        "The case is discarded.",
        MAY_CLOSE,
        _discard,
        is_free_for,
        needs_reason=True,
    ),
}
_of_kind: dict[str, dict[str, RowAction[Any]]] = {}


def register_actions(kind: str, **actions: RowAction[Any]) -> None:
    """Offer these buttons on cases of a kind, before those of every case.

    One with the name of such a button stands in for it.
    """
    _of_kind.setdefault(kind, {}).update(actions)


def names_of_own(kind: str) -> list[str]:
    """The buttons that cases of a kind have beside those of every case.

    One with the name of such a button counts if it does something else.
    """
    return [
        name
        for name, action in _of_kind.get(kind, {}).items()
        if name not in FOR_EVERY_CASE or action.says != FOR_EVERY_CASE[name].says
    ]


def label_of(kind: str, name: str) -> str:
    """What stands on a button of a kind."""
    return _of_kind[kind][name].label


def actions_of(case: Case) -> dict[str, RowAction[Any]]:
    """All that may be done with a case in some state."""
    special = _of_kind.get(case.kind, {})
    first = {name: FOR_EVERY_CASE[name] for name in ("claim", "give_back")}
    return {**first, **special, **FOR_EVERY_CASE, **special}


register_actions(
    "webhook_failure",
    replay=RowAction(
        "Replay the webhook",
        "Processes it again now, with all its attempts. If that succeeds, the case"
        " closes itself.",
        "The webhook is being processed again.",
        MAY_REPLAY,
        _replay,
        lambda case, staff_id: bool(
            is_free_for(case, staff_id)
            and (webhook := webhook_of(case))
            and can_be_replayed(webhook)
        ),
    ),
    ignore=RowAction(
        "Ignore the webhook",
        "Never processes it, and closes the case. Say why.",
        "The webhook is ignored, and its case is closed.",
        MAY_REPLAY,
        _ignore,
        lambda case, staff_id: bool(
            is_free_for(case, staff_id)
            and (webhook := webhook_of(case))
            and can_be_ignored(webhook)
        ),
        needs_reason=True,
    ),
)
register_actions(
    "dead_letter",
    retry=RowAction(
        "Retry",
        "Tries it again now, with all its attempts. If that succeeds, the case closes"
        " itself.",
        "It will be tried again within seconds.",
        MAY_RETRY,
        _retry,
        lambda case, staff_id: is_free_for(case, staff_id) and _can_retry(case),
    ),
    discard=RowAction(
        "Discard",
        "Gives this work up for good and closes the case. Say why.",
        "The work is given up, and the case is closed.",
        MAY_RETRY,
        _give_up,
        is_free_for,
        needs_reason=True,
    ),
    # To close the case of a task alone would leave one that nobody looks at.
    resolve=replace(
        FOR_EVERY_CASE["resolve"],
        is_offered=lambda case, staff_id: (
            is_free_for(case, staff_id) and not _is_open_letter(case)
        ),
    ),
)
register_actions(
    "provider_configuration",
    resume=RowAction(
        "Resume the queue",
        "Closes the case, so that the queue is tried at once and not once a minute."
        " If the provider still refuses us, the case opens again.",
        "The queue is tried now.",
        MAY_CLOSE,
        _resume,
        is_free_for,
    ),
)


def _can_go_on(case: Case, staff_id: UUID) -> bool:
    return is_free_for(case, staff_id) and _is_unfinished(case)


def actions_of_a_run(permission: str = MAY_RUN) -> dict[str, RowAction[Any]]:
    """For kinds of case about a workflow: it ends, and its case with it.

    To close the case alone would leave a workflow that nobody looks at.
    """
    return {
        "resume": RowAction(
            "Resume the workflow",
            "Goes on at once, with all its attempts. When it finishes, the case closes"
            " itself.",
            "The workflow goes on.",
            permission,
            _resume_run,
            _can_go_on,
        ),
        "abandon": RowAction(
            "Abandon the workflow",
            "Leaves it as it is, for good: nothing more is done, and nothing undone."
            " Closes the case. Say why, and who does what is left.",
            "The workflow is abandoned, and its case is closed.",
            permission,
            _abandon_run,
            _can_go_on,
            needs_reason=True,
        ),
        **{
            name: refused_while(_is_unfinished, FOR_EVERY_CASE[name])
            for name in ("resolve", "discard")
        },
    }


register_actions("workflow_stuck", **actions_of_a_run())
