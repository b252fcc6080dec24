"""A customer pays by card, cancels, and gets the money back, if need be with help."""

from dataclasses import dataclass
from typing import Any

import requests

from slotbase.devstack.demo.people import (
    REFUND_FAILURES,
    App,
    BackOffice,
    World,
    find_slot,
)
from slotbase.devstack.demo.promises import promise, promise_soon


@dataclass(frozen=True)
class Customer:
    """Somebody with an app and a mailbox."""

    app: App
    email: str


@dataclass(frozen=True)
class Court:
    """What is booked, and how mails call it."""

    id: int
    name: str


@dataclass(frozen=True)
class Sale:
    """A booking that was paid by card."""

    booking: dict[str, Any]
    client_secret: str
    amount: int


def play(world: World, ada: Customer, court: Court) -> None:
    """All goes well: one charge, one refund, two mails."""
    print("A customer pays by card")
    says_booked, says_cancelled = f"Booked: {court.name}", f"Cancelled: {court.name}"
    booked = len(world.mails(ada.email, says_booked))
    sale = pay_and_confirm(world, ada.app, court, is_first=True)
    expect_mail(world, ada, says_booked, booked)
    print("The customer cancels and gets the money back")
    cancelled = len(world.mails(ada.email, says_cancelled))
    status_url = cancel(ada.app, sale)
    seen = wait_for_refund(ada.app, status_url, "COMPLETE")
    promise("the payment is refunded", seen["payment_status"] == "REFUNDED", seen)
    ledger = world.ledger(sale.client_secret)
    once = [("paid", sale.amount, ""), ("refund_created", sale.amount, "succeeded")]
    promise("Stripe made one charge and one refund", ledger == once, ledger)
    expect_mail(world, ada, says_cancelled, cancelled)


def play_failure(
    world: World, ada: Customer, court: Court, support: BackOffice
) -> None:
    """The bank does not take the refund, until support tries again."""
    print("A refund fails")
    delayed = len(world.mails(ada.email, "Your refund takes longer"))
    sale = pay_and_confirm(world, ada.app, court)
    world.let_next_refund_fail()
    status_url = cancel(ada.app, sale)
    wait_for_refund(ada.app, status_url, "NEEDS_STAFF")
    expect_mail(world, ada, "Your refund takes longer", delayed)
    print("Support looks after it")
    reference = sale.booking["reference"]
    case = support.find_case(reference, REFUND_FAILURES)
    promise(f"support finds the case of {reference}", case)
    pressed = support.press(case, "retry")
    promise("and lets it be tried again", pressed.ok, pressed.status_code)
    wait_for_refund(ada.app, status_url, "COMPLETE")
    promise_soon(
        "the case closes itself",
        lambda: support.page(case),
        lambda page: "The refund succeeded." in page,
    )
    arrived = [
        amount
        for kind, amount, state in world.ledger(sale.client_secret)
        if (kind, state) == ("refund_created", "succeeded")
    ]
    promise("the money went back once", arrived == [sale.amount], arrived)


def pay_and_confirm(
    world: World, app: App, court: Court, *, is_first: bool = False
) -> Sale:
    """Hold, pay, confirm; the first time with what can go wrong for a customer."""
    held = app.post("/holds/", find_slot(app, court.id))
    promise(
        "a slot that is paid online can be held", held.status_code == 201, held.text
    )
    hold = f"/holds/{held.json()['id']}"
    if is_first:
        refuse_to_confirm(app, hold, "payment_required", "it is no booking yet")
    begun = app.post(f"{hold}/payment/", {})
    secret = begun.json().get("client_secret")
    promise("the app can show Stripe's form", begun.status_code == 201, begun.text)
    if is_first:
        again = app.post(f"{hold}/payment/", {}).json()
        same = again["payment"] == begun.json()["payment"]
        promise("asking again is the same payment", same, again)
        world.pay(secret, "decline")
        refuse_to_confirm(app, hold, "card_declined", "a declined card buys nothing")
    world.pay(secret, "succeed")
    booking = confirm_paid(app, hold)
    return Sale(booking, secret, held.json()["price_minor"])


def refuse_to_confirm(app: App, hold: str, code: str, what: str) -> None:
    """Confirming is answered with this code."""
    answer = app.post(f"{hold}/confirm/", {})
    is_refused = answer.status_code == 402 and answer.json()["code"] == code
    promise(f"{what}: {code}", is_refused, answer.text)


def confirm_paid(app: App, hold: str) -> dict[str, Any]:
    """The app confirms; Stripe's webhook may have come first."""
    answer: requests.Response = app.post(f"{hold}/confirm/", {})
    is_booked = answer.status_code in {200, 201}
    promise("once it is paid, it is a booking", is_booked, answer.text)
    booking: dict[str, Any] = answer.json()
    promise("which is paid", booking["payment_status"] == "PAID", booking)
    return booking


def cancel(app: App, sale: Sale) -> str:
    """The slot is free at once, the money follows; where to look."""
    answer = app.post(f"/bookings/{sale.booking['id']}/cancel/", {"reason": "demo"})
    body = answer.json()
    promise("cancelling is accepted (202)", answer.status_code == 202, answer.text)
    promised = [refund["amount_minor"] for refund in body["refunds"]]
    promise("all of the money is promised back", promised == [sale.amount], body)
    status_url: str = body["status_url"]
    return status_url


def wait_for_refund(app: App, status_url: str, refund_status: str) -> dict[str, Any]:
    """The booking is cancelled whatever becomes of the refund."""
    promise_soon(
        "the booking is cancelled",
        lambda: app.look(status_url),
        lambda seen: seen["status"] == "CANCELLED",
    )
    seen: dict[str, Any] = promise_soon(
        f"its refund is {refund_status}",
        lambda: app.look(status_url),
        lambda seen: seen["refund_status"] == refund_status,
    )
    return seen


def expect_mail(world: World, customer: Customer, subject: str, before: int) -> None:
    """One more mail than before."""
    promise_soon(
        f'the customer has a mail: "{subject}..."',
        lambda: world.mails(customer.email, subject),
        lambda mails: len(mails) > before,
    )
