"""F79: after six hours without Resend, all that is still wanted goes out in order."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import mean
from typing import Any

import pytest
from django.db import connection, transaction

from notifications.kinds import Urgency
from notifications.models import Notification, NotificationAttempt
from notifications.services import budget, sending
from notifications.services.budget import MOST_URGENT
from notifications.services.messages import BY, withdraw_about
from recovery import audit, invariants
from recovery.locks import claim_due_row
from recovery.rowqueue import OLDEST
from slotbase.lib.clock import read_clock
from tests.adversity import Clock
from tests.architecture.test_sweeps_use_their_index import by_position, plan_of
from tests.conftest import Sandbox
from tests.notifications.conftest import mails, queue, send

pytestmark = pytest.mark.django_db(transaction=True)

OUTAGE = timedelta(hours=6)
BACKLOG, PER_SECOND, BURST = 5000, 50, 100
#: So much time passes between two sweeps: as long as a full burst is worth.
BETWEEN_SWEEPS = BURST / PER_SECOND
# Of each ten: what was due for something that is over by now, what was withdrawn while
# Resend was away, what is urgent, what may come later; the rest is news.
OVER, WITHDRAWN, URGENT, LATER = (0, 1, 2, 5), (3, 6, 8), 4, 9
URGENCIES = {URGENT: Urgency.NOW, LATER: Urgency.LATER}
# Of a hundred, some are over while the backlog goes out.
OVER_SOON = (19, 39)


@pytest.fixture(autouse=True)
def _budget(settings: Any) -> None:
    settings.RESEND_REQUESTS_PER_SECOND, settings.RESEND_BURST = PER_SECOND, BURST


@pytest.mark.timeout(300)
@pytest.mark.no_cover  # it does much, often
def test_five_thousand_mails_go_out_in_budget_in_order_and_none_that_is_over(
    sandbox: Sandbox, clock: Clock
) -> None:
    six_hours_without_resend(BACKLOG)
    assert "I11.notification" in broken()
    ended_at = read_clock()

    send_all(clock)

    require_nothing_pointless_was_sent()
    sent = sent_in_order(sandbox)
    assert len(sent) > BACKLOG / 4
    assert is_within_budget(sent, ended_at, PER_SECOND, BURST)
    require_the_urgent_first_and_then_the_newest(sent, ended_at)
    assert "I11.notification" not in broken()


def test_without_the_budget_they_would_go_out_at_once(
    sandbox: Sandbox, clock: Clock, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control."""
    settings.RESEND_REQUESTS_PER_SECOND = settings.RESEND_BURST = 1
    monkeypatch.setattr(budget, "_TAKE", "SELECT %(provider)s, %(cost)s, %(ahead)s")
    monkeypatch.setattr(budget, "has_room", lambda: True)
    parts = {**vars(sending.QUEUE), "has_room": lambda: True}
    monkeypatch.setattr(sending, "QUEUE", type(sending.QUEUE)(**parts))
    six_hours_without_resend(100)
    ended_at = read_clock()

    send_all(clock)

    assert not is_within_budget(sent_in_order(sandbox), ended_at, 1, 1)


@pytest.mark.parametrize(
    ("order", "index"),
    [(MOST_URGENT, "notifications_urgent"), (OLDEST, "notifications_due")],
)
def test_the_next_mail_is_found_by_an_index(order: str, index: str) -> None:
    six_hours_without_resend(BACKLOG)

    plan = list(plan_of_claim(order))

    assert {node["Node Type"] for node in plan}.isdisjoint({"Seq Scan", "Sort"})
    assert index in {node.get("Index Name") for node in plan}


def plan_of_claim(order: str) -> Iterator[dict[str, Any]]:
    """The nodes of the statement by which a worker takes the next mail."""
    statements: list[tuple[str, tuple[Any, ...]]] = []

    def listen(execute: Any, text: str, values: Any, *more: Any) -> Any:
        statements.append(by_position(text, values))
        return execute(text, values, *more)

    with transaction.atomic():
        with connection.execute_wrapper(listen):
            found = claim_due_row(
                Notification,
                lease=timedelta(minutes=1),
                due_before=read_clock(),
                order=order,
                changes={},
                conditions={"channel": "EMAIL"},
                only_if=sending.QUEUE.only_if,
            )
        assert found is not None
        [claim] = [each for each in statements if each[0].lstrip().startswith("UPDATE")]
        yield from plan_of(*claim)
        transaction.set_rollback(True)


# --- The backlog --------------------------------------------------------------------


def six_hours_without_resend(number: int) -> None:
    """So many mails became due one after the other, and none went out."""
    first, now = queue(dedupe_key="n0"), read_clock()
    rows = [
        make_row(first, each, now, OUTAGE * each / number) for each in range(number)
    ]
    with transaction.atomic():
        Notification.objects.bulk_create(rows, batch_size=1000)
        audit.record(
            actor=BY,
            action="notification.queued",
            subject="notification",
            ids=[row.pk for row in rows],
            move=("", "PENDING"),
        )
        withdraw_about(
            subject_type="booking",
            subject_id="withdrawn",
            templates={first.template},
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")  # as autovacuum does


def make_row(
    first: Notification, number: int, now: datetime, age: timedelta
) -> Notification:
    """The first one is the newest; what it is about is another thing each time."""
    tenth, due_at = number % 10, now - age
    not_after = due_at + timedelta(minutes=30) if tenth in OVER else None
    if number % 100 in OVER_SOON:
        not_after = now + timedelta(seconds=20)
    return Notification(
        recipient_id=first.recipient_id,
        template=first.template,
        template_version=first.template_version,
        context=first.context,
        subject_type="booking",
        subject_id="withdrawn" if tenth in WITHDRAWN else str(number),
        dedupe_key=f"n{number}-of-backlog",
        urgency=URGENCIES.get(tenth, Urgency.SOON),
        not_after=not_after,
        next_run_at=due_at,
    )


def send_all(clock: Clock) -> None:
    """Sweep until nothing waits."""
    while Notification.objects.filter(next_run_at__isnull=False).exists():
        send()
        clock.move(seconds=BETWEEN_SWEEPS)


def is_within_budget(
    sent: list[Notification], since: datetime, per_second: int, burst: int
) -> bool:
    """Whether there were never more than a burst and what the time was worth."""
    return all(
        number <= (row.sent_at - since).total_seconds() * per_second + burst  # type: ignore[operator]
        for number, row in enumerate(sent, start=1)
    )


def sent_in_order(sandbox: Sandbox) -> list[Notification]:
    """The mails of the backlog as Resend sent them."""
    known = {row.provider_id: row for row in Notification.objects.all()}
    return [known[mail["id"]] for mail in mails(sandbox)]


def require_nothing_pointless_was_sent() -> None:
    was_over = [f"n{n}-of-backlog" for n in range(BACKLOG) if is_over_at_the_end(n)]
    over = Notification.objects.filter(dedupe_key__in=was_over)
    assert set(over.values_list("status", flat=True)) == {"EXPIRED"}
    withdrawn = Notification.objects.filter(subject_id="withdrawn")
    assert set(withdrawn.values_list("status", flat=True)) == {"CANCELLED"}
    assert withdrawn.count() == BACKLOG * len(WITHDRAWN) / 10
    assert set(Notification.objects.values_list("status", flat=True)) == {
        *("EXPIRED", "CANCELLED", "SENT")
    }
    unsent = Notification.objects.exclude(status="SENT")
    assert not NotificationAttempt.objects.filter(notification__in=unsent).exists()


def is_over_at_the_end(number: int) -> bool:
    """What became due half an hour before the end of the outage, or earlier."""
    return number % 10 in OVER and OUTAGE * number / BACKLOG > timedelta(minutes=30)


def require_the_urgent_first_and_then_the_newest(
    sent: list[Notification], ended_at: datetime
) -> None:
    """But for one of four turns, which goes to what has waited the longest."""
    places = [n for n, row in enumerate(sent) if row.urgency == Urgency.NOW]
    assert places[-1] < 2 * len(places)
    news = [row for row in sent if row.urgency == Urgency.SOON]
    created = sorted(news, key=lambda row: int(row.dedupe_key.partition("-")[0][1:]))
    age = {row.pk: place for place, row in enumerate(created)}
    quarter = len(news) // 4
    assert mean(age[row.pk] for row in news[:quarter]) < len(news) / 2
    # And it has not waited for all the others.
    oldest = created[-len(created) // 10 :]
    assert {row.pk for row in oldest} & {row.pk for row in news[:quarter]}
    soon = [row for row in sent if row.not_after is not None]
    assert all(row.sent_at < row.not_after for row in soon)  # type: ignore[operator]
    assert ended_at < min(row.sent_at for row in sent)  # type: ignore[type-var]


def broken() -> set[str]:
    return {each.id for each in invariants.find_violations()}
