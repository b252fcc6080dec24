"""Every payment and every refund is compared with Stripe once a day, page by page.

A page is one turn of the row queue. What differs is fetched and recorded as if a
webhook had told it; what then still differs stands in a case. Ours of which Stripe did
not tell are asked for at the end. Both sums stand side by side for each day.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q

from payments.models import ReconciledDay, Reconciliation
from payments.services import troubles
from payments.services.stamps import now_at_stripe
from payments.services.subjects import SUBJECTS, Subject, is_counted
from recovery import cases, rowqueue
from recovery.rowqueue import Failure
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import transaction_required
from slotbase.providers.errors import Outcome, ProviderError

EVERY = timedelta(days=1)
MOST_CALLS = 20  # for objects one by one, in one turn
MISSING = "missing"  # the cursor once all pages are read
FRESH = timedelta(minutes=10)  # Stripe may list a new object a little later
DAYS_KEPT = timedelta(days=400)
WAITS = (5, 15, 60, 180, 420, 720, 1200)


def compare_with_stripe(**only: Any) -> int:
    """Do the next turn of what is to be compared; returns how many there were."""
    if not settings.STRIPE_SECRET_KEY:
        return 0  # nothing is paid online here
    if Reconciliation.objects.filter(name__in=SUBJECTS).count() < len(SUBJECTS):
        rows = [Reconciliation(name=name) for name in SUBJECTS]
        Reconciliation.objects.bulk_create(rows, ignore_conflicts=True)
    tried = 0
    for name in SUBJECTS:
        tried += rowqueue.run_due(QUEUE, name=name, **only)
        if _is_under_way(name):
            break
    return tried


def _is_under_way(name: str) -> bool:
    """Then others wait: refunds are recorded of payments that are known by then."""
    at_work = Q(began_at__isnull=False) | ~Q(last_error="")
    return Reconciliation.objects.filter(at_work, name=name).exists()


@dataclass(frozen=True)
class Turn:
    """How far a comparison came, and what it saw on the way."""

    began_at: datetime
    window_from: datetime
    cursor: str
    seen: tuple[tuple[Any, Any], ...]  # each object, and its row if there is one
    is_last: bool = False


# --- Call: outside of any transaction of the row -----------------------------------


def _compare(row: Reconciliation) -> Turn:
    turn = _begin_or_go_on(row)
    if turn.cursor == MISSING:
        return _ask_for_missing(SUBJECTS[row.name], turn)
    return _compare_page(SUBJECTS[row.name], turn, is_asked=_is_asked(row, turn))


def _begin_or_go_on(row: Reconciliation) -> Turn:
    if row.began_at is not None and row.window_from is not None:
        return Turn(row.began_at, row.window_from, row.cursor, ())
    window = timedelta(days=settings.STRIPE_COMPARE_DAYS)
    return Turn(read_clock(), now_at_stripe() - window, "", ())


def _is_asked(row: Reconciliation, turn: Turn) -> bool:
    """Whether it is the one that a person asked for."""
    if row.asked_at is None or row.asked_at > turn.began_at:
        return False
    return row.read_at is None or row.read_at < row.asked_at


def _compare_page(subject: Subject, turn: Turn, *, is_asked: bool) -> Turn:
    facts, after = subject.read_page(created_from=turn.window_from, after=turn.cursor)
    rows, seen, calls = subject.find_rows(facts), [], 0
    for fact in facts:
        known = rows.get(fact.id)
        if known is None:
            checked = subject.see_to_unknown(fact, is_asked)
            calls += checked is not fact
        elif subject.is_same(known, fact):
            checked = fact
        else:
            checked, calls = subject.fetch(fact.id), calls + 1
            subject.record(checked)
        seen.append((checked, _row_of(subject, checked, known, fact)))
        if calls >= MOST_CALLS:
            return replace(turn, cursor=fact.id, seen=tuple(seen))
    return replace(turn, cursor=after or MISSING, seen=tuple(seen))


def _row_of(subject: Subject, checked: Any, known: Any, fact: Any) -> Any:
    """The row as it is now, if something may have changed."""
    if known is not None and checked is fact:
        return known
    return subject.find_rows([checked]).get(checked.id)


def _ask_for_missing(subject: Subject, turn: Turn) -> Turn:
    """Ours that Stripe should have told of and did not: each is asked for."""
    missing = list(_missing(subject, turn)[:MOST_CALLS])
    seen = [(_fetch(subject, row), row) for row in missing]
    for fact, _ in seen:
        if fact is not None:
            subject.record(fact)
    now = {row.pk: row for row in subject.model.objects.filter(pk__in=_pks(seen))}
    told = tuple((fact, now[row.pk]) for fact, row in seen)
    return replace(turn, seen=told, is_last=len(missing) < MOST_CALLS)


def _missing(subject: Subject, turn: Turn) -> Any:
    window = timedelta(days=settings.STRIPE_COMPARE_DAYS)
    ours = subject.model.objects.filter(
        provider_id__isnull=False,
        created_at__gte=turn.began_at - window + timedelta(days=1),
        created_at__lte=turn.began_at - FRESH,
    )
    return ours.exclude(compared_at__gte=turn.began_at).order_by("created_at")


def _fetch(subject: Subject, row: Any) -> Any:
    """The object of a row; None if Stripe has none."""
    try:
        return subject.fetch(row.provider_id)
    except ProviderError as error:
        if error.outcome == Outcome.REFUSED and error.code == "resource_missing":
            return None
        raise


# --- Record -----------------------------------------------------------------------


def _record(row: Reconciliation, turn: Turn) -> Mapping[str, Any]:
    subject = SUBJECTS[row.name]
    for fact, known in turn.seen:
        if known is not None and not (fact and subject.is_same(known, fact)):
            _open_difference(subject, known, fact)
    subject.model.objects.filter(pk__in=_pks(turn.seen)).update(compared_at=Now())
    _add_sums(subject, turn)
    if turn.is_last:
        _forget_old_days()
        return {**_AT_REST, "read_at": turn.began_at, "next_run_at": Now() + EVERY}
    names = ("began_at", "window_from", "cursor")
    more = {name: getattr(turn, name) for name in names}
    return {**more, "next_run_at": Now(), "attempts": 0, "deaths": 0}


_AT_REST: dict[str, Any] = {
    "began_at": None,
    "window_from": None,
    "cursor": "",
    "attempts": 0,
    "deaths": 0,
}


def _pks(seen: Any) -> list[Any]:
    return [known.pk for _, known in seen if known is not None]


@transaction_required
def _open_difference(subject: Subject, known: Any, fact: Any) -> None:
    """What nothing explains; told once for each thing that Stripe says."""
    told = subject.say(fact) if fact else f"{known.provider_id} is not known"
    cause = f"At Stripe {told}; here it is {known.status.lower()}."
    payable = known.payable
    if not cases.was_told(troubles.mismatch_of(payable.pk), cause=cause):
        troubles.open_mismatch(
            payable,
            cause=cause,
            amount_minor=known.amount_minor,
            currency=known.currency,
        )


_ADD = """
INSERT INTO payments_reconciledday AS d (name, day, currency, ours_minor, stripe_minor,
    objects_seen, began_at)
VALUES (%(name)s, %(day)s, %(currency)s, %(ours)s, %(stripe)s, %(seen)s, %(began_at)s)
ON CONFLICT (name, day, currency) DO UPDATE SET
    ours_minor = excluded.ours_minor + CASE WHEN d.began_at = excluded.began_at
        THEN d.ours_minor ELSE 0 END,
    stripe_minor = excluded.stripe_minor + CASE WHEN d.began_at = excluded.began_at
        THEN d.stripe_minor ELSE 0 END,
    objects_seen = excluded.objects_seen + CASE WHEN d.began_at = excluded.began_at
        THEN d.objects_seen ELSE 0 END,
    began_at = excluded.began_at
"""


@transaction_required
def _add_sums(subject: Subject, turn: Turn) -> None:
    ours: Counter[tuple[date, str]] = Counter()
    theirs: Counter[tuple[date, str]] = Counter()
    seen: Counter[tuple[date, str]] = Counter()
    for fact, known in turn.seen:
        if fact is not None and not is_counted(fact, known):
            continue
        at = fact or known
        where = (at.created_at.astimezone(UTC).date(), at.currency)
        seen[where] += 1
        ours[where] += subject.ours_minor(known) if known else 0
        theirs[where] += subject.stripe_minor(fact) if fact else 0
    with connection.cursor() as cursor:
        for day, currency in sorted(seen):
            where = (day, currency)
            sums = {"ours": ours[where], "stripe": theirs[where], "seen": seen[where]}
            about: dict[str, Any] = {"name": subject.name, "began_at": turn.began_at}
            about |= {"day": day, "currency": currency}
            cursor.execute(_ADD, {**about, **sums})


@transaction_required
def _forget_old_days() -> None:
    oldest = (read_clock() - DAYS_KEPT).date()
    ReconciledDay.objects.filter(day__lt=oldest).delete()


def _fail(
    row: Reconciliation,
    failure: Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    """It goes on where it is, in an hour at the latest."""
    if not is_over:
        return {}
    title = f"The {row.name} cannot be compared with Stripe"
    rowqueue.open_dead_letter(QUEUE, row, failure, title=title)
    return {"next_run_at": Now() + timedelta(hours=1), "attempts": 0, "deaths": 0}


QUEUE = rowqueue.RowQueue(
    name="comparison",
    model=Reconciliation,
    call=_compare,
    record=_record,
    fail=_fail,
    retry_seconds=lambda _: WAITS,
    provider="stripe",
)
