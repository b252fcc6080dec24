"""What this app keeps of a person: in webhooks, cases, approvals and workflows.

Rows are bound to a person by ids alone: ours, and those of providers. What a customer
types about themselves, such as a name, decides nothing about rows: they may be called
like a word of ours, or like somebody else.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q

from recovery import approvals
from recovery.models import (
    Approval,
    AuditEntry,
    Case,
    DeadLetter,
    IdempotencyRecord,
    InboxEvent,
    WorkflowRun,
)
from recovery.states import CaseStatus, DeadLetterStatus, InboxStatus, RunStatus
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.masking import ERASED, mask

#: Shorter words, and fewer digits, stand in too much that is about others.
SHORTEST, FEWEST_DIGITS = 3, 6
#: So many webhooks are looked through by one statement: far below its timeout.
AT_ONCE = 500
#: So many are in memory when they are exported.
EXPORTED_AT_ONCE = 20
#: A webhook is committed so long after it came, at most.
SLACK = timedelta(minutes=5)
#: Elsewhere whoever pays or signs up types an address, which may be anybody's.
WE_ADDRESS = ["resend"]
#: What staff write every day, or call somebody whose name they do not know.
COMMON = frozenset(
    """
    account and bank booked booking call called cancelled card case cash charge client
    customer desk dispute for front guest hold invoice mail money name not object paid
    partner pay payment person phone price receipt refund refunded test the transfer
    unknown user venue visitor void waitlist walk was webhook with
    """.split()  # noqa: SIM905 - a list of quoted words cannot be read
)


@dataclass(frozen=True)
class Traces:
    """By what a person is found.

    `ids` are of what is theirs, here and at providers; `account` is their own id where
    they sign in, `addresses` those that it vouches for. `words` are names and numbers
    that staff typed: they are replaced in texts of staff, and bind nothing.
    """

    user_id: UUID
    ids: tuple[str, ...] = ()
    account: str = ""
    addresses: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @cached_property
    def all_ids(self) -> frozenset[str]:
        """Each of which means this person, or what is theirs."""
        return frozenset(filter(None, (*self.ids, self.account, str(self.user_id))))

    @cached_property
    def called(self) -> frozenset[str]:
        """In lower case, what only they are called."""
        return frozenset(x.lower() for x in (*self.addresses, self.account) if x)

    @cached_property
    def telling(self) -> tuple[str, ...]:
        """What means them in a text about others, too; the longest first."""
        words = {*self.addresses, *filter(_is_telling, self.words)}
        return tuple(sorted(words, key=lambda word: (-len(word), word)))

    @cached_property
    def pattern(self) -> str:
        """Whole words alone, for PostgreSQL and Python alike."""
        any_of = "|".join(re.escape(word) for word in self.telling)
        return rf"(?<!\w)(?:{any_of})(?!\w)"

    def scrub(self, text: str) -> str:
        """The same text without what means them."""
        return re.sub(self.pattern, ERASED, text, flags=re.IGNORECASE)


def _is_telling(word: str) -> bool:
    """Whether it is a number, or more than words that staff write every day."""
    letters = re.findall(r"[^\W\d_]+", word.lower())
    is_name = any(len(each) >= SHORTEST and each not in COMMON for each in letters)
    return is_name or sum(map(str.isdigit, word)) >= FEWEST_DIGITS


# --- Webhooks ---------------------------------------------------------------------

# Some text of the JSON, as a whole, is an id of theirs, or an address in what these
# providers sent.
_IS_THEIRS = """EXISTS (
    SELECT FROM jsonb_path_query(payload, 'strict $.** ? (@.type() == "string")') AS t
    WHERE t #>> '{}' = ANY(%(ids)s) OR lower(t #>> '{}') = ANY(%(addresses)s)
        AND (%(sent_by)s::text[] IS NULL OR provider = ANY(%(sent_by)s)))"""
_FIND = f"""
SELECT id, {_IS_THEIRS}, %(names_them)s <> '' AND ignored_because ~* %(names_them)s
FROM (SELECT id, provider, payload, ignored_because FROM recovery_inboxevent
      WHERE id > %(after)s AND (payload IS NOT NULL OR ignored_because <> '')
      ORDER BY id LIMIT %(limit)s) AS batch ORDER BY id
"""  # noqa: S608 - made of constants
_FIND_SINCE = f"""
SELECT id FROM recovery_inboxevent
WHERE payload IS NOT NULL AND received_at >= %(since)s AND {_IS_THEIRS}
"""  # noqa: S608 - made of constants
_FIND_BOUND = f"""
SELECT id FROM recovery_inboxevent WHERE id = ANY(%(among)s) AND {_IS_THEIRS}
"""  # noqa: S608 - made of constants
_FIRST = UUID(int=0)
#: An open one is needed as it came; retention sees to it.
_OVER = (InboxStatus.PROCESSED, InboxStatus.IGNORED, InboxStatus.DEAD)


@dataclass(frozen=True)
class Found:
    """Webhooks that tell of a person, or were ignored for a reason that names them.

    Others may have come `since`.
    """

    telling: list[UUID]
    named: list[UUID]
    since: datetime


def look(traces: Traces) -> Found:
    """Find what takes long to find; outside of any transaction."""
    found, after = Found([], [], read_clock() - SLACK), _FIRST
    told = {**_told(traces), "limit": AT_ONCE}
    # Statement by statement, not in one.
    while rows := _fetch(_FIND, {**told, "after": after}):
        found.telling.extend(each for each, is_telling, _ in rows if is_telling)
        found.named.extend(each for each, _, names_them in rows if names_them)
        after = rows[-1][0]
    return found


def _bound(traces: Traces, among: Iterable[UUID]) -> list[UUID]:
    """Those that are theirs, and not of somebody who typed their address."""
    told = {**_told(traces), "among": list(among), "sent_by": WE_ADDRESS}
    return sorted(each for (each,) in _fetch(_FIND_BOUND, told))


def _told(traces: Traces) -> dict[str, Any]:
    return {
        "ids": sorted(traces.all_ids),
        "addresses": [each.lower() for each in traces.addresses],
        "names_them": traces.pattern if traces.telling else "",
        "sent_by": None,
    }


def _fetch(statement: str, told: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, told)
        rows: list[Any] = cursor.fetchall()
        return rows


@transaction_required
def _hide_in_webhooks(traces: Traces, ids: Iterable[UUID]) -> None:
    over = InboxEvent.objects.filter(status__in=_OVER)
    for event in over.filter(pk__in=list(ids), payload__isnull=False).order_by("pk"):
        # The state once more: staff may replay it at this moment.
        over.filter(pk=event.pk).update(payload=hide(traces, event.payload))


@transaction_required
def _hide_why_ignored(traces: Traces, theirs: list[UUID], named: list[UUID]) -> None:
    """Only where a person said why: the reasons of the engine are words of ours."""
    ignored = InboxEvent.objects.filter(status=InboxStatus.IGNORED)
    ignored.filter(pk__in=_by_staff(theirs)).update(ignored_because=ERASED)
    _scrub(traces, ignored.filter(pk__in=_by_staff(named)), "ignored_because")


def _by_staff(ids: list[UUID]) -> list[str]:
    said = AuditEntry.objects.filter(
        subject_type="inboxevent",
        subject_id__in=map(str, ids),
        action="webhook.ignored",
    )
    return list(said.values_list("subject_id", flat=True))


def hide(traces: Traces, payload: Any) -> Any:
    """A payload of which ids and states are left: enough to process it again."""
    return _without(traces.called, mask(payload))


def _without(called: frozenset[str], value: Any) -> Any:
    """The same structure; texts that are a name of theirs, as a whole, are replaced."""
    if isinstance(value, dict):
        return {key: _without(called, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without(called, each) for each in value]
    is_theirs = isinstance(value, str) and value.lower() in called
    return ERASED if is_theirs else value


@retry_on_conflict
def hide_old_contact_data() -> int:
    """Hide who is meant in webhooks that gave up INBOX_RETENTION_DAYS ago; how many.

    Their ids stay until a person has decided. All others are emptied by then.
    """
    age = timedelta(days=settings.INBOX_RETENTION_DAYS)
    old = InboxEvent.objects.filter(
        status=InboxStatus.DEAD, payload__isnull=False, received_at__lte=Now() - age
    )
    hidden = 0
    for event in old.order_by("pk").iterator():
        if (masked := mask(event.payload)) != event.payload:
            hidden += old.filter(pk=event.pk).update(payload=masked)
    return hidden


# --- Export -----------------------------------------------------------------------

_CASE = ("kind", "title", "status", "reference", "opened_at", "closed_at")
_APPROVAL = ("kind", "title", "reason", "decision_reason", "terms")
_TYPED = ("cause", "details", "close_reason", "evidence")


def export(traces: Traces) -> dict[str, Iterable[Any]]:
    """What is kept of a person here: what is bound to them by an id, and no more."""
    webhooks = _bound(traces, look(traces).telling)
    mine = AuditEntry.objects.filter(
        subject_type="user", subject_id=str(traces.user_id)
    )
    history = mine.order_by("id").values("at", "action", "reason")
    cases = Case.objects.filter(_about(traces, webhooks)).order_by("pk")
    proposed = Approval.objects.filter(subject_id__in=traces.all_ids).order_by("pk")
    return {
        "history": history,
        "cases": cases.values(*_CASE, *_TYPED),
        "approvals": proposed.values(*_APPROVAL),
        "webhooks": _export_webhooks(webhooks),
    }


def _about(traces: Traces, webhooks: Iterable[UUID]) -> Q:
    subjects = [*traces.all_ids, *map(str, webhooks)]
    return Q(customer=traces.user_id) | Q(subject_id__in=subjects)


def _export_webhooks(ids: list[UUID]) -> Iterator[Any]:
    shown = ("provider", "type", "received_at", "payload")
    for start in range(0, len(ids), EXPORTED_AT_ONCE):
        # Not all at once: payloads are large.
        some = ids[start : start + EXPORTED_AT_ONCE]
        yield from InboxEvent.objects.filter(pk__in=some).order_by("pk").values(*shown)


# --- Erasing ----------------------------------------------------------------------


@transaction_required
def erase(traces: Traces, found: Found) -> None:
    """Let nothing here tell who it was; what happened, and its ids, stays."""
    since = _fetch(_FIND_SINCE, {**_told(traces), "since": found.since})
    telling = {*found.telling, *(each for (each,) in since)}
    theirs = _bound(traces, telling)
    _hide_in_webhooks(traces, telling)
    _hide_why_ignored(traces, theirs, found.named)
    IdempotencyRecord.objects.filter(principal=str(traces.user_id)).delete()
    _erase_cases(traces, theirs)
    _erase_work(traces)
    if traces.telling:
        _scrub_others(traces)
    approvals.forget_about(traces.all_ids)


@transaction_required
def _erase_cases(traces: Traces, webhooks: Iterable[UUID]) -> None:
    """Whatever the person is called in them: everything that was written goes."""
    cases = Case.objects.filter(_about(traces, webhooks))
    cases.update(title=ERASED, cause="", details={}, evidence="")
    _closed_by_staff(cases).update(close_reason=ERASED)


def _closed_by_staff(cases: Any) -> Any:
    over = cases.filter(status__in=[CaseStatus.RESOLVED, CaseStatus.DISCARDED])
    return over.exclude(closed_by="engine")


@transaction_required
def _erase_work(traces: Traces) -> None:
    """Not what a workflow or a task needs to go on: that is ids."""
    runs = WorkflowRun.objects.filter(customer=traces.user_id)
    runs.update(title="")
    runs.filter(status=RunStatus.ABANDONED).update(abandoned_because=ERASED)
    given_up = DeadLetter.objects.filter(status=DeadLetterStatus.DISCARDED)
    theirs = [
        pk
        for pk, kwargs in given_up.values_list("pk", "kwargs")
        if not traces.all_ids.isdisjoint(map(str, kwargs.values()))
    ]
    given_up.filter(pk__in=theirs).update(ended_because=ERASED)


@transaction_required
def _scrub_others(traces: Traces) -> None:
    """Where staff typed who it is in something about others, and nowhere else."""
    _scrub(traces, Case.objects.all(), "evidence")
    _scrub(traces, _closed_by_staff(Case.objects.all()), "close_reason")
    for field in ("reason", "decision_reason"):
        _scrub(traces, Approval.objects.all(), field)
    abandoned = WorkflowRun.objects.filter(status=RunStatus.ABANDONED)
    _scrub(traces, abandoned, "abandoned_because")
    given_up = DeadLetter.objects.filter(status=DeadLetterStatus.DISCARDED)
    _scrub(traces, given_up, "ended_because")


@transaction_required
def _scrub(traces: Traces, rows: Any, field: str) -> None:
    named = rows.filter(**{f"{field}__iregex": traces.pattern}).order_by("pk")
    for pk, text in named.values_list("pk", field):
        rows.filter(pk=pk).update(**{field: traces.scrub(text)})
