"""While Clerk is away: what an expired token still opens, and what it does not."""

import time
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.db.models import F
from django.urls import get_resolver
from rest_framework.test import APIClient
from rest_framework.views import APIView

from recovery import counts, health
from recovery.models import AuditEntry
from slotbase.accounts.models import RevokedSession, SigningKeySet, User
from slotbase.accounts.services import signing_keys
from slotbase.accounts.services.fallback import record_fallback
from slotbase.accounts.services.sign_in import sign_in
from slotbase.accounts.tasks import refresh_signing_keys as refresh_task
from slotbase.accounts.tokens import Needs
from slotbase.lib import tally
from tests.accounts.conftest import keys_are_from
from tests.concurrency.race import at_once
from tests.factories import make_booking, make_customer, make_hold
from tests.sandbox.client import SandboxClient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keys")]

GRACE = 600


@pytest.fixture
def alice() -> User:
    return make_customer("Alice", clerk_id="user_alice")


@pytest.fixture
def grace(settings: Any) -> None:
    settings.CLERK_GRACE_SECONDS = GRACE


@pytest.fixture
def outage(sandbox: SandboxClient, keys: None) -> None:
    """Clerk answers nothing, and beat has noticed."""
    sandbox.fault("5xx", "*")
    refresh_task()


def expired(sandbox: SandboxClient, *, ago: int, **changes: Any) -> str:
    """A token of Alice that lived a minute."""
    now = int(time.time())
    stamps = {"iat": now - ago - 60, "nbf": now - ago - 70, "exp": now - ago}
    claims = {**stamps, **changes.pop("claims", {})}
    return sandbox.token("user_alice", claims=claims, **changes)


def aged(sandbox: SandboxClient, *, seconds: int) -> str:
    """A token of Alice that was made so long ago, and lives an hour."""
    then = int(time.time()) - seconds
    stamps = {"iat": then, "nbf": then - 10, "exp": then + 3600}
    return sandbox.token("user_alice", claims=stamps)


def ask(token: str, method: str, address: str) -> tuple[int, str]:
    """Status and code of an answer."""
    api = APIClient(raise_request_exception=False)
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    headers = {"Idempotency-Key": uuid4().hex}
    answer = api.generic(method, address, "{}", "application/json", headers=headers)
    is_problem = answer.status_code >= 400
    return answer.status_code, answer.json()["code"] if is_problem else ""


def fallbacks() -> list[str]:
    return [
        *AuditEntry.objects.filter(action="auth.fallback_used").values_list(
            "subject_id", flat=True
        )
    ]


# --- Who is let in ------------------------------------------------------------


@pytest.mark.usefixtures("alice", "grace", "outage")
def test_an_expired_token_reads_what_is_its_own(sandbox: SandboxClient) -> None:
    """F83: during the outage, as long as the grace lasts."""
    token = expired(sandbox, ago=GRACE - 60)

    assert ask(token, "GET", "/api/v1/bookings/") == (200, "")


@pytest.mark.usefixtures("alice", "grace", "outage")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("address", ["/api/v1/me/", "/api/v1/bookings/"])
def test_in_the_grace_oneself_is_looked_at_by_head_as_by_get(
    sandbox: SandboxClient, method: str, address: str
) -> None:
    """F83: one's own person is one's own object."""
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {expired(sandbox, ago=10)}")

    assert api.generic(method, address).status_code == 200


REFUSED = (401, "token_expired")


@pytest.mark.usefixtures("alice", "outage")
def test_without_the_setting_an_expired_token_is_expired(
    sandbox: SandboxClient,
) -> None:
    """F87."""
    assert ask(expired(sandbox, ago=10), "GET", "/api/v1/bookings/") == REFUSED


@pytest.mark.usefixtures("alice", "grace")
def test_while_clerk_is_there_an_expired_token_is_expired(
    sandbox: SandboxClient,
) -> None:
    """F87."""
    assert ask(expired(sandbox, ago=10), "GET", "/api/v1/bookings/") == REFUSED


@pytest.mark.usefixtures("alice", "grace", "outage")
def test_after_the_grace_a_token_is_expired(sandbox: SandboxClient) -> None:
    """F87: even when Clerk is down."""
    token = expired(sandbox, ago=GRACE + 10)

    assert ask(token, "GET", "/api/v1/bookings/") == REFUSED


@pytest.mark.usefixtures("alice", "grace", "outage")
def test_when_clerk_answers_again_the_grace_is_over(sandbox: SandboxClient) -> None:
    token = expired(sandbox, ago=10)
    assert ask(token, "GET", "/api/v1/bookings/") == (200, "")

    sandbox.reset()
    refresh_task()

    assert ask(token, "GET", "/api/v1/bookings/") == REFUSED


@pytest.mark.usefixtures("alice", "grace", "outage")
def test_if_nobody_tries_to_reach_clerk_there_is_no_grace(
    sandbox: SandboxClient, settings: Any
) -> None:
    """S8: workers that are down must not leave the door open."""
    long = 3 * settings.CLERK_KEYS_REFRESH_SECONDS + 1
    ago = F("failed_at") - timedelta(seconds=long)
    SigningKeySet.objects.update(failed_at=ago, fetched_at=ago - timedelta(seconds=1))
    signing_keys.forget_cached_keys()

    assert ask(expired(sandbox, ago=10), "GET", "/api/v1/bookings/") == REFUSED


@pytest.mark.usefixtures("grace", "outage")
def test_nobody_new_comes_with_an_expired_token(sandbox: SandboxClient) -> None:
    assert ask(expired(sandbox, ago=10), "GET", "/api/v1/bookings/") == REFUSED
    assert not User.objects.exists()


@pytest.mark.usefixtures("alice", "grace", "outage")
def test_a_session_that_clerk_ended_is_out_at_once(sandbox: SandboxClient) -> None:
    """F86."""
    token = expired(sandbox, ago=10, claims={"sid": "sess_1"})
    assert ask(token, "GET", "/api/v1/bookings/") == (200, "")

    RevokedSession.objects.create(session_id="sess_1")

    assert ask(token, "GET", "/api/v1/bookings/") == (401, "session_revoked")


@pytest.mark.usefixtures("grace", "outage")
def test_who_is_disabled_is_out_at_once(sandbox: SandboxClient, alice: User) -> None:
    """F86."""
    User.objects.filter(pk=alice.pk).update(is_active=False)
    token = expired(sandbox, ago=10)

    assert ask(token, "GET", "/api/v1/bookings/") == (403, "account_disabled")


@pytest.mark.usefixtures("alice", "grace", "outage")
@pytest.mark.parametrize(
    "changes",
    [
        {"key": "foreign", "headers": {"kid": "known"}},
        {"alg": "HS256"},
        {"alg": "none"},
        {"claims": {"iss": "https://clerk.mallory.example"}},
        {"claims": {"azp": "https://mallory.example"}},
        {"claims": {"aud": "another"}},
        {"claims": {"sts": "pending"}},
        {"remove": ["sid"]},
    ],
)
def test_the_grace_forgives_nothing_but_time(
    sandbox: SandboxClient, changes: dict[str, Any]
) -> None:
    """F85 within F83: no open door."""
    changes = {**changes}
    if "headers" in changes:
        changes["headers"] = {"kid": sandbox.kid()}

    token = expired(sandbox, ago=10, **changes)

    assert ask(token, "GET", "/api/v1/bookings/") == (401, "token_invalid")
    assert fallbacks() == []


# --- What it opens ------------------------------------------------------------

#: All that says anything about tokens while Clerk is away. Whatever is not here wants
#: a token that is alive, whether Clerk is away or not.
OPEN = {
    "GET": Needs.GRACE,
}
MARKED = {
    "BookingCancelView": {"POST": Needs.FRESH},
    "BookingHistoryView": OPEN,
    "BookingListView": OPEN,
    "BookingView": OPEN,
    "CancellationQuoteView": OPEN,
    "DevicesView": OPEN,
    "FeedbackView": OPEN,
    "HoldConfirmView": {"POST": Needs.GRACE},
    "HoldPaymentView": {"POST": Needs.FRESH},
    "HoldView": OPEN,
    "MeView": OPEN,
    "MessageChoicesView": OPEN,
    "WaitlistEntryView": OPEN,
    "WaitlistView": OPEN,
}


def find_marks(patterns: Any) -> dict[str, Any]:
    """What each view of the API says of tokens, by its name."""
    found: dict[str, Any] = {}
    for each in patterns:
        if hasattr(each, "url_patterns"):
            found |= find_marks(each.url_patterns)
        view = getattr(getattr(each, "callback", None), "cls", None)
        if view and issubclass(view, APIView) and hasattr(view, "token_needs"):
            found[view.__name__] = dict(view.token_needs)
    return found


def test_only_these_addresses_say_anything_about_tokens() -> None:
    """A view that is new is strict until it is entered here."""
    assert find_marks(get_resolver().url_patterns) == MARKED


@pytest.mark.usefixtures("grace", "outage")
def test_what_writes_wants_a_living_token(sandbox: SandboxClient, alice: User) -> None:
    hold, booking = make_hold(customer=alice), make_booking(customer=alice)
    token = expired(sandbox, ago=10)

    for method, address in (
        ("DELETE", f"/api/v1/holds/{hold.pk}/"),
        ("POST", "/api/v1/holds/"),
        ("POST", f"/api/v1/holds/{hold.pk}/payment/"),
        ("POST", f"/api/v1/bookings/{booking.pk}/cancel/"),
        ("POST", "/api/v1/waitlist/"),
        ("PATCH", "/api/v1/me/notifications/"),
        ("PATCH", "/api/v1/me/"),
        ("DELETE", "/api/v1/me/"),
        ("GET", "/api/v1/me/export/"),
        ("POST", "/api/v1/devices/"),
        ("GET", "/api/v1/venues/"),
    ):
        assert ask(token, method, address) == REFUSED, address
    assert ask(token, "GET", f"/api/v1/holds/{hold.pk}/") == (200, "")


@pytest.mark.usefixtures("alice", "grace", "outage")
def test_what_is_somebody_elses_stays_hidden(sandbox: SandboxClient) -> None:
    theirs = make_booking()

    answer = ask(expired(sandbox, ago=10), "GET", f"/api/v1/bookings/{theirs.pk}/")

    assert answer[0] == 404


@pytest.mark.usefixtures("grace", "outage")
def test_a_hold_that_no_card_paid_is_not_confirmed(
    sandbox: SandboxClient, alice: User
) -> None:
    hold = make_hold(customer=alice)
    address = f"/api/v1/holds/{hold.pk}/confirm/"

    assert ask(expired(sandbox, ago=10), "POST", address) == REFUSED
    # The positive control: with a token that is alive it is a booking.
    assert ask(sandbox.token("user_alice"), "POST", address) == (201, "")


# --- Money --------------------------------------------------------------------


@pytest.mark.parametrize("what", ["cancel", "payment"])
def test_what_moves_money_wants_a_fresh_token_while_clerk_is_away(
    sandbox: SandboxClient, alice: User, outage: None, what: str
) -> None:
    """S8: a token of 61 s is 401 then, and not otherwise."""
    if what == "cancel":
        address = f"/api/v1/bookings/{make_booking(customer=alice).pk}/cancel/"
    else:
        address = f"/api/v1/holds/{make_hold(customer=alice).pk}/payment/"
    old, fresh = aged(sandbox, seconds=61), aged(sandbox, seconds=50)

    assert ask(old, "POST", address) == REFUSED
    assert ask(old, "GET", "/api/v1/bookings/") == (200, "")
    assert ask(fresh, "POST", address)[0] != 401


def test_while_clerk_is_there_an_hour_old_token_moves_money(
    sandbox: SandboxClient, alice: User
) -> None:
    """The positive control of the test above."""
    booking = make_booking(customer=alice)
    token = aged(sandbox, seconds=3000)

    status, _ = ask(token, "POST", f"/api/v1/bookings/{booking.pk}/cancel/")

    assert status in {200, 202}


# --- What is written down -----------------------------------------------------


@pytest.mark.usefixtures("alice", "grace", "outage")
def test_each_session_is_audited_once_a_minute_and_each_use_is_counted(
    sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(tally, "_listeners", [counted.append])
    mine = expired(sandbox, ago=10, claims={"sid": "sess_1"})
    other = expired(sandbox, ago=10, claims={"sid": "sess_2"})

    for token in (mine, mine, other):
        sign_in(token=token, needs=Needs.GRACE)

    assert fallbacks() == ["sess_1", "sess_2"]
    assert counted == ["auth_fallback_used"] * 3


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_at_once_one_writes_it_down(alice: User) -> None:
    use = partial(record_fallback, user_id=alice.pk, session_id="sess_1")

    assert at_once([use] * 10) == [None] * 10
    assert fallbacks() == ["sess_1"]


@pytest.mark.usefixtures("grace", "outage")
def test_who_did_it_stands_in_the_audit(sandbox: SandboxClient, alice: User) -> None:
    token = expired(sandbox, ago=10)

    sign_in(token=token, needs=Needs.GRACE)

    entry = AuditEntry.objects.get(action="auth.fallback_used")
    assert (entry.actor_kind, entry.actor_id) == ("customer", str(alice.pk))
    assert entry.subject_type == "session"
    assert entry.reason == "Clerk is away"


@pytest.mark.django_db(transaction=True)
def test_health_shows_the_outage_and_how_often_expired_tokens_were_let_in(
    sandbox: SandboxClient, keys: None
) -> None:
    """F83: degraded, and never unhealthy."""
    with transaction.atomic():
        counts.add({"auth_fallback_used": 3})
    assert seen_by_health() == ("healthy", "", 3)

    sandbox.fault("5xx", "*")
    refresh_task()

    assert seen_by_health() == ("degraded", "clerk_away", 3)


def seen_by_health() -> tuple[str, str, int]:
    [check] = [each for each in health.look_now().checks if each.name == "sign_in"]
    return check.status, check.code, check.details["fallbacks"]


# --- An hour ------------------------------------------------------------------


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("minutes", [1, 5, 20, 40, 59])
def test_an_hour_without_clerk_signs_nobody_out_and_lets_nobody_in(
    sandbox: SandboxClient, minutes: int
) -> None:
    """F83, F85, F86 and F87 together: Clerk has been away for so long."""
    RevokedSession.objects.create(session_id="sess_out")
    kid = sandbox.kid()
    tokens = {
        "of before": aged(sandbox, seconds=minutes * 60),
        "of now": sandbox.token("user_alice"),
        "expired": expired(sandbox, ago=minutes * 60 - 50),
        "ended": sandbox.token("user_alice", claims={"sid": "sess_out"}),
        "forged": sandbox.token("user_alice", key="foreign", headers={"kid": kid}),
    }
    sandbox.fault("5xx", "*")
    keys_are_from(hours_ago=minutes / 60)
    refresh_task()
    assert signing_keys.clerk_is_away()

    answers = {
        name: ask(token, "GET", "/api/v1/bookings/") for name, token in tokens.items()
    }

    assert answers == {
        "of before": (200, ""),
        "of now": (200, ""),
        "expired": REFUSED,
        "ended": (401, "session_revoked"),
        "forged": (401, "token_invalid"),
    }
    assert fallbacks() == []
