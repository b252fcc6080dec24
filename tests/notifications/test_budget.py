"""Mails go out within the budget of all workers, the most urgent and newest first."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from notifications.models import Notification, NotificationAttempt, SendBudget
from notifications.services import budget, sending
from notifications.services.budget import MOST_URGENT
from notifications.tasks import send_email
from recovery import rowqueue
from recovery.models import Case
from recovery.rowqueue import MAX_RETRY_AFTER_SECONDS, OLDEST
from slotbase.lib.clock import Now, read_clock
from slotbase.schedule import SCHEDULE
from tests.adversity import Clock
from tests.concurrency.race import at_once
from tests.conftest import Sandbox
from tests.notifications.conftest import (
    calls,
    mails,
    make_addressee,
    make_due,
    queue,
    send,
)
from tests.notifications.test_sending import Fault

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]


def pass_seconds(seconds: float) -> None:
    """The clock of the budget goes on, instead of ours."""
    row = SendBudget.objects.get()
    SendBudget.objects.update(next_at=row.next_at - timedelta(seconds=seconds))


@transaction.atomic
def take() -> bool:
    return budget.take()


@pytest.fixture
def _slow(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call in ten seconds, and two at once: no test takes that long."""
    settings.RESEND_BURST = 2
    monkeypatch.setattr(budget, "_cost", lambda: timedelta(seconds=10))


@pytest.mark.usefixtures("_slow")
def test_what_is_over_the_budget_stays_as_it_is(sandbox: Sandbox) -> None:
    for number in range(5):
        queue(dedupe_key=str(number))

    send()
    send()

    assert calls(sandbox) == 2
    waiting = Notification.objects.filter(status="PENDING", attempts=0, last_error="")
    assert waiting.count() == 3
    pass_seconds(20)
    send()
    assert len(mails(sandbox)) == 4


def test_a_clock_that_goes_back_holds_up_no_mail(
    sandbox: Sandbox, clock: Clock
) -> None:
    """Whether one is asked or a sweep waits for room."""
    queue(dedupe_key="ahead")
    send()
    clock.move(minutes=-5)
    queue(dedupe_key="one is asked for")
    send()
    clock.move(days=-2)
    queue(dedupe_key="by a sweep")
    sending.sweep()

    assert len(mails(sandbox)) == 3


@pytest.mark.usefixtures("_slow")
def test_after_half_a_minute_one_mail_asks_again_whatever_resend_said(
    sandbox: Sandbox,
) -> None:
    """Longer ahead is what a clock wrote that was ahead itself."""
    take()
    with transaction.atomic():
        budget.wait(MAX_RETRY_AFTER_SECONDS)
    queue()

    send()

    assert not budget.has_room()
    assert calls(sandbox) == 0
    pass_seconds(30)
    send()
    assert calls(sandbox) == 1


@pytest.mark.usefixtures("_slow")
def test_many_workers_share_one_budget() -> None:
    take()
    pass_seconds(60)

    assert at_once([take for _ in range(8)]).count(True) == 2


@pytest.mark.usefixtures("_slow")
def test_what_was_taken_by_others_meanwhile_puts_a_mail_back(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = queue()
    assert [take(), take(), take()] == [True, True, False]
    rooms = iter([True, False])
    use(monkeypatch, has_room=lambda: next(rooms))

    send()

    row = Notification.objects.get(pk=message.pk)
    assert (row.status, row.attempts, row.lease_token) == ("PENDING", 0, None)
    assert calls(sandbox) == 0


@pytest.mark.usefixtures("_slow")
def test_what_nobody_wants_any_more_costs_nothing(sandbox: Sandbox) -> None:
    for number in range(5):
        queue(dedupe_key=str(number))
    Notification.objects.update(not_after=Now())

    send()

    assert set(Notification.objects.values_list("status", flat=True)) == {"EXPIRED"}
    assert calls(sandbox) == 0
    assert not SendBudget.objects.exists()


def test_when_there_were_too_many_calls_all_mails_wait_as_long_as_resend_says(
    sandbox: Sandbox, fault: Fault, clock: Clock
) -> None:
    """F74: whoever was refused comes back, and nobody else asks meanwhile."""
    for number in range(4):
        queue(dedupe_key=str(number))
    fault("4xx", status=429)
    clock.stop_at(read_clock())

    send()
    send()

    assert (calls(sandbox), mails(sandbox), budget.has_room()) == (1, [], False)
    clock.move(seconds=3)  # it said one second
    send()
    assert len(mails(sandbox)) == 4
    assert set(Notification.objects.values_list("attempts", flat=True)) == {1}


@pytest.mark.parametrize("quota", ["daily", "monthly"])
def test_a_used_up_quota_stops_all_mails_with_one_alert(
    sandbox: Sandbox, quota: str
) -> None:
    for number in range(4):
        queue(dedupe_key=str(number))
    sandbox.post("/_sandbox/resend/limits", {quota: 1})

    send()
    send()

    assert (calls(sandbox), len(mails(sandbox))) == (2, 1)
    assert not Case.objects.exists()
    assert list(budget.find_pauses()) == ["resend"]
    held = Notification.objects.filter(status="RETRY")
    assert [row.attempts for row in held] == [0]
    sandbox.post("/_sandbox/resend/limits", {})
    SendBudget.objects.update(paused_until=Now())
    make_due()
    send()
    assert len(mails(sandbox)) == 4
    assert budget.find_pauses() == {}


def test_the_most_urgent_goes_first_and_then_the_newest() -> None:
    recipient = make_addressee()
    for number, urgency in enumerate([2, 3, 1, 2]):
        row = queue(recipient, dedupe_key=str(number), subject_id=str(number))
        at = read_clock() - timedelta(hours=4 - number)
        Notification.objects.filter(pk=row.pk).update(urgency=urgency, next_run_at=at)

    assert order_of(MOST_URGENT) == ["2", "3", "0", "1"]


def order_of(order: str) -> list[str]:
    found = []
    only = {"channel": "EMAIL"}
    while row := rowqueue._claim(
        sending.QUEUE, only, due_before=read_clock(), order=order
    ):
        found.append(row.dedupe_key)
    return found


@pytest.mark.parametrize(
    ("is_guarded", "order"), [(True, "b a1 a2 other"), (False, "a2 b a1 other")]
)
def test_of_one_booking_the_older_goes_first_and_of_several_the_newest(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, is_guarded: bool, order: str
) -> None:
    """F79: "confirmed" does not arrive after "closed". Without the guard it would."""
    use(monkeypatch, order=lambda _: MOST_URGENT)
    if not is_guarded:
        use(monkeypatch, only_if="")
    alice = make_addressee()
    for key, hours in {"a1": 4, "a2": 1, "b": 2, "other": 5}.items():
        who = alice if key != "other" else make_addressee()
        make_waiting(queue(who, dedupe_key=key, subject_id=key[0]), hours=hours)

    send()

    assert " ".join(keys_of(mails(sandbox))) == order


def test_what_waits_for_its_next_attempt_holds_up_nothing(
    sandbox: Sandbox, fault: Fault
) -> None:
    alice = make_addressee()
    older = queue(alice, dedupe_key="older")
    fault("5xx", status=503)
    send()
    queue(alice, dedupe_key="newer")

    send()

    assert Notification.objects.get(pk=older.pk).status == "RETRY"
    assert keys_of(mails(sandbox)) == ["newer"]


def use(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> None:
    """The queue of mails with other parts."""
    changed = type(sending.QUEUE)(**{**vars(sending.QUEUE), **parts})
    monkeypatch.setattr(sending, "QUEUE", changed)


def make_waiting(message: Notification, *, hours: float) -> None:
    """It has been due for so long."""
    due_at = read_clock() - timedelta(hours=hours)
    Notification.objects.filter(pk=message.pk).update(next_run_at=due_at)


def keys_of(sent: list[dict[str, Any]]) -> list[str]:
    """Our keys of mails, in the order in which Resend sent them."""
    known = dict(Notification.objects.values_list("provider_id", "dedupe_key"))
    return [known[mail["id"]] for mail in sent]


def test_now_and_then_the_oldest_has_its_turn() -> None:
    turns = [budget.order_of(turn) for turn in [0] * 1000]

    assert set(turns) == {OLDEST, MOST_URGENT}
    assert 100 < turns.count(OLDEST) < 500


@pytest.mark.parametrize(
    ("quota", "retry_after", "until"),
    [
        ("daily_quota_exceeded", None, datetime(2030, 12, 31, tzinfo=UTC)),
        ("monthly_quota_exceeded", None, datetime(2031, 1, 1, tzinfo=UTC)),
        ("monthly_quota_exceeded", 60, datetime(2030, 12, 30, 23, 1, tzinfo=UTC)),
        ("daily_quota_exceeded", 86_400, datetime(2030, 12, 31, tzinfo=UTC)),
    ],
)
def test_a_quota_is_full_again_with_the_next_day_or_month(
    monkeypatch: pytest.MonkeyPatch,
    quota: str,
    retry_after: int | None,
    until: datetime,
) -> None:
    now = datetime(2030, 12, 30, 23, tzinfo=UTC)
    monkeypatch.setattr(budget, "read_clock", lambda: now)

    with transaction.atomic():
        budget.pause(quota=quota, retry_after=retry_after)

    assert SendBudget.objects.get().paused_until == until


class Time:
    """It passes while somebody sleeps, and not otherwise."""

    def __init__(self, clock: Clock, patch: pytest.MonkeyPatch) -> None:
        self._clock, self._now = clock, read_clock()
        self.sleep(0)
        patch.setattr(budget, "sleep", self.sleep)
        for module in (budget, sending):
            patch.setattr(module, "monotonic", self.monotonic)

    def monotonic(self) -> float:
        return self._now.timestamp()

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._clock.stop_at(self._now)

    def sweep_for(self, seconds: int, *, by: Callable[[], int]) -> None:
        """As beat does, which has nothing done before it is time."""
        for _ in range(0, seconds, sending.SWEEP_SECONDS):
            began_at = self._now
            by()
            is_late = self._now - began_at
            self.sleep(sending.SWEEP_SECONDS - is_late.total_seconds())


@pytest.mark.parametrize(
    ("by", "number"), [(sending.sweep, 48), (sending.send_due, 12)]
)
def test_a_backlog_goes_out_at_the_full_budget_and_never_above_it(
    settings: Any,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    by: Callable[[], int],
    number: int,
) -> None:
    """F79: 5,000 mails take 42 minutes; if sweeps did not wait, it would be hours."""
    settings.RESEND_REQUESTS_PER_SECOND, settings.RESEND_BURST = 2, 1
    for each in range(60):
        queue(dedupe_key=str(each), subject_id=str(each))
    time = Time(clock, monkeypatch)

    time.sweep_for(24, by=by)

    sent = sorted(NotificationAttempt.objects.values_list("at", flat=True))
    assert number <= len(sent) <= number + 1
    third_after = zip(sent, sent[2:], strict=False)
    assert all(later - at >= timedelta(seconds=1) for at, later in third_after)


@pytest.mark.parametrize(("burst", "is_kept"), [(1, True), (6, False)])
def test_resends_own_limit_is_kept_while_a_backlog_goes_out(
    sandbox: Sandbox, settings: Any, burst: int, *, is_kept: bool
) -> None:
    """In real seconds. A burst that uses up the budget without waiting does not."""
    settings.RESEND_REQUESTS_PER_SECOND, settings.RESEND_BURST = 3, burst
    sandbox.post("/_sandbox/resend/limits", {"per_second": 4})
    for each in range(30):
        queue(dedupe_key=str(each), subject_id=str(each))

    sending.sweep()
    sending.sweep()

    assert (calls(sandbox) == len(mails(sandbox))) is is_kept
    if is_kept:
        assert 8 <= len(mails(sandbox)) <= 14


def test_a_sweep_goes_on_until_the_next_one_begins() -> None:
    assert SCHEDULE["send mails"].seconds == sending.SWEEP_SECONDS


@pytest.mark.usefixtures("_slow")
def test_nobody_waits_for_what_the_next_sweep_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does whoever is woken for one mail, however soon there is room."""
    slept: list[float] = []
    monkeypatch.setattr(budget, "sleep", slept.append)
    messages = [queue(dedupe_key=str(number)) for number in range(4)]

    assert sending.sweep() == 2
    pass_seconds(9.5)
    send_email(id=messages[-1].pk)

    assert slept == []
    assert Notification.objects.filter(status="SENT").count() == 2


def test_a_call_is_worth_its_part_of_a_second(settings: Any) -> None:
    settings.RESEND_REQUESTS_PER_SECOND, settings.RESEND_BURST = 4, 3

    assert budget._cost() == timedelta(milliseconds=250)
    assert budget._ahead() == timedelta(milliseconds=500)
