"""The table of alerts: how bad each is, whose it is, and how it is told.

Every kind of case is an alert as severe as the case; `CONDITIONS` are the others.
docs/reference/alerts.md shows both, and a test compares it with this file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from recovery import cases
from recovery.cases import Kind
from recovery.states import CaseSeverity


@dataclass(frozen=True)
class Telling:
    """When an alert is told: `first` after it opened, then `again` while it is open.

    What is batched goes into one notice with all that wait. `tells_end`: who was told
    is also told that it is over.
    """

    first: timedelta = timedelta()
    again: timedelta | None = None
    is_batched: bool = False
    tells_end: bool = False


TELLINGS = {
    CaseSeverity.CRITICAL: Telling(again=timedelta(minutes=15), tells_end=True),
    CaseSeverity.HIGH: Telling(tells_end=True),
    CaseSeverity.MEDIUM: Telling(first=timedelta(minutes=15), is_batched=True),
    CaseSeverity.LOW: Telling(
        first=timedelta(days=1), again=timedelta(days=1), is_batched=True
    ),
}
#: One alert is told no more often than this, however often it comes and goes.
TOLD_EVERY = timedelta(minutes=15)


@dataclass(frozen=True)
class Category:
    """A kind of alert. One that has not been seen for `quiet` is over by itself."""

    name: str
    severity: CaseSeverity
    audience: str
    opened_when: str
    by_itself: str
    quiet: timedelta = timedelta(minutes=2)

    @property
    def runbook(self) -> str:
        """The name of its page in docs/runbooks."""
        return self.name


CONDITIONS = {
    each.name: each
    for each in (
        Category(
            "beat_silent",
            CaseSeverity.HIGH,
            "operations",
            "beat has given no sign of life for 2 min",
            "web processes notice and tell; what is due waits, nothing is lost",
        ),
        Category(
            "worker_silent",
            CaseSeverity.HIGH,
            "operations",
            "beat is alive, and no worker has served a queue for 90 s",
            "what is due waits; another worker takes over what was begun",
        ),
        Category(
            "outbox_lag",
            CaseSeverity.HIGH,
            "operations",
            "an event has waited for its subscriber for 2 min after it was due",
            "it is delivered when workers come to it",
        ),
        Category(
            "inbox_lag",
            CaseSeverity.HIGH,
            "operations",
            "a webhook has waited for 2 min after it was due",
            "it is processed when workers come to it",
        ),
        Category(
            "bad_signatures",
            CaseSeverity.HIGH,
            "operations",
            "more than 20 webhooks with a bad signature came in a minute",
            "each was refused and left nothing behind",
        ),
        Category(
            "break_glass",
            CaseSeverity.HIGH,
            "operations",
            "a superuser signed in, or did alone what needs two people; or a second"
            " factor was made with a password that somebody else had set",
            "nothing: ask who it was, and why",
            timedelta(hours=1),
        ),
        Category(
            "provider_down",
            CaseSeverity.HIGH,
            "operations",
            "our breaker for a provider that is needed opened 3 times in 5 min",
            "calls are kept off and made later; one in 15 s tries",
        ),
        Category(
            "clerk_keys_old",
            CaseSeverity.HIGH,
            "operations",
            "Clerk's keys have not been renewed for an hour",
            "the stored ones serve on for CLERK_KEYS_MAX_AGE_SECONDS",
        ),
        Category(
            "clerk_keys_missing",
            CaseSeverity.CRITICAL,
            "operations",
            "Clerk's keys never came or are too old, and there are no CLERK_JWT_KEYS",
            "customers are told to come again; the next answer of Clerk ends it",
        ),
        Category(
            "alert_channel",
            CaseSeverity.HIGH,
            "operations",
            "a channel of alerts has not taken a notice for 5 min, or lost one",
            "the other channel tells; notices are tried for 20 h",
        ),
        Category(
            "alerts_lost",
            CaseSeverity.HIGH,
            "operations",
            "a process had more to report than it can keep",
            "cases and conditions are found again; counts are too low",
            timedelta(minutes=15),
        ),
        Category(
            "database_contention",
            CaseSeverity.MEDIUM,
            "operations",
            "transactions got in each other's way more than once a minute for 10 min",
            "each is run again up to 3 times, then answered with 503",
        ),
        Category(
            "mails_failing",
            CaseSeverity.MEDIUM,
            "operations",
            "10 attempts to send a mail failed in 15 min",
            "each is tried again for up to a day",
        ),
        Category(
            "mail_quota",
            CaseSeverity.HIGH,
            "operations",
            "a quota of Resend is used up",
            "mails wait and go out when it is full again",
        ),
        Category(
            "push_refused",
            CaseSeverity.HIGH,
            "operations",
            "FCM refused a push whatever its device, or more than a fifth of 20 or more"
            " in 10 min",
            "each is given up, no device is; mails tell the same",
        ),
        Category(
            "push_key_refused",
            CaseSeverity.HIGH,
            "operations",
            "Apple or a web push service did not take our key at Firebase in 10 min",
            "each is tried again while it is of use; other devices get theirs",
        ),
        Category(
            "sign_in_guessing",
            CaseSeverity.HIGH,
            "operations",
            "an address guessed 50 times wrong, or a password is known and codes are"
            " guessed",
            "guesses are refused for 15 min; the owner gets in from another address",
        ),
        Category(
            "second_factor_reset",
            CaseSeverity.HIGH,
            "operations",
            "somebody with a shell took away a second factor of staff",
            "the next sign-in with that password makes a new one",
            timedelta(hours=1),
        ),
        Category(
            "analytics_behind",
            CaseSeverity.LOW,
            "operations",
            "events for a subscriber that nobody misses fail or were dropped",
            "each is tried for two days, then dropped",
        ),
    )
}


def categories() -> Iterator[Category]:
    """All categories: the conditions, then the kinds of case."""
    yield from CONDITIONS.values()
    yield from map(_of_kind, cases.registered().values())


def find(name: str) -> Category | None:
    """The category of this name; None if no code knows it any more."""
    if name in CONDITIONS:
        return CONDITIONS[name]
    kind = cases.registered().get(name)
    return _of_kind(kind) if kind else None


def _of_kind(kind: Kind) -> Category:
    heals = kind.closes_itself_when
    return Category(
        kind.name,
        kind.severity,
        kind.audience,
        f"a case is opened: {kind.says[0].lower()}{kind.says[1:].rstrip('.')}",
        f"the case closes itself when {heals}" if heals else "nothing: staff decide",
    )


def runbook_path(category: Category) -> str:
    """Where the back office shows what to do about it."""
    return f"/admin/runbooks/{category.runbook}/"
