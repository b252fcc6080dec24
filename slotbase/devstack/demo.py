"""`make demo`: a customer's app and the front desk against the running product.

Starts the product if it does not run (and stops it afterwards). Every step says what
was promised; the first one that is not kept ends the demo with exit code 1.
"""

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from slotbase.devstack.run_env import read_run_env
from slotbase.devstack.state import installation, read_json

DEVSTACK = [sys.executable, "-m", "slotbase.devstack"]
TIMEOUT_SECONDS = 10


class PromiseBroken(Exception):
    """A step of the demo went otherwise than promised."""


def promise(what: str, kept: object, seen: object = "") -> None:
    """Say what was promised, and stop if it was not kept."""
    print(f"  {'ok' if kept else 'BROKEN'}  {what}", flush=True)
    if not kept:
        raise PromiseBroken(f"{what}. Seen: {seen}")


@contextmanager
def running_product() -> Iterator[dict[str, str]]:
    """The addresses of the product, which is started and stopped if it did not run."""
    env = read_run_env(installation())
    if env and _is_ready(env["SLOTBASE_URL"]):
        yield env
        return
    subprocess.run([*DEVSTACK, "up"], check=True)
    try:
        yield read_run_env(installation())
    finally:
        subprocess.run([*DEVSTACK, "down"], check=True)


def _is_ready(site: str) -> bool:
    try:
        return requests.get(f"{site}/health/ready", timeout=TIMEOUT_SECONDS).ok
    except requests.ConnectionError:
        return False


class App:
    """A customer's app: signed in, speaking JSON."""

    def __init__(self, env: dict[str, str], customer: str) -> None:
        self._site = f"{env['SLOTBASE_URL']}/api/v1"
        self._session = requests.Session()
        answer = requests.post(
            f"{env['SANDBOX_URL']}/_sandbox/tokens",
            json={"sub": customer, "ttl": 600},
            timeout=TIMEOUT_SECONDS,
        )
        self._session.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def get(self, path: str, **query: str) -> Any:
        """The JSON of a page."""
        answer = self._session.get(
            f"{self._site}{path}", params=query, timeout=TIMEOUT_SECONDS
        )
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any], key: str = "") -> requests.Response:
        """Send a command, with a new Idempotency-Key unless one is given."""
        return self._session.post(
            f"{self._site}{path}",
            json=body,
            headers={"Idempotency-Key": key or uuid.uuid4().hex},
            timeout=TIMEOUT_SECONDS,
        )

    def delete(self, path: str) -> requests.Response:
        """Take something back."""
        return self._session.delete(f"{self._site}{path}", timeout=TIMEOUT_SECONDS)


class FrontDesk:
    """A receptionist in the back office."""

    def __init__(self, env: dict[str, str], login: dict[str, str]) -> None:
        self._site = env["SLOTBASE_URL"]
        self._session = requests.Session()
        address = f"{self._site}/admin/login/"
        form = self._session.get(address, timeout=TIMEOUT_SECONDS).text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        answer = self._session.post(
            address,
            data={
                "csrfmiddlewaretoken": token.group(1) if token else "",
                "username": login["username"],
                "password": login["password"],
                "next": "/admin/",
            },
            headers={"Referer": address},
            timeout=TIMEOUT_SECONDS,
        )
        promise("the front desk signs in", answer.url.endswith("/admin/"), answer.url)

    def sees(self, reference: str, state: str) -> bool:
        """Whether the list of bookings finds this one in this state."""
        page = self._session.get(
            f"{self._site}/admin/bookings/booking/",
            params={"q": reference},
            timeout=TIMEOUT_SECONDS,
        ).text
        return reference in page and state.lower() in page.lower()


def find_slot(app: App, resource: int) -> dict[str, str]:
    """A free hour about a week from now."""
    start = datetime.now(UTC) + timedelta(days=7)
    window = {"from": start.isoformat(), "to": (start + timedelta(days=7)).isoformat()}
    slots = app.get(f"/resources/{resource}/availability/", duration="60", **window)
    promise("free slots are shown", slots["slots"], slots)
    first: dict[str, str] = slots["slots"][0]
    return {name: first[name] for name in ("start_time", "end_time")}


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


def run(env: dict[str, str]) -> None:
    """The whole story."""
    demo = read_json(installation().root / "demo.json")
    court = next(each["id"] for each in demo["resources"] if each["kind"] == "COURT")
    desk_login = next(s for s in demo["staff"] if s["group"] == "front_desk")
    ada, ben = (App(env, each["clerk_id"]) for each in demo["customers"][:2])
    print("A customer books")
    wish = {"resource": court, **find_slot(ada, court)}
    booking = confirm_the_hold(ada, hold_the_slot(ada, ben, wish))
    print("The front desk looks")
    desk = FrontDesk(env, desk_login)
    reference = booking["reference"]
    promise(f"it finds {reference}, confirmed", desk.sees(reference, "Confirmed"))
    print("The customer cancels")
    cancel_the_booking(ada, ben, booking)
    promise("the front desk sees it cancelled", desk.sees(reference, "Cancelled"))
    freed = ben.post("/holds/", wish)
    promise("the slot is free again", freed.status_code == 201, freed.text)
    gone = ben.delete(f"/holds/{freed.json()['id']}/")
    promise("and can be released again", gone.status_code == 204, gone.text)


def main() -> int:
    """Run the demo; the exit code."""
    try:
        with running_product() as env:
            run(env)
    except PromiseBroken as broken:
        print(f"The demo failed: {broken}", file=sys.stderr)
        return 1
    print("Every promise was kept.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
