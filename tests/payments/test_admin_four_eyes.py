"""Back office: what is too much for one becomes a proposal, and a colleague agrees."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from bookings.models import Booking
from payments.models import Refund
from recovery.models import Approval, Case
from slotbase.accounts.models import User, Venue
from tests.adversity import Stripe
from tests.conftest import Sandbox
from tests.factories import make_resource, make_staff, make_venue
from tests.payments.money import make_paid_booking, send
from tests.payments.test_four_eyes import sent

pytestmark = pytest.mark.django_db

WAITING = reverse("admin:recovery_approval_changelist") + "?state=waiting"


@pytest.fixture
def venue(db: None) -> Venue:
    return make_venue(name="Parkside")


@pytest.fixture
def booking(sandbox: Sandbox, venue: Venue) -> Booking:
    """Sold for 300.00 by card."""
    resource = make_resource(venue=venue, payment_mode="ONLINE", price_minor=15000)
    return make_paid_booking(sandbox, resource=resource)


def signed_in(group: str, venue: Venue, **over: Any) -> Client:
    client = Client()
    client.force_login(make_staff(group, [venue], **over))
    return client


@pytest.fixture
def ana(venue: Venue) -> Client:
    return signed_in("support", venue, name="Ana Amber")


@pytest.fixture
def ben(venue: Venue) -> Client:
    return signed_in("support_lead", venue, name="Ben Brown")


def told(answer: Any) -> str:
    return " ".join(str(each) for each in get_messages(answer.wsgi_request))


def refund(client: Client, booking: Booking, **typed: Any) -> Any:
    address = reverse("admin:bookings_booking_refund", args=[booking.pk])
    form = client.get(address).context["form"]
    seen = {name: form[name].value() for name in ("version", "payment", "amount")}
    return client.post(address, {**seen, "reason": "It rained.", **typed})


def page_of(approval: Approval) -> str:
    return reverse("admin:recovery_approval_change", args=[approval.pk])


def press(client: Client, button: str, **typed: Any) -> Any:
    """Of the newest proposal."""
    approval = Approval.objects.latest("pk")
    seen = {"do": button, "version": approval.version}
    return client.post(page_of(approval), {**seen, **typed})


def buttons(client: Client) -> list[str]:
    page = client.get(page_of(Approval.objects.latest("pk")))
    return list(page.context["row_actions"])


def text(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_form_above_the_limit_becomes_a_proposal_in_one_step(
    ana: Client, booking: Booking, stripe: Stripe
) -> None:
    """S21: nothing is done yet, and the page of the booking says what waits."""
    answer = refund(ana, booking)
    assert answer.status_code == 302
    assert "Proposed: somebody else has to agree within 24 h" in told(answer)
    approval = Approval.objects.get()
    assert (approval.amount_minor, approval.reason) == (30000, "It rained.")
    assert not Refund.objects.exists()
    page = text(ana, reverse("admin:bookings_booking_change", args=[booking.pk]))
    assert page_of(approval) in page
    assert "proposed by Ana Amber" in page
    assert sent(stripe) == []


def test_a_proposal_needs_a_reason_and_what_was_typed_stays(
    ana: Client, booking: Booking
) -> None:
    answer = refund(ana, booking, reason=" ", amount="123.00")
    assert answer.status_code == 400
    assert "Say why" in answer.content.decode()
    assert answer.context["form"]["amount"].value() == "123.00"
    assert not Approval.objects.exists()


def test_the_second_proposal_is_refused_and_says_whose_is_the_first(
    ana: Client, booking: Booking, venue: Venue
) -> None:
    refund(ana, booking)
    answer = refund(signed_in("support", venue), booking)
    assert answer.status_code == 409
    assert "Ana Amber proposed this already" in answer.content.decode()


def test_a_colleague_sees_what_it_is_and_agrees(
    ana: Client, ben: Client, booking: Booking, stripe: Stripe
) -> None:
    """S21: propose, approve; one refund in the ledger."""
    refund(ana, booking)
    assert "(1 for you)" in text(ben, reverse("admin:index"))
    assert "for you)" not in text(ana, reverse("admin:index"))
    assert "Refund: " in text(ben, WAITING)
    page = text(ben, page_of(Approval.objects.get()))
    payment = booking.payable.card_payments.get()  # type: ignore[union-attr]
    for words in ("300.00 EUR", payment.provider_id, "Ana Amber", "It rained."):
        assert words in page
    answer = press(ben, "approve")
    assert (answer.status_code, told(answer)) == (302, "You agreed, and it is done.")
    assert sent(stripe) == [30000]
    assert "Ben Brown" in text(ben, page_of(Approval.objects.get()))
    assert "for you)" not in text(ben, reverse("admin:index"))


def test_the_session_of_whoever_proposed_it_agrees_to_nothing(
    booking: Booking, venue: Venue, stripe: Stripe
) -> None:
    """S21: a shared session is one person, whoever sits there; superusers as well."""
    for over in ({}, {"is_superuser": True}):
        client = signed_in("support_lead", venue, **over)
        refund(client, booking)
        assert buttons(client) == ["withdraw"]
        answer = press(client, "approve")
        assert answer.status_code == 403
        assert "You proposed it yourself" in answer.content.decode()
        press(client, "withdraw")
        assert Approval.objects.latest("pk").status == "WITHDRAWN"
    assert sent(stripe) == []


def test_who_may_not_agree_has_no_such_button(
    ana: Client, booking: Booking, venue: Venue
) -> None:
    """S21: a colleague of the same group, and somebody of another venue."""
    refund(ana, booking)
    other = signed_in("support", venue)
    assert buttons(other) == []
    assert press(other, "approve").status_code == 403
    elsewhere = signed_in("support_lead", make_venue())
    assert elsewhere.get(page_of(Approval.objects.get())).status_code == 302
    press(elsewhere, "approve")
    assert Approval.objects.get().status == "PROPOSED"


def test_an_inactive_person_is_signed_in_nowhere(
    ana: Client, ben: Client, booking: Booking
) -> None:
    """S21: by an inactive person."""
    refund(ana, booking)
    User.objects.filter(name="Ben Brown").update(is_active=False)
    assert press(ben, "approve").status_code == 302  # to the login
    assert Approval.objects.get().status == "PROPOSED"


def test_a_colleague_refuses_with_a_reason(
    ana: Client, ben: Client, booking: Booking
) -> None:
    refund(ana, booking)
    assert press(ben, "refuse").status_code == 400
    press(ben, "refuse", reason="Ask for a receipt first.")
    page = text(ana, page_of(Approval.objects.get()))
    assert "Ask for a receipt first." in page
    assert buttons(ana) == []


def test_a_button_of_a_case_becomes_a_proposal_too(
    ana: Client, ben: Client, booking: Booking, stripe: Stripe
) -> None:
    """What failed is let to the front desk, by two."""
    refund(ana, booking)
    stripe.tell("refunds/next", status="failed", failure_reason="declined")
    press(ben, "approve")
    send(Refund.objects.get())
    case = Case.objects.get(kind="refund_failure")
    address = reverse("admin:recovery_case_change", args=[case.pk])
    typed = {"do": "pay_out", "version": case.version}
    answer = ana.post(address, typed)
    assert answer.status_code == 400
    assert "Say why" in answer.content.decode()
    answer = ana.post(address, {**typed, "reason": "The card is gone."})
    assert "Proposed" in told(answer)
    assert "proposed by Ana Amber" in text(ana, address)
    press(ben, "approve")
    assert Refund.objects.get().is_payout


def test_whoever_has_to_agree_reads_the_evidence(
    ana: Client, ben: Client, booking: Booking, stripe: Stripe
) -> None:
    """S21: nobody agrees to a receipt that they did not see; markup is text."""
    refund(ana, booking)
    stripe.tell("refunds/next", status="failed", failure_reason="declined")
    press(ben, "approve")
    send(Refund.objects.get())
    case = Case.objects.get(kind="refund_failure")
    address = reverse("admin:recovery_case_change", args=[case.pk])
    evidence = "Receipt 7, <b>signed</b>"
    typed = {"do": "settle", "version": case.version, "evidence": evidence}

    answer = ana.post(address, {**typed, "reason": "The card is gone."})

    assert "Proposed" in told(answer)
    page = text(ben, page_of(Approval.objects.get(kind="settle_by_hand")))
    assert "Evidence: Receipt 7, &lt;b&gt;signed&lt;/b&gt;" in page
    assert "300.00 EUR" in page
    assert "<b>signed" not in page
