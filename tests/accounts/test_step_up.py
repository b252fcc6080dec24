"""Before money and rights a code is shown again (S20): asked once, nothing is lost."""

import html
import re
import time
from typing import Any

import pyotp
import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from payments.models import Refund
from payments.services.refunds import refund_amount
from recovery import approvals, step_up
from recovery.admin import actions
from recovery.backoffice import ActingAdmin, RowAction
from recovery.models import Approval, AuditEntry, Case
from slotbase.accounts.admin.people import UserAdmin
from slotbase.accounts.models import Erasure, User, Venue
from tests.accounts.staff import secret_of
from tests.bookings.test_admin_desk import opened
from tests.factories import make_customer, make_staff, make_venue
from tests.payments.trouble import make_owing_booking, pay_by_hand, payable_of

pytestmark = pytest.mark.django_db

LONG_AGO = 11 * 60
HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@pytest.fixture
def olga() -> User:
    return make_staff("operations")


@pytest.fixture
def secret(olga: User) -> str:
    return secret_of(olga)


@pytest.fixture
def old_session(client: Client, olga: User, secret: str) -> Client:
    """Olga has shown her code eleven minutes ago."""
    client.force_login(olga)
    grow_old(client)
    return client


def grow_old(client: Client) -> None:
    session = client.session
    session["verified_at"] = time.time() - LONG_AGO
    session.save()


def code_of(secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


def kept(answer: Any) -> dict[str, str]:
    """What the page carries along, as a browser would send it again."""
    found = HIDDEN.findall(answer.content.decode())
    fields = {html.unescape(name): html.unescape(value) for name, value in found}
    fields.pop("csrfmiddlewaretoken", None)
    return fields


@pytest.fixture
def bob() -> User:
    return make_staff("front_desk", name="Bob")


def page_of(user: User) -> str:
    return reverse("admin:accounts_user_change", args=[user.pk])


def make_payout(venue: Venue, bob: User) -> Refund:
    """Cash that is to be given back by hand, and the case that says so."""
    booking = make_owing_booking(venue)
    payment = pay_by_hand(booking, bob)
    return refund_amount(
        payment_id=payment.pk,
        amount_minor=2400,
        staff_id=bob.pk,
        version=payable_of(booking).version,
    )


NASTY = "\"><script>alert(1)</script> & 'Bob'"


def test_an_old_session_is_asked_and_what_was_typed_is_done_with_the_code(
    old_session: Client, bob: User, secret: str
) -> None:
    """S20: nothing is done before, and nothing need be typed twice."""
    asked = old_session.post(page_of(bob), {"name": NASTY, "extra": ["a", "b"]})

    assert asked.status_code == 403
    assert User.objects.get(pk=bob.pk).name == "Bob"
    assert "<script>alert" not in asked.content.decode()
    assert kept(asked) == {"name": NASTY, "extra": "b"}

    form = {**kept(asked), step_up.CODE: code_of(secret)}
    answer = old_session.post(page_of(bob), form)

    assert answer.status_code == 302
    assert User.objects.get(pk=bob.pk).name == NASTY
    again = old_session.post(page_of(bob), {"name": "Rob"})
    assert again.status_code == 302, "the session is fresh now"


def test_a_fresh_session_is_not_asked(client: Client, olga: User, bob: User) -> None:
    client.force_login(olga)

    client.post(page_of(bob), {"name": "Rob"})

    assert User.objects.get(pk=bob.pk).name == "Rob"


def test_to_look_needs_no_code(old_session: Client, bob: User) -> None:
    assert old_session.get(page_of(bob)).status_code == 200


def test_a_wrong_code_changes_nothing_and_keeps_what_was_typed(
    old_session: Client, bob: User
) -> None:
    answer = old_session.post(page_of(bob), {"name": NASTY, step_up.CODE: "000000"})

    assert answer.status_code == 403
    assert step_up.WRONG in answer.content.decode()
    assert kept(answer) == {"name": NASTY}
    assert User.objects.get(pk=bob.pk).name == "Bob"


def test_a_code_opens_the_gate_once(
    old_session: Client, bob: User, secret: str
) -> None:
    """S14, S20: whoever saw it over a shoulder cannot use it again."""
    code = code_of(secret)
    form = {"name": "Rob", step_up.CODE: code}
    assert old_session.post(page_of(bob), form).status_code == 302

    grow_old(old_session)
    answer = old_session.post(page_of(bob), {**form, "name": "Mallory"})

    assert answer.status_code == 403
    assert User.objects.get(pk=bob.pk).name == "Rob"


def test_a_code_of_somebody_else_is_wrong(old_session: Client, bob: User) -> None:
    form = {"name": "Mallory", step_up.CODE: code_of(secret_of(bob))}

    assert old_session.post(page_of(bob), form).status_code == 403
    assert User.objects.get(pk=bob.pk).name == "Bob"


def test_no_page_carries_passwords(old_session: Client, bob: User) -> None:
    """They are typed again; the page must not be where somebody finds them."""
    address = reverse("admin:auth_user_password_change", args=[bob.pk])
    new = {"password1": "correct-horse", "password2": "correct-horse", "x": "1"}

    answer = old_session.post(address, new)

    assert answer.status_code == 403
    assert "correct-horse" not in answer.content.decode()
    assert kept(answer) == {"x": "1"}
    assert not User.objects.get(pk=bob.pk).check_password("correct-horse")


def test_a_new_login_needs_a_code(old_session: Client) -> None:
    given = {"username": "nina", "name": "Nina", "password1": "x", "password2": "x"}

    assert (
        old_session.post(reverse("admin:accounts_user_add"), given).status_code == 403
    )
    assert not User.objects.filter(username="nina").exists()


def test_without_a_check_every_code_is_wrong(
    old_session: Client, bob: User, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that nobody set up is closed."""
    closed = step_up.Check(lambda _: False, lambda _request, _code: False)
    monkeypatch.setattr(step_up, "_check", closed)

    form = {"name": "Rob", step_up.CODE: code_of(secret)}

    assert old_session.post(page_of(bob), form).status_code == 403


# --- Which buttons ------------------------------------------------------------------

#: Who may press a button with one of these may move money or cancel what was paid.
MOVES_MONEY = {
    "payments.refund_payment",
    "payments.pay_out_refund",
    "payments.approve_refund",
    "payments.void_payment",
    "bookings.cancel_in_full",
    "accounts.approve_rights",
    "accounts.export_person",
    "accounts.erase_person",
}
#: Of those, what moves nothing.
HARMLESS = {
    "Look at Stripe now": "asks, and sends nothing",
    "Note evidence": "keeps a text",
    "Resolve": "closes a case, and is refused while money waits",
    "Discard": "closes a case, and is refused while money waits",
    "Ignore it": "leaves the money where it is",
    "Refuse": "nothing is done",
}


def buttons() -> list[RowAction[Any]]:
    """Each button there is: of cases by their kind, and of other pages."""
    of_cases = [each for kind in actions._of_kind.values() for each in kind.values()]
    pages = [p for p in admin.site._registry.values() if isinstance(p, ActingAdmin)]
    of_pages = [
        each
        for p in pages
        for row in new_rows(p)
        for each in p.row_actions(row).values()
    ]
    return [*of_cases, *actions.FOR_EVERY_CASE.values(), *of_pages]


def new_rows(page: ActingAdmin[Any]) -> list[Any]:
    """A row of this page as rows begin; of what takes two people, one of each kind."""
    if page.model is Approval:
        return [Approval(kind=kind) for kind in approvals.registered()]
    return [page.model()]


def unguarded(found: list[RowAction[Any]]) -> list[str]:
    return [
        each.label
        for each in found
        if each.permission in MOVES_MONEY
        and not each.needs_step_up
        and each.label not in HARMLESS
    ]


def test_every_button_that_moves_money_asks_for_a_code() -> None:
    """S20: whoever adds one either marks it or says here why not."""
    assert unguarded(buttons()) == []
    marked = {each.label for each in buttons() if each.needs_step_up}
    assert {
        "Retry the refund",
        "Paid out",
        "Cancel with full refund",
        "Move to the local time",
        "Void",
        "Approve",
    } <= marked


def test_a_new_button_without_the_mark_would_be_found() -> None:
    new = RowAction[Any](
        "Give it away", "", "", "payments.refund_payment", lambda _row, _wish: None
    )

    assert unguarded([*buttons(), new]) == ["Give it away"]


def test_a_refund_in_an_old_session_asks_and_then_goes_out_once(client: Client) -> None:
    """S20: the page where money is given back, with all that was typed."""
    venue = make_venue()
    sue = make_staff("support", [venue])
    secret, booking = secret_of(sue), make_owing_booking(venue)
    pay_by_hand(booking, sue)
    client.force_login(sue)
    grow_old(client)
    page = reverse("admin:bookings_booking_refund", args=[booking.pk])
    form = {**opened(client, page), "amount": "10.00"}

    asked = client.post(page, form)

    assert (asked.status_code, kept(asked)) == (403, form)
    assert not Refund.objects.exists()

    answer = client.post(page, {**kept(asked), step_up.CODE: code_of(secret)})

    assert answer.status_code == 302
    assert [each.amount_minor for each in Refund.objects.all()] == [1000]


def test_a_button_of_a_case_in_an_old_session_asks_and_then_does_it(
    client: Client,
) -> None:
    """S20: with the evidence that was typed beside it."""
    venue = make_venue()
    bob = make_staff("front_desk", [venue])
    secret, refund = secret_of(bob), make_payout(venue, bob)
    case = Case.objects.get(kind="refund_payout")
    client.force_login(bob)
    grow_old(client)
    page = reverse("admin:recovery_case_change", args=[case.pk])
    form = {"do": "paid_out", "version": str(case.version), "evidence": 'Signed "B"'}

    asked = client.post(page, form)

    assert (asked.status_code, kept(asked)) == (403, form)
    refund.refresh_from_db()
    assert refund.status == "NEEDS_STAFF"

    client.post(page, {**kept(asked), step_up.CODE: code_of(secret)})

    refund.refresh_from_db()
    assert refund.status == "RESOLVED_OUT_OF_BAND"


def test_pages_of_people_are_marked() -> None:
    for view in (UserAdmin.changeform_view, UserAdmin.user_change_password):
        assert view.asks_first, view


def test_an_export_of_money_in_an_old_session_asks_first(client: Client) -> None:
    """S20: whoever finds an open session takes nothing away."""
    venue = make_venue()
    max_ = make_staff("manager", [venue])
    secret = secret_of(max_)
    client.force_login(max_)
    grow_old(client)
    form = {"venue": str(venue.pk), "month": "2026-05"}

    asked = client.post(reverse("export"), form)

    assert (asked.status_code, kept(asked)) == (403, form)
    assert not AuditEntry.objects.filter(action="export.made").exists()

    code = {step_up.CODE: code_of(secret)}
    answer = client.post(reverse("export"), {**kept(asked), **code})

    assert answer["Content-Type"].startswith("text/csv")


@pytest.mark.parametrize("do", ["export", "erase"])
def test_personal_data_in_an_old_session_asks_first(
    old_session: Client, secret: str, do: str
) -> None:
    """S20: neither taken away nor destroyed by whoever finds an open session."""
    customer = make_customer()
    page = reverse("admin:accounts_user_personal_data", args=[customer.pk])

    asked = old_session.post(page, {"do": do})

    assert (asked.status_code, kept(asked)) == (403, {"do": do})
    assert not Erasure.objects.exists()
    assert not AuditEntry.objects.filter(action="person.exported").exists()

    answer = old_session.post(page, {**kept(asked), step_up.CODE: code_of(secret)})

    assert answer.status_code == (200 if do == "export" else 302)
