"""Ways in which the rules about messages and profiles can be broken, by hand."""

from collections.abc import Callable
from datetime import timedelta

from notifications.models import Notification, NotificationAttempt, SendBudget
from slotbase.accounts.models import Erasure, ProfileFetch
from slotbase.lib.clock import read_clock
from tests.factories import make_customer
from tests.notifications.conftest import queue
from tests.notifications.pushes import queue_push


def mail_sent_twice() -> None:
    message = queue()
    for number in (1, 2):
        make_attempt(message, number, "done", hours_ago=0)


def unsure_mail_sent_after_a_day() -> None:
    message = queue()
    make_attempt(message, 1, "unknown", hours_ago=25)
    make_attempt(message, 2, "done", hours_ago=0)


def mail_without_history() -> None:
    queue()
    Notification.objects.update(status="CANCELLED", next_run_at=None)


def mail_not_tried() -> None:
    queue()
    Notification.objects.update(next_run_at=read_clock() - timedelta(minutes=6))


def push_not_tried() -> None:
    queue_push()
    due = read_clock() - timedelta(minutes=6)
    Notification.objects.filter(channel="PUSH").update(next_run_at=due)


def mail_given_up_without_a_case() -> None:
    queue()
    Notification.objects.update(status="FAILED", next_run_at=None)


def mail_suppressed_without_a_case() -> None:
    queue()
    Notification.objects.update(status="SUPPRESSED", next_run_at=None)


def mail_stuck_for_a_day_at_full_budget() -> None:
    queue()
    Notification.objects.update(next_run_at=read_clock() - timedelta(hours=25))
    SendBudget.objects.create(provider="resend")


def clerk_not_asked() -> None:
    due = read_clock() - timedelta(minutes=6)
    ProfileFetch.objects.create(user=make_customer(), next_run_at=due)


def person_not_erased() -> None:
    due = read_clock() - timedelta(minutes=6)
    Erasure.objects.create(user=make_customer(), next_run_at=due)


def make_attempt(
    message: Notification, number: int, outcome: str, *, hours_ago: int
) -> None:
    at = read_clock() - timedelta(hours=hours_ago)
    NotificationAttempt.objects.create(
        notification=message, number=number, outcome=outcome, at=at
    )


BREAKS: list[tuple[str, Callable[[], None]]] = [
    ("I5", mail_sent_twice),
    ("I5", unsure_mail_sent_after_a_day),
    ("I6.notification", mail_without_history),
    ("I11.notification", mail_not_tried),
    ("I11.push", push_not_tried),
    ("I11.notification", mail_stuck_for_a_day_at_full_budget),
    ("I18.notification", mail_given_up_without_a_case),
    ("I18.notification", mail_suppressed_without_a_case),
    ("I11.profile", clerk_not_asked),
    ("I11.erasure", person_not_erased),
]
