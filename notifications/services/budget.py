"""How many calls a provider takes: one budget for all workers.

What is over the budget stays due. A sweep waits for room between two mails, and the
next sweep goes on (ADR 0033).
"""

import secrets
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models.functions import Greatest

from notifications.models import SendBudget
from recovery import audit, conditions
from recovery.rowqueue import OLDEST
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState
from slotbase.providers.resend import client

#: What is pointless first goes first, and of the same urgency what is new.
MOST_URGENT = "urgency ASC, next_run_at DESC"
#: Whoever hears twice of one thing, equally urgent, hears first what happened first.
IN_TURN = """
NOT EXISTS (
    SELECT FROM notifications_notification earlier
    WHERE earlier.subject_type = notifications_notification.subject_type
      AND earlier.subject_id = notifications_notification.subject_id
      AND earlier.recipient_id = notifications_notification.recipient_id
      AND earlier.channel = notifications_notification.channel
      AND earlier.urgency = notifications_notification.urgency
      AND earlier.next_run_at < notifications_notification.next_run_at)
"""
# However long Resend wants to be left alone, then one mail asks again: what is further
# ahead was written while the clock was.
LONGEST_WAIT_SECONDS = 30
# So that nothing waits for ever behind what is new.
ONE_OF_THESE_IS_THE_OLDEST = 4

_OPEN = """
INSERT INTO notifications_sendbudget (provider) VALUES (%s) ON CONFLICT DO NOTHING
"""
# One statement: of several workers each sees what the others have taken. Nobody waits
# as long as `longest`: if it looks so, the clock was ahead when that was written.
_TAKE = """
UPDATE notifications_sendbudget
SET next_at = %(cost)s + CASE
    WHEN next_at > slotbase_now() + %(longest)s THEN slotbase_now()
    ELSE greatest(next_at, slotbase_now()) END
WHERE provider = %(provider)s
  AND (next_at <= slotbase_now() + %(ahead)s
       OR next_at > slotbase_now() + %(longest)s)
  AND (paused_until IS NULL OR paused_until <= slotbase_now())
"""


def order_of(turn: int) -> str:  # noqa: ARG001 - a sweep may end after its first turn
    """The most urgent, newest first; now and then what has waited the longest."""
    is_for_the_oldest = secrets.randbelow(ONE_OF_THESE_IS_THE_OLDEST) == 0
    return OLDEST if is_for_the_oldest else MOST_URGENT


def has_room() -> bool:
    """Whether a mail may be sent now; it may be taken by others until it is."""
    return _until_room() <= timedelta()


def wait_for_room(*, stop_at: timedelta) -> bool:
    """As `has_room`, but wait for it if it comes until `stop_at`, of `monotonic()`.

    For sweeps, which hold no lease between two mails; beat starts one after the other.
    """
    while (wait := _until_room()) > timedelta():
        if timedelta(seconds=monotonic()) + wait > stop_at:
            return False
        sleep(wait.total_seconds())
    return True


def _until_room() -> timedelta:
    budget = SendBudget.objects.filter(provider="resend").first()
    if budget is None:
        return timedelta()
    now = read_clock()
    is_from_the_future = budget.next_at > now + _longest()
    free_at = now if is_from_the_future else budget.next_at - _ahead()
    return max(free_at, budget.paused_until or free_at) - now


@transaction_required
def take() -> bool:
    """Take the room for one mail, if there is any."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, ["resend"])
        values: dict[str, Any] = {
            "provider": "resend",
            "cost": _cost(),
            "ahead": _ahead(),
            "longest": _longest(),
        }
        cursor.execute(_TAKE, values)
        return bool(cursor.rowcount)


@transaction_required
def pause(*, quota: str, retry_after: int | None) -> None:
    """Send nothing until a quota is full again, or for as long as Resend says."""
    now = read_clock()
    until = _full_again(quota, now)
    if retry_after:
        until = min(until, now + timedelta(seconds=retry_after))
    SendBudget.objects.update_or_create(
        provider="resend", defaults={"paused_until": until}
    )


@retry_on_conflict
def end_pause(*, staff_id: UUID) -> None:
    """Send mails again before a quota is full: somebody has seen to it at Resend.

    If there is none left after all, the first mail is refused, and the pause is back.

    Raises:
        InvalidState: there is no pause, or it is over.
    """
    paused = SendBudget.objects.filter(provider="resend", paused_until__gt=Now())
    if not paused.update(paused_until=None):
        raise InvalidState("Nothing is paused any more.")
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="send_budget.pause_ended",
        subject="send_budget",
        ids=["resend"],
    )


@transaction_required
def wait(seconds: int) -> None:
    """Call nobody for so long: Resend says that there were too many calls just now.

    After LONGEST_WAIT_SECONDS one is tried again, whatever it says.
    """
    seconds = min(seconds, LONGEST_WAIT_SECONDS)
    free_at = Now() + timedelta(seconds=seconds) + _ahead()
    budget = SendBudget.objects.filter(provider="resend")
    budget.update(next_at=Greatest("next_at", free_at))


def _full_again(quota: str, now: datetime) -> datetime:
    """When the next day begins in UTC, or the next month."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if quota == client.MONTHLY_QUOTA:
        return (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return today + timedelta(days=1)


def _cost() -> timedelta:
    cost: timedelta = timedelta(seconds=1) // settings.RESEND_REQUESTS_PER_SECOND
    return cost


def _ahead() -> timedelta:
    ahead: timedelta = _cost() * (settings.RESEND_BURST - 1)
    return ahead


def _longest() -> timedelta:
    """How far ahead the next call can be, after `wait` of any length and a burst."""
    waited = timedelta(seconds=LONGEST_WAIT_SECONDS)
    return waited + 2 * (_ahead() + _cost())


def find_pauses() -> conditions.Found:
    """The alert of a quota that is used up."""
    paused = SendBudget.objects.filter(paused_until__gt=Now())
    return {each.provider: f"A quota of {each.provider} is used up" for each in paused}


conditions.register("mail_quota", find_pauses)
