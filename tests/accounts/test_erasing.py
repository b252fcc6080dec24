"""Who may be erased, who waits, and that nobody comes back (S32)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from bookings.models import Booking, BookingHold
from bookings.services import cancelling
from bookings.services.holds import create_hold, expire_due_holds
from payments.models import CardPayment, Refund
from recovery import audit, personal
from recovery.models import AuditEntry, Case, InboxEvent
from slotbase.accounts.errors import AccountDisabled, SessionRevoked, StillInBusiness
from slotbase.accounts.models import Erasure, ProfileFetch, RevokedSession, User
from slotbase.accounts.services import erasing, profiles
from slotbase.accounts.services.erasing import erase_people, request_erasure
from slotbase.accounts.services.revocations import forget_revoked_sessions
from slotbase.accounts.services.sign_in import sign_in
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.errors import InvalidState
from tests.adversity import Clock
from tests.concurrency.race import at_once, errors_in
from tests.conftest import Sandbox
from tests.factories import (
    expire,
    make_booking,
    make_customer,
    make_entry,
    make_hold,
    make_resource,
    make_staff,
    wanted,
)
from tests.payments.money import (
    ask_refund,
    begin_payment,
    make_cash,
    make_paid,
    make_paid_booking,
    make_payable,
    make_priced_hold,
    pay,
    run_due_work,
    send,
)
from tests.payments.told import dispute
from tests.recovery.trouble import fail_webhook

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice() -> User:
    return make_customer(email="alice@example.com", phone="+49 30 1234567")


def ask(user: User, **over: Any) -> None:
    request_erasure(user_id=user.pk, actor=audit.Actor.customer(user.pk), **over)


def erase(user: User) -> User:
    ask(user)
    erase_people()
    user.refresh_from_db()
    assert user.erased_at is not None
    return user


def make_due() -> None:
    Erasure.objects.filter(ended_at=None).update(next_run_at=Now())


# --- What stands in the way --------------------------------------------------------


def a_booking_to_come(alice: User, _: Sandbox) -> str:
    make_booking(customer=alice)
    return "A booking is not over yet"


def a_hold(alice: User, _: Sandbox) -> str:
    make_hold(customer=alice)
    return "A slot is being held"


def a_place_in_the_line(alice: User, _: Sandbox) -> str:
    resource = make_booking().resource
    make_entry(resource=resource, customer=alice)
    return "a waitlist"


def what_they_coach(alice: User, _: Sandbox) -> str:
    make_resource(coach=alice)
    return "coach"


def an_undecided_card_payment(alice: User, _: Sandbox) -> str:
    hold = make_priced_hold(customer=alice)
    begin_payment(hold)
    BookingHold.objects.update(expires_at=read_clock())
    return "A card payment is not decided"


def money_due_back(alice: User, sandbox: Sandbox) -> str:
    payable = make_payable(1000, customer=alice)
    make_cash(payable, 1000)
    type(payable).objects.filter(pk=payable.pk).update(owed_minor=0)
    return "Money is to be given back"


def a_refund_under_way(alice: User, sandbox: Sandbox) -> str:
    payment = make_paid(sandbox, make_payable(customer=alice))
    ask_refund(payment, 100)
    return "A refund has not arrived"


def a_dispute(alice: User, sandbox: Sandbox) -> str:
    payment = make_paid(sandbox, make_payable(customer=alice))
    dispute(payment)
    return "disputed"


def a_case_about_money(alice: User, _: Sandbox) -> str:
    from recovery import cases

    with transaction.atomic():
        cases.open_case(
            cases.Opening(
                kind="late_money",
                fingerprint="x",
                title="Money",
                subject_type="payable",
                subject_id="x",
                customer_id=alice.pk,
                amount_minor=100,
                currency="EUR",
            )
        )
    return "a case about money"


STANDS_IN_THE_WAY = [
    *(a_booking_to_come, a_hold, a_place_in_the_line, what_they_coach),
    *(an_undecided_card_payment, a_refund_under_way, a_dispute, a_case_about_money),
]


@pytest.mark.parametrize("what", STANDS_IN_THE_WAY, ids=lambda what: what.__name__)
def test_whoever_has_open_business_is_not_erased_and_hears_why(
    what: Callable[[User, Sandbox], str], alice: User, sandbox: Sandbox
) -> None:
    """S32: open money, and whatever is to come, blocks."""
    says = what(alice, sandbox)

    with pytest.raises(StillInBusiness, match=says):
        ask(alice)

    alice.refresh_from_db()
    assert alice.is_active
    assert not Erasure.objects.exists()


@pytest.mark.breaks_invariants
def test_money_that_is_due_back_blocks(alice: User, sandbox: Sandbox) -> None:
    """S32: the row is changed behind the counters to have it for sure."""
    says = money_due_back(alice, sandbox)

    with pytest.raises(StillInBusiness, match=says):
        ask(alice)


def test_of_somebody_else_nothing_stands_in_the_way(
    alice: User, sandbox: Sandbox
) -> None:
    """The control: what blocks Alice does not block a stranger."""
    a_booking_to_come(alice, sandbox)
    a_refund_under_way(alice, sandbox)

    erase(make_customer("Charlie"))


@pytest.mark.parametrize(("days", "is_erased"), [(59, False), (61, True)])
def test_a_refund_must_be_older_than_sixty_days(
    alice: User, sandbox: Sandbox, clock: Clock, days: int, is_erased: bool
) -> None:
    """S32: a bank may send it back."""
    booking = make_paid_booking(sandbox, customer=alice)
    cancelling.cancel_booking(booking_id=booking.pk, customer_id=alice.pk)
    run_due_work()
    assert Refund.objects.get().status == "SUCCEEDED"
    clock.move(days=days)

    if is_erased:
        erase(alice)
    else:
        with pytest.raises(StillInBusiness, match="younger than 60 days"):
            ask(alice)


def test_staff_are_not_erased() -> None:
    with pytest.raises(InvalidState):
        ask(make_staff())


def test_asked_twice_is_asked_once(alice: User) -> None:
    ask(alice)
    ask(alice)

    assert Erasure.objects.count() == 1
    assert AuditEntry.objects.filter(action="person.erasure_requested").count() == 1


# --- What comes between ------------------------------------------------------------


@pytest.mark.case("dead_letter", "opens")
@pytest.mark.case("dead_letter", "closes")
def test_money_that_comes_meanwhile_is_waited_for_and_staff_are_told(
    alice: User, sandbox: Sandbox
) -> None:
    """S32: looked at again at the moment of erasing, under the locks."""
    ask(alice)
    payment = make_paid(sandbox, make_payable(customer=alice))
    refund = ask_refund(payment, 100)

    erase_people()

    alice.refresh_from_db()
    assert (alice.erased_at, alice.email) == (None, "alice@example.com")
    case = Case.objects.get(subject_type="erasure")
    assert "A refund has not arrived yet." in case.cause
    assert Erasure.objects.get().next_run_at is not None
    send(refund)
    Refund.objects.update(settled_at=read_clock() - timedelta(days=61))
    make_due()
    erase_people()
    alice.refresh_from_db()
    assert alice.erased_at is not None
    case.refresh_from_db()
    assert case.status == "RESOLVED"


def test_late_money_of_somebody_erased_goes_back_and_buys_nothing(
    alice: User, sandbox: Sandbox
) -> None:
    """It was paid after we had given the intent up; the slot would still be free."""
    hold = make_priced_hold(customer=alice)
    intent = begin_payment(hold)
    pay(sandbox, intent.pk)
    expire(hold)
    expire_due_holds(limit=10)
    CardPayment.objects.update(status="CANCELED", next_run_at=None)
    erase(alice)

    CardPayment.objects.update(status="OPEN", next_run_at=Now())
    run_due_work()

    assert not Booking.objects.exists()
    assert Refund.objects.get().status == "SUCCEEDED"


# --- Races ------------------------------------------------------------------------


def test_a_hold_at_the_same_moment_either_blocks_or_is_refused(alice: User) -> None:
    """S32, F-erase: never an erased person with a slot."""
    resource = make_resource()

    outcomes = at_once(
        [
            lambda: ask(alice),
            lambda: create_hold(customer_id=alice.pk, wanted=wanted(resource)),
        ]
    )

    errors = errors_in(outcomes)
    assert [type(each) for each in errors] in ([StillInBusiness], [AccountDisabled])
    assert BookingHold.objects.exists() != Erasure.objects.exists()


def test_whoever_was_let_in_before_gets_no_slot_afterwards(alice: User) -> None:
    """A request that was signed in a moment before."""
    ask(alice)

    with pytest.raises(AccountDisabled):
        create_hold(customer_id=alice.pk, wanted=wanted(make_resource()))


def test_without_the_look_under_the_lock_they_would(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the two above."""
    monkeypatch.setattr("bookings.services.holds.lock_active_customer", lambda _: None)
    ask(alice)

    create_hold(customer_id=alice.pk, wanted=wanted(make_resource()))

    assert BookingHold.objects.exists()


def test_many_workers_erase_once(alice: User) -> None:
    ask(alice)

    at_once([erase_people for _ in range(4)])

    assert AuditEntry.objects.filter(action="person.erased").count() == 1


def test_a_webhook_at_the_same_moment_is_hidden_too(alice: User) -> None:
    """What comes between the look and the transaction."""
    ask(alice)
    look = personal.look

    def look_and_receive(traces: Any) -> Any:
        found = look(traces)
        InboxEvent.objects.create(
            provider="resend",
            event_id="e1",
            type="email.opened",
            status="PROCESSED",
            next_run_at=None,
            payload={"data": {"to": [alice.email]}},
        )
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(personal, "look", look_and_receive)
        erase_people()

    assert alice.email not in str(InboxEvent.objects.get().payload)


# --- Nobody comes back -------------------------------------------------------------


def test_clerk_that_answers_late_brings_nobody_back(
    alice: User, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer about who it was arrives after the erasure."""
    with transaction.atomic():
        profiles.request_profile(user_id=alice.pk)
    ask(alice)
    called = profiles.client.get_user

    def erase_meanwhile(clerk_id: str) -> Any:
        erase_people()
        return profiles.Profile(name="Alice", email="alice@example.com", locale="en")

    assert called
    monkeypatch.setattr(profiles.client, "get_user", erase_meanwhile)
    profiles.fetch_profiles()

    alice.refresh_from_db()
    assert (alice.name, alice.email, alice.clerk_id) == ("", "", None)
    assert not ProfileFetch.objects.filter(user=alice).exists()


def test_a_later_sign_in_makes_a_new_customer_and_the_old_session_none(
    sandbox: Sandbox, keys: Any, clock: Clock, settings: Any
) -> None:
    """The row of before stays as it is: of nobody."""
    old = sandbox.token("user_alice", claims={"sid": "sess_old"})
    alice, session = sign_in(token=old)
    ask(alice, session_id=session.session_id)
    with pytest.raises((AccountDisabled, SessionRevoked)):
        sign_in(token=old)
    erase_people()

    with pytest.raises(SessionRevoked):
        sign_in(token=old)
    assert User.objects.count() == 1
    clock.move(days=1, seconds=settings.CLERK_MAX_TOKEN_SECONDS + 1)
    forget_revoked_sessions(limit=10)
    again, _ = sign_in(token=sandbox.token("user_alice", claims={"sid": "sess_new"}))

    assert again.pk != alice.pk
    alice.refresh_from_db()
    assert alice.clerk_id is None


def sign_in_on_two_devices(sandbox: Sandbox) -> str:
    """Alice asks on one of them to be erased, and is; the token of the other one."""
    phone = sandbox.token("user_alice", claims={"sid": "sess_phone"})
    tablet = sandbox.token("user_alice", claims={"sid": "sess_tablet"})
    alice, session = sign_in(token=phone)
    sign_in(token=tablet)
    ask(alice, session_id=session.session_id)
    erase_people()
    return tablet


def test_another_device_that_is_signed_in_brings_nobody_back(
    sandbox: Sandbox, keys: Any, settings: Any
) -> None:
    """S32: nor does a session that begins now, nor a new SECRET_KEY; others come in."""
    tablet = sign_in_on_two_devices(sandbox)

    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "new" * 20
    later = sandbox.token("user_alice", claims={"sid": "sess_later"})
    for token in (tablet, later):
        with pytest.raises(SessionRevoked):
            sign_in(token=token)
    assert User.objects.count() == 1
    assert "user_alice" not in str(RevokedSession.objects.values_list())
    sign_in(token=sandbox.token("user_bob"))


def test_without_the_hash_of_whom_it_was_it_would(
    sandbox: Sandbox, keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the one above."""
    monkeypatch.setattr(erasing, "revoke_person", lambda _: None)
    tablet = sign_in_on_two_devices(sandbox)

    sign_in(token=tablet)

    assert User.objects.count() == 2


# --- The back office ---------------------------------------------------------------


def page_of(person: User) -> str:
    return reverse("admin:accounts_user_personal_data", args=[person.pk])


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(make_staff("operations"))
    return client


def test_operations_erases_a_walk_in(desk: Client) -> None:
    walk_in = make_customer("Wanda", clerk_id=None, phone="+49 30 5554433")
    person = reverse("admin:accounts_user_change", args=[walk_in.pk])
    assert page_of(walk_in) in desk.get(person).content.decode()

    assert desk.post(page_of(walk_in), {"do": "erase"}).status_code == 302
    erase_people()

    shown = desk.get(person).content.decode()
    assert "Erased person" in shown
    assert page_of(walk_in) not in shown
    assert desk.get(page_of(walk_in)).status_code == 404
    people = reverse("admin:accounts_user_changelist")
    assert "Erased person" not in desk.get(people, {"q": "Wanda"}).content.decode()
    assert Erasure.objects.get().requested_by is not None


def test_what_stands_in_the_way_is_said_before_and_after(
    desk: Client, alice: User
) -> None:
    make_booking(customer=alice)

    shown = desk.get(page_of(alice)).content.decode()
    answer = desk.post(page_of(alice), {"do": "erase"})

    assert "A booking is not over yet: cancel it first." in shown
    assert 'value="erase"' not in shown
    assert answer.status_code == 409
    assert not Erasure.objects.exists()


def test_nobody_describes_anew_whoever_is_to_be_forgotten(
    desk: Client, alice: User
) -> None:
    ask(alice)
    person = reverse("admin:accounts_user_change", args=[alice.pk])

    assert desk.post(person, {"name": "Alice", "is_active": "on"}).status_code == 403


def test_staff_export_what_they_may(desk: Client, client: Client, alice: User) -> None:
    answer = desk.post(page_of(alice), {"do": "export"})

    assert b"alice@example.com" in b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    entry = AuditEntry.objects.get(action="person.exported")
    assert entry.actor_kind == "staff"


@pytest.mark.parametrize(
    ("group", "do", "status"),
    [
        ("support_lead", "export", 403),
        ("support_lead", "erase", 403),
        ("support", "export", 403),
        ("front_desk", "erase", 403),
        ("auditor", "export", 403),
        ("operations", "nonsense", 403),
    ],
)
def test_each_group_does_what_its_line_says(
    client: Client, alice: User, group: str, do: str, status: int
) -> None:
    venue = make_booking(customer=alice).resource.venue
    client.force_login(make_staff(group, [venue]))

    assert client.post(page_of(alice), {"do": do}).status_code == status


# --- Kept for so long --------------------------------------------------------------


def test_a_dead_webhook_of_a_month_ago_keeps_ids_alone() -> None:
    """S32: others are emptied; this one may still be tried again."""
    told = {"id": "evt_1", "data": {"object": {"email": "alice@example.com"}}}
    fail_webhook("old")
    fail_webhook("new")
    InboxEvent.objects.update(payload=told)
    old, new = (InboxEvent.objects.get(event_id=each) for each in ("old", "new"))
    month = read_clock() - timedelta(days=30, minutes=1)
    InboxEvent.objects.filter(pk=old.pk).update(received_at=month)

    assert personal.hide_old_contact_data() == 1
    assert personal.hide_old_contact_data() == 0

    old.refresh_from_db()
    new.refresh_from_db()
    assert old.payload["id"] == "evt_1"
    assert "alice" not in str(old.payload)
    assert "alice" in str(new.payload)
