"""A coach wrote notes: the model makes feedback of them, and the customer reads it."""

from slotbase.devstack.demo.people import App, World
from slotbase.devstack.demo.promises import promise, promise_soon

AFTER_ALL = {"DONE", "DEGRADED", "SKIPPED", "FAILED"}
TEXT = "Great session, Cleo: your backhand comes early now."


def play(jo: App, cleo: App, booking: str, world: World, cleo_mail: str) -> None:
    """The whole story, which may be told again: what is accepted may be edited."""
    print("A coach's notes")
    address = f"/bookings/{booking}/feedback/"
    seen = promise_soon(
        "what became of the notes is known",
        lambda: jo.get(address),
        lambda seen: seen["enhancement"]["status"] in AFTER_ALL,
    )
    made = seen["enhancement"]
    promise("they are enhanced", made["enhanced"], made)
    promise("and the notes stay as they were", seen["notes"] != made["text"], seen)
    wish = {"version": seen["version"], "text": TEXT}
    accepted = jo.post(f"{address}accept/", wish)
    promise("the coach accepts it, edited", accepted.ok, accepted.text)
    read = cleo.get(address)
    promise("the customer reads that", read["accepted"]["text"] == TEXT, read)
    promise("and nothing else", "notes" not in read, read)
    if seen["accepted"] is None:
        promise_soon(
            "a mail says once that it is there",
            lambda: world.mails(cleo_mail, "Your coach's feedback"),
            lambda mails: len(mails) == 1,
        )
