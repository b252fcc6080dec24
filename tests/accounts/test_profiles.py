"""Clerk is asked who a customer is: by a due row, once, and nothing typed is lost."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from recovery import retries
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import ProfileFetch, User
from slotbase.accounts.services import profiles
from slotbase.accounts.services.sign_in import sign_in
from slotbase.lib.clock import Now, read_clock
from slotbase.providers.breaker import Breaker
from slotbase.providers.clerk import client
from tests.concurrency.race import at_once
from tests.factories import make_customer, make_staff
from tests.sandbox.client import SandboxClient

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("keys"),
]


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("clerk"))


def request(user: User) -> None:
    with transaction.atomic():
        profiles.request_profile(user_id=user.pk)


def describe(sandbox: SandboxClient, user: User, **facts: Any) -> None:
    sandbox.post("/_sandbox/clerk/users", {"id": user.clerk_id, **facts})


def questions(sandbox: SandboxClient) -> int:
    return sum(call["operation"] == "users.get" for call in sandbox.calls())


def make_due() -> None:
    ProfileFetch.objects.exclude(next_run_at=None).update(next_run_at=Now())


def stranger(**over: Any) -> User:
    """Somebody of whom nothing is known."""
    return make_customer(**{"name": "", **over})


def test_a_newcomer_is_admitted_at_once_and_known_soon(
    sandbox: SandboxClient,
) -> None:
    user, _ = sign_in(token=sandbox.token("user_alice"))
    assert questions(sandbox) == 0

    assert profiles.fetch_profiles() == 1

    user.refresh_from_db()
    assert user.email == "alice@example.com"
    assert user.name.startswith("Alice ")
    assert ProfileFetch.objects.get().next_run_at is None
    entry = AuditEntry.objects.get(action="customer.profile_fetched")
    assert entry.subject_id == str(user.pk)
    assert entry.reason == "learned email, name"


def test_who_signs_in_again_is_not_asked_for(sandbox: SandboxClient) -> None:
    for _ in range(3):
        sign_in(token=sandbox.token("user_alice"))
    profiles.fetch_profiles()
    sign_in(token=sandbox.token("user_alice"))

    assert profiles.fetch_profiles() == 0
    assert questions(sandbox) == 1


def test_of_many_first_requests_one_makes_the_customer_and_the_row(
    sandbox: SandboxClient,
) -> None:
    tokens = [sandbox.token("user_alice") for _ in range(6)]

    at_once([lambda token=token: sign_in(token=token) for token in tokens])

    assert User.objects.count() == ProfileFetch.objects.count() == 1


def test_while_clerk_is_away_customers_are_let_in(sandbox: SandboxClient) -> None:
    sandbox.fault("5xx", "users.get", count=1)
    sign_in(token=sandbox.token("user_alice"))

    profiles.fetch_profiles()
    assert User.objects.get().email == ""
    make_due()
    profiles.fetch_profiles()

    assert User.objects.get().email == "alice@example.com"


def test_what_staff_typed_stays(sandbox: SandboxClient) -> None:
    alice = make_customer("Typed Name", email="typed@example.com", locale="fr")
    describe(sandbox, alice, phone="+4930", locale="de")
    request(alice)

    profiles.fetch_profiles()

    alice.refresh_from_db()
    assert (alice.name, alice.email) == ("Typed Name", "typed@example.com")
    assert (alice.phone, alice.locale) == ("+4930", "fr")


def test_who_is_gone_at_clerk_is_left_as_they_are(sandbox: SandboxClient) -> None:
    alice = stranger()
    describe(sandbox, alice, gone=True)
    request(alice)

    profiles.fetch_profiles()

    assert ProfileFetch.objects.get().next_run_at is None
    assert AuditEntry.objects.filter(action="customer.profile_fetched").count() == 0
    assert Case.objects.count() == 0


def test_clerk_is_asked_again_only_after_a_while(sandbox: SandboxClient) -> None:
    alice = stranger()
    describe(sandbox, alice, email="")
    request(alice)
    profiles.fetch_profiles()

    request(alice)
    assert profiles.fetch_profiles() == 0
    describe(sandbox, alice, email="late@example.com")
    ProfileFetch.objects.update(ended_at=read_clock() - timedelta(minutes=15))
    request(alice)
    profiles.fetch_profiles()

    alice.refresh_from_db()
    assert alice.email == "late@example.com"


def test_who_does_not_sign_in_with_clerk_is_not_asked_for() -> None:
    request(make_staff())
    request(make_customer(clerk_id=None))

    assert ProfileFetch.objects.count() == 0


def test_what_clerk_refuses_goes_to_a_case_that_heals(sandbox: SandboxClient) -> None:
    alice = stranger()
    request(alice)
    sandbox.fault("4xx", "users.get", status=422, count=1)

    profiles.fetch_profiles()

    case = Case.objects.get()
    assert (case.kind, case.status) == ("dead_letter", "OPEN")
    assert case.customer_id == alice.pk  # to be found when she is erased
    ProfileFetch.objects.update(ended_at=read_clock() - timedelta(minutes=15))
    request(alice)
    profiles.fetch_profiles()
    assert Case.objects.get().status == "RESOLVED"


def test_staff_let_clerk_be_asked_again_at_once(sandbox: SandboxClient) -> None:
    request(stranger())
    sandbox.fault("4xx", "users.get", status=422, count=1)
    profiles.fetch_profiles()
    case = Case.objects.get()

    retries.retry(
        subject_type=case.subject_type,
        subject_id=case.subject_id,
        staff_id=make_staff("operations").pk,
    )
    profiles.fetch_profiles()

    assert Case.objects.get().status == "RESOLVED"


def test_while_our_key_is_refused_nobody_is_given_up(
    sandbox: SandboxClient, settings: Any
) -> None:
    request(stranger())
    settings.CLERK_SECRET_KEY = "sk_wrong"

    profiles.fetch_profiles()

    fetch = ProfileFetch.objects.get()
    assert (fetch.attempts, fetch.next_run_at is None) == (0, False)
    assert Case.objects.get().kind == "provider_configuration"
