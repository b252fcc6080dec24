"""A customer books what is paid at the venue; the front desk looks on, and has cash."""

import uuid
from typing import Any

from slotbase.devstack.demo.people import CASES, App, BackOffice, find_slot
from slotbase.devstack.demo.promises import promise, promise_soon


def play(ada: App, ben: App, desk: BackOffice, court: int) -> None:
    """The whole story."""
    print("A customer books")
    wish = find_slot(ada, court)
    booking = confirm_the_hold(ada, hold_the_slot(ada, ben, wish))
    print("The front desk looks")
    reference = booking["reference"]
    promise(f"it finds {reference}, confirmed", desk.sees(reference, "Confirmed"))
    print("The customer cancels")
    cancel_the_booking(ada, ben, booking)
    promise("the front desk sees it cancelled", desk.sees(reference, "Cancelled"))
    freed = ben.post("/holds/", wish)
    promise("the slot is free again", freed.status_code == 201, freed.text)
    gone = ben.delete(f"/holds/{freed.json()['id']}/")
    promise("and can be released again", gone.status_code == 204, gone.text)


def play_cash(ben: App, desk: BackOffice, court: int) -> None:
    """Money that came in by hand goes back by hand."""
    print("The front desk takes cash")
    held = ben.post("/holds/", find_slot(ben, court)).json()
    booking = ben.post(f"/holds/{held['id']}/confirm/", {}).json()
    address = f"/bookings/{booking['id']}/"
    taken = desk.record_cash(booking["id"])
    promise("it records what is due", taken.ok, taken.status_code)
    seen = ben.get(address)
    promise("the booking is paid", seen["payment_status"] == "PAID", seen)
    twice = desk.record_cash(booking["id"])
    promise("nothing is due any more", twice.status_code in {400, 409}, twice.url)
    cancelled = ben.post(f"{address}cancel/", {})
    promise("it can be cancelled (202)", cancelled.status_code == 202, cancelled.text)
    case = desk.find_case(booking["reference"], CASES)
    promise("the front desk is asked to pay it out", case)
    given = desk.press(case, "paid_out", evidence="Given back in cash, signed for.")
    promise("and says that it did", given.ok, given.status_code)
    promise_soon(
        "the booking is cancelled and refunded",
        lambda: ben.get(address),
        lambda seen: (
            (seen["status"], seen["refund_status"]) == ("CANCELLED", "COMPLETE")
        ),
    )


def hold_the_slot(ada: App, ben: App, wish: dict[str, Any]) -> str:
    """Ada holds it, once; Ben is told that it is taken."""
    key = uuid.uuid4().hex
    held = ada.post("/holds/", wish, key)
    promise(
        "a free slot can be held for five minutes", held.status_code == 201, held.text
    )
    again = ada.post("/holds/", wish, key)
    same = again.json().get("id") == held.json()["id"]
    promise("the same request again is the same hold", same, again.text)
    refused = ben.post("/holds/", wish)
    is_taken = refused.json().get("code") == "slot_unavailable"
    promise("somebody else is told that it is taken", is_taken, refused.text)
    promise("and offered others", refused.json()["alternatives"], refused.text)
    hold: str = held.json()["id"]
    return hold


def confirm_the_hold(ada: App, hold: str) -> dict[str, Any]:
    """Ada turns the hold into a booking, and again, which changes nothing."""
    answer = ada.post(f"/holds/{hold}/confirm/", {})
    promise("the hold becomes a booking", answer.status_code == 201, answer.text)
    again = ada.post(f"/holds/{hold}/confirm/", {})
    same = again.status_code == 200 and again.json()["id"] == answer.json()["id"]
    promise("confirming again is the same booking", same, again.text)
    booking: dict[str, Any] = answer.json()
    mine = [each["id"] for each in ada.get("/bookings/")["results"]]
    promise("it is among the customer's bookings", booking["id"] in mine, mine)
    return booking


def cancel_the_booking(ada: App, ben: App, booking: dict[str, Any]) -> None:
    """Ada cancels; a stranger cannot; what is done is done once."""
    address = f"/bookings/{booking['id']}/cancel/"
    foreign = ben.post(address, {})
    promise("a stranger cannot cancel it", foreign.status_code == 404, foreign.text)
    answer = ada.post(address, {"reason": "demo"})
    is_cancelled = answer.status_code == 200 and answer.json()["status"] == "CANCELLED"
    promise("its customer can cancel it", is_cancelled, answer.text)
    again = ada.post(address, {})
    promise("cancelling again changes nothing", again.status_code == 200, again.text)
