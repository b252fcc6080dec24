"""Clerk tells by webhook what became of customers and sessions, in any order.

The sandbox signs its webhooks and sends them to a server of ours, as Clerk does.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from pytest_django.live_server_helper import LiveServer

from recovery.inbox import process_inbox
from recovery.models import AuditEntry, InboxEvent
from slotbase.accounts.errors import AccountDisabled, SessionRevoked
from slotbase.accounts.models import ProfileFetch, RevokedSession, User
from slotbase.accounts.services import profiles
from slotbase.accounts.services.blocking import block
from slotbase.accounts.services.revocations import forget_revoked_sessions
from slotbase.accounts.services.sign_in import sign_in
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.providers.breaker import Breaker
from slotbase.providers.clerk import client
from tests.concurrency.race import at_once
from tests.factories import make_staff
from tests.product import eventually
from tests.providers.signing import current_secret
from tests.sandbox.client import SandboxClient

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("keys"),
]

HOOKS = "/_sandbox/webhooks"
FORGED = "whsec_Zm9yZ2VkIGJ5IHNvbWVib2R5IGVsc2U="


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("clerk"))


class Clerk:
    """Clerk, which tells us what happens there."""

    def __init__(self, sandbox: SandboxClient, url: str) -> None:
        self.sandbox, self.url = sandbox, url
        self.signs_with(current_secret("clerk"))

    def signs_with(self, secret: str) -> None:
        wish = {"provider": "clerk", "url": self.url, "secret": secret, "retry_ms": []}
        assert self.sandbox.post(f"{HOOKS}/endpoints", wish).status_code == 201

    def changes(self, **facts: Any) -> None:
        """Somebody is now as told; its webhook comes, and is processed."""
        self._do("/_sandbox/clerk/users", {"id": "user_alice", **facts})

    def ends(self, session_id: str, status: str = "revoked") -> None:
        self._do("/_sandbox/clerk/sessions", {"id": session_id, "status": status})

    def tells(self, type_: str, **about: Any) -> None:
        """A webhook of this type, whether it is true or not."""
        self._do("/_sandbox/clerk/events", {"type": type_, "data": about})

    def does(self, action: str, *ids: str) -> None:
        wish = {"provider": "clerk", "action": action}
        more = {"ids": list(ids)} if ids else {}
        self.sandbox.post(HOOKS, {**wish, **more})
        if action not in {"hold", "drop"}:
            self.settle()

    def messages(self) -> list[dict[str, Any]]:
        known = self.sandbox.get(f"{HOOKS}?provider=clerk").json()["messages"]
        return [*known]

    def settle(self) -> None:
        """What is on its way is here, processed, and what it made due is done."""
        eventually(self._has_arrived)
        process_inbox()
        profiles.fetch_profiles()

    def _has_arrived(self) -> bool:
        told = self.sandbox.get(f"{HOOKS}?provider=clerk").json()
        sent = [each for each in told["messages"] if each["id"] not in told["held"]]
        return all(each["attempts"] for each in sent)

    def _do(self, path: str, what: dict[str, Any]) -> None:
        answer = self.sandbox.post(path, what)
        assert answer.status_code == 201, answer.text
        if not self.sandbox.get(f"{HOOKS}?provider=clerk").json()["is_holding"]:
            self.settle()


@pytest.fixture
def clerk(sandbox: SandboxClient, live_server: LiveServer) -> Iterator[Clerk]:
    yield Clerk(sandbox, f"{live_server.url}/webhooks/clerk/")
    address = f"{sandbox.url}{HOOKS}/endpoints?provider=clerk"
    requests.delete(address, timeout=5).raise_for_status()


@pytest.fixture
def alice(sandbox: SandboxClient) -> User:
    """Alice, who signed in, and whom we know."""
    user, _ = sign_in(token=sandbox.token("user_alice"))
    profiles.fetch_profiles()
    user.refresh_from_db()
    return user


def now_of(user: User) -> User:
    user.refresh_from_db()
    return user


def inbox() -> list[tuple[str, str]]:
    return [*InboxEvent.objects.order_by("id").values_list("type", "status")]


def why_ignored() -> str:
    return InboxEvent.objects.get(status="IGNORED").ignored_because


def history(user: User) -> list[str]:
    """What Clerk closed and opened."""
    told = AuditEntry.objects.filter(subject_id=str(user.pk), actor_id="clerk")
    return [*told.order_by("id").values_list("action", flat=True)]


# --- Sessions -----------------------------------------------------------------


@pytest.mark.parametrize("status", ["revoked", "ended", "removed"])
def test_a_session_that_ended_is_refused_by_the_next_request(
    clerk: Clerk, sandbox: SandboxClient, status: str
) -> None:
    """F86: refused at once when seen, and other sessions go on."""
    mine, other = sandbox.mint("user_alice"), sandbox.mint("user_alice")
    sign_in(token=mine["token"])

    clerk.ends(mine["sid"], status)

    with pytest.raises(SessionRevoked):
        sign_in(token=mine["token"])
    sign_in(token=other["token"])


def test_a_session_that_ends_twice_is_one_row(clerk: Clerk) -> None:
    clerk.ends("sess_1")
    clerk.ends("sess_1", "removed")
    clerk.does("resend", clerk.messages()[0]["id"])

    assert RevokedSession.objects.count() == 1
    assert inbox() == [("session.revoked", "PROCESSED"), ("session.removed", "IGNORED")]
    assert why_ignored() == "it says nothing new"


def test_what_somebody_else_signed_ends_no_session(clerk: Clerk) -> None:
    """S9, with its positive control: signed by Clerk the same counts."""
    clerk.signs_with(FORGED)
    clerk.ends("sess_1")
    assert not RevokedSession.objects.exists()

    clerk.signs_with(current_secret("clerk"))
    clerk.ends("sess_1")
    assert RevokedSession.objects.exists()


def test_ended_sessions_are_forgotten_when_no_token_can_be_alive(settings: Any) -> None:
    settings.CLERK_MAX_TOKEN_SECONDS, settings.CLERK_GRACE_SECONDS = 3600, 900
    longest = timedelta(days=1, seconds=4500)
    for name, ago in (("old", longest), ("young", longest - timedelta(minutes=1))):
        RevokedSession.objects.create(session_id=name, revoked_at=read_clock() - ago)

    assert forget_revoked_sessions(limit=10) == 1
    assert RevokedSession.objects.get().session_id == "young"


# --- Deleted, banned, locked --------------------------------------------------


def test_who_was_deleted_is_let_in_no_more(
    clerk: Clerk, alice: User, sandbox: SandboxClient
) -> None:
    """F86: user.deleted counts from the next request on."""
    token = sandbox.token("user_alice")
    sign_in(token=token)

    clerk.changes(gone=True)

    with pytest.raises(AccountDisabled):
        sign_in(token=token)
    assert history(alice) == ["customer.deleted_at_clerk"]


def test_who_was_deleted_before_the_first_visit_is_not_let_in_either(
    clerk: Clerk, sandbox: SandboxClient
) -> None:
    token = sandbox.token("user_alice")

    clerk.changes(gone=True)

    with pytest.raises(AccountDisabled):
        sign_in(token=token)
    stone = User.objects.get()
    assert (stone.clerk_id, stone.name, stone.email) == ("user_alice", "", "")


def test_a_change_that_comes_after_the_deletion_opens_nothing(
    clerk: Clerk, alice: User
) -> None:
    clerk.does("hold")
    clerk.changes(email="new@example.com")
    clerk.changes(gone=True)

    clerk.does("reorder")

    assert [type_ for type_, _ in inbox()] == ["user.deleted", "user.updated"]
    assert not now_of(alice).is_active


@pytest.mark.parametrize("is_banned", [False, True])
def test_an_answer_that_was_on_its_way_lets_nobody_in_who_was_deleted(
    clerk: Clerk, alice: User, is_banned: bool
) -> None:
    """F86: Clerk's API may know somebody for a moment after it said they are gone."""
    if is_banned:
        clerk.changes(banned=True)
    clerk.tells("user.deleted", id="user_alice", deleted=True)

    clerk.changes(banned=False)

    assert not now_of(alice).is_active
    assert history(alice)[-1] == "customer.deleted_at_clerk"


@pytest.mark.parametrize("mark", ["banned", "locked"])
def test_who_is_shut_out_at_clerk_is_so_here_until_it_ends(
    clerk: Clerk, alice: User, sandbox: SandboxClient, mark: str
) -> None:
    clerk.changes(**{mark: True})
    with pytest.raises(AccountDisabled):
        sign_in(token=sandbox.token("user_alice"))

    clerk.changes(**{mark: False})

    sign_in(token=sandbox.token("user_alice"))
    assert history(alice) == ["customer.blocked", "customer.admitted"]


def test_who_is_banned_is_shut_out_at_once_though_clerk_cannot_be_asked(
    clerk: Clerk, alice: User, sandbox: SandboxClient
) -> None:
    sandbox.fault("5xx", "users.get")

    clerk.changes(banned=True)

    assert not now_of(alice).is_active
    assert ProfileFetch.objects.get().next_run_at is not None


def test_a_ban_and_its_end_in_the_wrong_order_end_as_clerk_has_it(
    clerk: Clerk, alice: User
) -> None:
    clerk.does("hold")
    clerk.changes(banned=True)
    clerk.changes(banned=False)

    clerk.does("reorder")

    assert now_of(alice).is_active


def test_a_lock_that_ends_by_itself_is_found_out(
    clerk: Clerk, alice: User, sandbox: SandboxClient
) -> None:
    clerk.changes(locked=True)
    clerk.does("hold")
    clerk.changes(locked=False)
    clerk.does("drop")
    assert not now_of(alice).is_active

    ProfileFetch.objects.filter(next_run_at__isnull=False).update(next_run_at=Now())
    profiles.fetch_profiles()

    assert now_of(alice).is_active


def test_whom_staff_have_disabled_clerk_does_not_let_in(
    clerk: Clerk, alice: User
) -> None:
    User.objects.update(is_active=False)

    clerk.changes(banned=True)
    clerk.changes(banned=False)

    assert not now_of(alice).is_active
    assert history(alice) == []


def test_whom_staff_disabled_after_clerk_stays_out(clerk: Clerk, alice: User) -> None:
    clerk.changes(banned=True)
    staff_typed(alice, "changed is active")

    clerk.changes(banned=False)

    assert not now_of(alice).is_active


def test_a_deletion_and_first_requests_at_once_leave_one_row_that_is_out(
    sandbox: SandboxClient,
) -> None:
    tokens = [sandbox.token("user_alice") for _ in range(6)]
    deletion = retry_on_conflict(block)

    at_once(
        [
            *(lambda token=token: sign_in(token=token) for token in tokens),
            lambda: deletion(clerk_id="user_alice"),
        ]
    )

    assert User.objects.get().is_active is False


# --- Names and addresses ------------------------------------------------------


def test_a_new_address_takes_the_place_of_the_one_that_clerk_told(
    clerk: Clerk, alice: User
) -> None:
    assert alice.email == "alice@example.com"

    clerk.changes(email="new@example.com", first_name="Alicia")

    assert now_of(alice).email == "new@example.com"
    assert alice.name.startswith("Alicia ")


def test_what_staff_typed_over_it_stays(clerk: Clerk, alice: User) -> None:
    User.objects.update(name="Typed Name")
    staff_typed(alice, "changed name")

    clerk.changes(email="new@example.com", first_name="Alicia")

    assert now_of(alice).name == "Typed Name"
    assert alice.email == "new@example.com"


def test_the_same_change_twice_is_told_once(clerk: Clerk, alice: User) -> None:
    clerk.changes(email="new@example.com", locale="en")
    clerk.does("resend", clerk.messages()[-1]["id"])
    clerk.changes(email="new@example.com")

    learned = AuditEntry.objects.filter(action="customer.profile_fetched")
    assert [*learned.order_by("id").values_list("reason", flat=True)] == [
        "learned email, name",
        "learned email",
    ]


def test_a_change_while_clerk_is_being_asked_is_not_lost(
    clerk: Clerk, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer that was on its way is of before: its record is refused."""
    asked = profiles.client.get_user
    changes = iter([{"email": "newer@example.com"}])

    def ask_and_change(clerk_id: str) -> Any:
        answer = asked(clerk_id)
        for facts in changes:
            clerk.sandbox.post("/_sandbox/clerk/users", {"id": clerk_id, **facts})
            eventually(clerk._has_arrived)
            process_inbox()
        return answer

    monkeypatch.setattr(profiles.client, "get_user", ask_and_change)
    clerk.changes(email="new@example.com")
    profiles.fetch_profiles()

    assert now_of(alice).email == "newer@example.com"


def test_who_was_erased_is_not_learned_again(clerk: Clerk, alice: User) -> None:
    User.objects.update(name="", email="", erased_at=Now())

    clerk.changes(email="new@example.com")

    assert (now_of(alice).name, alice.email) == ("", "")


# --- What is ignored ----------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "about", "why"),
    [
        ("user.updated", {"id": "user_new"}, "nobody with this id has been here yet"),
        ("user.updated", {"id": "u" * 65}, "it names nobody"),
        ("user.updated", {"id": 7}, "it names nobody"),
        ("user.deleted", {}, "it names nobody"),
        ("session.revoked", {"id": ""}, "it names nobody"),
        ("session.created", {"id": "s"}, "no part of SlotBase handles this type"),
        ("organization.created", {}, "no part of SlotBase handles this type"),
    ],
)
def test_what_concerns_nobody_here_is_ignored_and_says_why(
    clerk: Clerk, type_: str, about: dict[str, Any], why: str
) -> None:
    clerk.tells(type_, **about)

    assert inbox() == [(type_, "IGNORED")]
    assert why_ignored() == why
    assert not User.objects.exists()
    assert not RevokedSession.objects.exists()


def test_a_session_of_somebody_new_that_ended_is_refused(
    clerk: Clerk, sandbox: SandboxClient
) -> None:
    minted = sandbox.mint("user_new")

    clerk.ends(minted["sid"])

    with pytest.raises(SessionRevoked):
        sign_in(token=minted["token"])


def staff_typed(user: User, what: str) -> None:
    """As the page of a person records it."""
    AuditEntry.objects.create(
        actor_kind="staff",
        actor_id=str(make_staff("operations").pk),
        action="user.changed",
        subject_type="user",
        subject_id=str(user.pk),
        reason=what,
    )
