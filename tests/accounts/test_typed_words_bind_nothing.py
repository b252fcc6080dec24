"""What customers type of themselves does not decide whose rows are shown or erased."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from payments.models import CardPayment
from recovery import approvals, audit, cases, dead_letters, inbox, personal, runs
from recovery.models import Approval, Case, DeadLetter, InboxEvent, WorkflowRun
from recovery.work import work_of
from slotbase.accounts.models import User
from slotbase.accounts.services.erasing import erase_people, request_erasure
from slotbase.lib.clock import Now, read_clock
from tests.bookings.routes import client_of
from tests.conftest import Sandbox
from tests.factories import make_customer, make_staff
from tests.payments.money import make_paid, make_payable
from tests.recovery.trouble import fail_webhook

pytestmark = pytest.mark.django_db(transaction=True)

STAFF_TYPED = "Object: the receipt of the refund of Dora Dorn (Dorn) was shown."
#: What customers may call themselves: words of ours, of providers, and of others.
NAMES = [
    *("object", "receipt", "refund", "succeeded", "Dora Dorn", "pi_of_bob", "dorn"),
    "evt_%",
]


def receive(payload: Any, provider: str = "stripe", **over: Any) -> InboxEvent:
    fields = {"status": "PROCESSED", "next_run_at": None, **over}
    number = InboxEvent.objects.count()
    return InboxEvent.objects.create(
        provider=provider,
        event_id=f"evt_{number}",
        type="x",
        payload=payload,
        **fields,
    )


def about(payment_id: str, **over: Any) -> dict[str, Any]:
    """As Stripe tells of a payment."""
    told = {
        "id": payment_id,
        "object": "payment_intent",
        "status": "succeeded",
        "receipt_email": "",
        "billing_details": {"name": "Dora Dorn", "phone": "+49 30 765432"},
        **over,
    }
    return {"object": "event", "data": {"object": told}}


def open_case(person: User | None, **over: Any) -> Case:
    fields: dict[str, Any] = {
        "kind": "notification_undeliverable",
        "fingerprint": f"case {Case.objects.count()}",
        "title": STAFF_TYPED,
        "subject_type": "booking",
        "subject_id": "1",
        "cause": STAFF_TYPED,
        "details": {"object": [STAFF_TYPED]},
        "customer_id": person and person.pk,
    }
    with transaction.atomic():
        case_id = cases.open_case(cases.Opening(**{**fields, **over}))
    cases.resolve_case(
        case_id=case_id,
        staff_id=make_staff().pk,
        version=1,
        reason=STAFF_TYPED,
        evidence=STAFF_TYPED,
    )
    return Case.objects.get(pk=case_id)


def propose(subject_id: str) -> Approval:
    """Of a kind that is not there any more: what of it was typed is not known."""
    proposal = approvals.Proposal(
        *("of_old", STAFF_TYPED, "toy", subject_id), terms={"object": STAFF_TYPED}
    )
    staff = make_staff()
    return approvals.propose(proposal, staff_id=staff.pk, reason=STAFF_TYPED)


def abandon(person: User) -> WorkflowRun:
    run = WorkflowRun.objects.create(
        name="toy",
        subject_type="toy",
        subject_id=str(person.pk),
        status="ABANDONED",
        input={"object": "refund", "pi": "pi_of_bob"},
        customer=person,
        title=STAFF_TYPED,
        next_run_at=None,
        limit_at=Now(),
        finished_at=Now(),
        abandoned_because=STAFF_TYPED,
    )
    with transaction.atomic():
        for move in (("", "RUNNING"), ("RUNNING", "ABANDONED")):
            runs.tell(run, "changed", move=move)
    return run


def give_up(subject_id: UUID) -> DeadLetter:
    work = work_of("payments.look_at_refund", {"id": str(subject_id)})
    dead_letters.record_failure(work, ValueError())
    letter = DeadLetter.objects.get(key=work.key)
    dead_letters.discard(
        letter_id=letter.pk, staff_id=make_staff().pk, reason=STAFF_TYPED
    )
    return letter


def ignore(payload: Any) -> InboxEvent:
    """One of which a member of staff said why nothing is to be done."""
    event = receive(payload, status="RETRY", next_run_at=Now())
    inbox.ignore(event_id=event.pk, staff_id=make_staff().pk, reason=STAFF_TYPED)
    return event


def give_up_webhook(payload: Any) -> InboxEvent:
    case = fail_webhook(f"evt_{InboxEvent.objects.count()}", payload=payload)
    return InboxEvent.objects.get(pk=case.subject_id)


def live(person: User, payment_id: str) -> list[Any]:
    """Somebody has rows in each table; staff wrote in all of them."""
    webhook = ignore(about(payment_id))
    return [
        receive(about(payment_id)),
        receive(about(payment_id), status="RECEIVED", next_run_at=Now()),
        give_up_webhook(about(payment_id)),
        webhook,
        receive({}, status="IGNORED", ignored_because="it is no refund, no object"),
        open_case(person),
        open_case(None, subject_type="inboxevent", subject_id=str(webhook.pk)),
        propose(payment_id),
        abandon(person),
        give_up(person.pk),
    ]


def rows(of: list[Any]) -> list[Any]:
    return [
        type(row).objects.filter(pk=row.pk).values().get()  # type: ignore[attr-defined]
        for row in of
    ]


def export(person: User) -> Any:
    answer = client_of(person).get("/api/v1/me/export/")
    return json.loads(b"".join(answer.streaming_content))["recovery"]


def erase(person: User) -> None:
    actor = audit.Actor.customer(person.pk)
    request_erasure(user_id=person.pk, actor=actor)
    erase_people()
    person.refresh_from_db()
    assert person.erased_at is not None


@pytest.fixture
def bob() -> User:
    return make_customer("Dora Dorn", clerk_id="user_bob", email="dora@example.com")


@pytest.fixture
def alice() -> User:
    return make_customer("Li", clerk_id="user_alice", email="li@example.com")


@pytest.fixture
def payment(alice: User, sandbox: Sandbox) -> CardPayment:
    return make_paid(sandbox, make_payable(customer=alice))


def call(person: User, name: str, phone: str = "+49 30 765432") -> None:
    """As everybody may over the API."""
    answer = client_of(person).patch(
        "/api/v1/me/", {"name": name, "phone": phone}, format="json"
    )
    assert answer.status_code == 200, answer.content


# --- Others -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_whoever_has_a_common_name_is_shown_nothing_of_others(
    alice: User, bob: User, payment: CardPayment, name: str
) -> None:
    """S32: the own webhook is found; nobody else's, and no case, by name or phone."""
    live(bob, "pi_of_bob")
    receive(about(payment.provider_id))
    call(alice, name)

    told = export(alice)

    webhooks = [each["payload"]["data"]["object"]["id"] for each in told["webhooks"]]
    assert webhooks == [payment.provider_id]
    assert (told["cases"], told["approvals"]) == ([], [])


@pytest.mark.parametrize("name", NAMES)
def test_whoever_has_a_common_name_takes_nothing_of_others_with_them(
    alice: User, bob: User, name: str
) -> None:
    """S32: not the open webhooks, not the evidence, not what workflows need."""
    theirs = live(bob, "pi_of_bob")
    call(alice, name)
    before = rows(theirs)

    erase(alice)

    assert rows(theirs) == before


def test_bound_by_what_they_typed_they_would(alice: User, bob: User) -> None:
    """The control: rows that a name binds are shown, and emptied."""
    theirs = live(bob, "pi_of_bob")
    call(alice, "pi_of_bob")
    alice.refresh_from_db()
    traces = personal.Traces(alice.pk, ids=(alice.name,))
    before = rows(theirs)

    assert len(list(personal.export(traces)["webhooks"])) == 4
    with transaction.atomic():
        personal.erase(traces, personal.look(traces))

    changed = [a != b for a, b in zip(rows(theirs), before, strict=True)]
    assert changed == [
        *(True, False, True, True),
        *(False, False, True, True, False, False),
    ]


def test_an_id_within_a_longer_one_or_in_a_sentence_is_another_one(
    alice: User, payment: CardPayment
) -> None:
    """S32: ids are whole values; `pi_1` is not `pi_12`."""
    longer = receive(about(f"{payment.provider_id}2"))
    said = receive({"description": f'"{payment.provider_id}"', "id": "li@example.comx"})
    before = rows([longer, said])

    assert export(alice)["webhooks"] == []
    erase(alice)

    assert rows([longer, said]) == before


def test_of_whoever_typed_their_address_nothing_but_the_address_goes(
    alice: User, bob: User
) -> None:
    """S32: Bob's case, and why staff ignored his webhook, stay as they are."""
    his = ignore(about("pi_of_bob", receipt_email="li@example.com"))
    case = open_case(None, subject_type="inboxevent", subject_id=str(his.pk))
    before = rows([case])

    assert export(alice)["cases"] == []
    erase(alice)

    assert rows([case]) == before
    his.refresh_from_db()
    assert his.ignored_because == STAFF_TYPED
    assert his.payload["data"]["object"]["id"] == "pi_of_bob"
    assert "li@" not in str(his.payload)


def test_an_address_that_others_typed_shows_nothing_of_theirs(
    alice: User, bob: User
) -> None:
    """S32: who pays types any receipt address. In what we sent it is theirs."""
    typed = receive(about("pi_of_bob", receipt_email="LI@example.com"))
    listed = receive({"data": {"emails": ["li@example.com"]}}, provider="clerk")
    sent = receive({"data": {"to": ["LI@example.com"]}}, provider="resend")

    shown = export(alice)["webhooks"]
    erase(alice)

    assert [each["payload"] for each in shown] == [sent.payload]
    assert "li@example.com" not in str(rows([typed, listed, sent])).lower()


# --- Their own ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Li", "Ada Adler", "object", "Somebody Else"])
def test_of_their_own_rows_no_word_is_left_whatever_they_are_called(
    alice: User, payment: CardPayment, name: str
) -> None:
    """S32: staff wrote "Mrs Adler" or "Li", or what she was called before."""
    mine = live(alice, payment.provider_id)
    call(alice, name)

    erase(alice)

    after = rows(mine)
    assert [each["id"] for each in after if "Dorn" in str(each)] == [
        mine[1].pk  # still open
    ]
    assert (after[7]["status"], after[7]["terms"]) == (
        *("EXPIRED", {"object": "[erased]"}),
    )
    assert (after[7]["title"], after[7]["reason"]) == ("[erased]", "")
    assert after[8]["input"] == {"object": "refund", "pi": "pi_of_bob"}
    assert after[4]["ignored_because"] == "it is no refund, no object"


@pytest.mark.parametrize("status", ["RECEIVED", "PROCESSING", "RETRY"])
def test_a_webhook_that_is_not_done_is_left_as_it_came_until_it_is_old(
    alice: User, payment: CardPayment, status: str
) -> None:
    """S32: it is still needed; then its payload goes with all others."""
    came = about(payment.provider_id, receipt_email="li@example.com")
    event = receive(came, status=status, next_run_at=Now())

    erase(alice)

    event.refresh_from_db()
    assert event.payload == came
    month = read_clock() - timedelta(days=30, minutes=1)
    InboxEvent.objects.update(status="PROCESSED", next_run_at=None, received_at=month)
    inbox.empty_old_webhooks(limit=10)
    event.refresh_from_db()
    assert event.payload is None


def test_without_that_it_would_be_masked_before_it_is_done(
    alice: User, payment: CardPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the one above."""
    event = receive(about(payment.provider_id), status="RETRY", next_run_at=Now())
    monkeypatch.setattr(personal, "_OVER", ["RETRY"])

    erase(alice)

    event.refresh_from_db()
    assert "Dora" not in str(event.payload)


def test_what_is_masked_can_be_processed_again(
    alice: User, payment: CardPayment
) -> None:
    """S32: ids, kinds and states stay, whatever the person is called."""
    event = receive(about(payment.provider_id, receipt_email="li@example.com"))
    call(alice, "succeeded")

    erase(alice)

    event.refresh_from_db()
    told = event.payload["data"]["object"]
    assert told["id"] == payment.provider_id
    assert (told["object"], told["status"]) == ("payment_intent", "succeeded")
    assert "li@" not in str(told)
    assert "Dora" not in str(told)


# --- What staff typed ----------------------------------------------------------------


def note_about(text: str) -> Case:
    case = open_case(None)
    Case.objects.filter(pk=case.pk).update(evidence=text)
    return case


@pytest.mark.parametrize(
    ("name", "text", "becomes"),
    [
        ("Wanda West", "wanda west was here", "[erased] was here"),
        ("Dorn", "Dorn; Dornbusch and Ödorn", "[erased]; Dornbusch and Ödorn"),
        ("Receipt", "The receipt is lost", "The receipt is lost"),
        ("Cash Customer", "A cash customer", "A cash customer"),
        ("Li", "Li paid", "Li paid"),
    ],
)
def test_a_walk_in_whom_staff_named_in_anothers_case_is_not_named_any_more(
    name: str, text: str, becomes: str
) -> None:
    """S32: as whole words that mean nothing else, in text that staff typed alone."""
    case = note_about(text)
    walk_in = make_customer(name, clerk_id=None)

    erase(walk_in)

    case.refresh_from_db()
    assert case.evidence == becomes
    assert (case.title, case.cause) == (STAFF_TYPED, STAFF_TYPED)
    assert case.details == {"object": [STAFF_TYPED]}


def test_but_for_the_list_every_receipt_would_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: a walk-in of whom staff did not know the name."""
    case = note_about("The receipt is lost")
    monkeypatch.setattr(personal, "COMMON", frozenset())

    erase(make_customer("Receipt", clerk_id=None))

    case.refresh_from_db()
    assert case.evidence == "The [erased] is lost"


def test_why_a_webhook_is_ignored_is_changed_where_a_person_said_it() -> None:
    """S32: the reasons of the engine are words of ours."""
    said = ignore({})
    ours = receive({}, status="IGNORED", ignored_because="Dora Dorn is not known")
    InboxEvent.objects.update(payload=None)

    erase(make_customer("Dora Dorn", clerk_id=None))

    said.refresh_from_db()
    ours.refresh_from_db()
    assert "of [erased] (Dorn)" in said.ignored_because
    assert ours.ignored_because == "Dora Dorn is not known"


# --- Many -------------------------------------------------------------------------


def test_those_of_every_statement_are_found(
    alice: User, payment: CardPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S32: many webhooks are looked through by several statements."""
    monkeypatch.setattr(personal, "AT_ONCE", 2)
    for _ in range(5):
        receive(about(payment.provider_id))

    assert len(export(alice)["webhooks"]) == 5


def count_queries(person: User) -> int:
    with CaptureQueriesContext(connection) as queries:
        export(person)
    return len(queries)


def test_a_hundred_webhooks_are_exported_by_a_few_queries(
    alice: User, payment: CardPayment
) -> None:
    """S32: not one for each, and never all in memory."""
    receive(about(payment.provider_id))
    few = count_queries(alice)
    for _ in range(99):
        receive(about(payment.provider_id))

    many = count_queries(alice)

    assert len(export(alice)["webhooks"]) == 100
    assert many - few <= 100 / personal.EXPORTED_AT_ONCE
