"""Who takes part in the demo: customers with their app and their card, and staff."""

import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from slotbase.devstack.codes import current_code
from slotbase.devstack.demo.promises import promise

TIMEOUT_SECONDS = 15
ATTEMPTS = 2
CASE = re.compile(r'"(/admin/(?:payments/refundfailure|recovery/case)/[\w-]+/change/)')
FILLED_IN = re.compile(r'<input[^>]* name="(\w+)"[^>]* value="([^"]*)"')
CASES = "/admin/recovery/case/"
REFUND_FAILURES = "/admin/payments/refundfailure/"


class App:
    """A customer's app: signed in, speaking JSON."""

    def __init__(self, env: dict[str, str], customer: str) -> None:
        self._site = env["SLOTBASE_URL"]
        self._session = requests.Session()
        answer = requests.post(
            f"{env['SANDBOX_URL']}/_sandbox/tokens",
            json={"sub": customer, "ttl": 1200},
            timeout=TIMEOUT_SECONDS,
        )
        self._session.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def get(self, path: str, **query: str) -> Any:
        """The JSON of a page."""
        return self.look(f"/api/v1{path}", **query)

    def look(self, address: str, **query: str) -> Any:
        """The JSON of an address that an answer named, such as a `status_url`."""
        answer = self._session.get(
            f"{self._site}{address}", params=query, timeout=TIMEOUT_SECONDS
        )
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any], key: str = "") -> requests.Response:
        """Send a command, with a new Idempotency-Key unless one is given."""
        return self._session.post(
            f"{self._site}/api/v1{path}",
            json=body,
            headers={"Idempotency-Key": key or uuid.uuid4().hex},
            timeout=TIMEOUT_SECONDS,
        )

    def delete(self, path: str) -> requests.Response:
        """Take something back."""
        return self._session.delete(
            f"{self._site}/api/v1{path}", timeout=TIMEOUT_SECONDS
        )


def find_slot(app: App, resource: int) -> dict[str, Any]:
    """What holds a free hour about a week from now."""
    start = datetime.now(UTC) + timedelta(days=7)
    window = {"from": start.isoformat(), "to": (start + timedelta(days=7)).isoformat()}
    slots = app.get(f"/resources/{resource}/availability/", duration="60", **window)
    promise("free slots are shown", slots["slots"], slots)
    first = slots["slots"][0]
    times = {name: first[name] for name in ("start_time", "end_time")}
    return {"resource": resource, **times}


class World:
    """What the sandbox plays: Stripe with its ledger, and the mails that arrived."""

    def __init__(self, env: dict[str, str]) -> None:
        self._control = f"{env['SANDBOX_URL']}/_sandbox"

    def pay(self, client_secret: str, outcome: str) -> None:
        """A customer types a card into Stripe's form."""
        intent = client_secret.split("_secret_", maxsplit=1)[0]
        self._tell("/stripe/pay", payment_intent=intent, outcome=outcome)

    def let_next_refund_fail(self) -> None:
        """The bank will not take the next refund."""
        reason = "lost_or_stolen_card"
        self._tell("/stripe/refunds/next", status="failed", failure_reason=reason)

    def ledger(self, client_secret: str) -> list[tuple[str, int, str]]:
        """What happened to a payment at Stripe: kind, amount and state, in order."""
        intent = client_secret.split("_secret_", maxsplit=1)[0]
        return [
            (effect["kind"], effect["amount"], effect.get("status", ""))
            for effect in self._effects("stripe")
            if effect.get("payment_intent") == intent
            and effect["kind"] in {"paid", "refund_created"}
        ]

    def mails(self, to: str, subject: str) -> list[str]:
        """Subjects of the mails to somebody that begin like this."""
        return [
            mail["subject"]
            for mail in self._effects("resend")
            if to in mail["to"] and mail["subject"].startswith(subject)
        ]

    def _effects(self, provider: str) -> list[dict[str, Any]]:
        address, query = f"{self._control}/effects", {"provider": provider}
        answer = requests.get(address, params=query, timeout=TIMEOUT_SECONDS)
        return [each["effect"] for each in answer.json()["effects"] if each["effect"]]

    def _tell(self, path: str, **body: str) -> None:
        answer = requests.post(
            f"{self._control}{path}", json=body, timeout=TIMEOUT_SECONDS
        )
        answer.raise_for_status()


def _next_code(*, after: str) -> str:
    """The code of the demo's staff, once it is another one."""
    while (code := current_code()) == after:
        time.sleep(0.5)
    return code


class BackOffice:
    """A member of staff in the back office."""

    def __init__(self, env: dict[str, str], who: str, login: dict[str, str]) -> None:
        self._site = env["SLOTBASE_URL"]
        self.session = requests.Session()
        answer = self.sign_in(login["username"], login["password"])
        promise(f"{who} signs in", answer.url.endswith("/admin/"), answer.url)

    def sign_in(self, username: str, password: str) -> requests.Response:
        """Password, then a code; if that was used a moment ago, then the next one."""
        answer = self._submit(
            "/admin/login/", username=username, password=password, next="/admin/"
        )
        last = ""
        for _ in range(ATTEMPTS):
            last = _next_code(after=last)
            answer = self._submit("/admin/login/code/", code=last)
            if answer.url.endswith("/admin/"):
                break
        return answer

    def sees(self, reference: str, state: str) -> bool:
        """Whether the list of bookings finds this one in this state."""
        page = self.page("/admin/bookings/booking/", q=reference)
        return reference in page and state.lower() in page.lower()

    def find_case(self, reference: str, page: str) -> str:
        """The address of the case about a booking; empty: there is none."""
        found = CASE.search(self.page(page, q=reference))
        return found.group(1) if found else ""

    def press(self, address: str, button: str, **typed: str) -> requests.Response:
        """Press a button of a page."""
        return self._submit(address, do=button, **typed)

    def record_cash(self, booking_id: str) -> requests.Response:
        """Take in what is due for a booking: the form says how much that is."""
        address = f"/admin/bookings/booking/{booking_id}/record-payment/"
        return self._submit(address, method="CASH")

    def page(self, address: str, **query: str) -> str:
        """What stands there."""
        answer = self.session.get(
            f"{self._site}{address}", params=query, timeout=TIMEOUT_SECONDS
        )
        answer.raise_for_status()
        return answer.text

    def _submit(self, address: str, **fields: str) -> requests.Response:
        """Send a page's form, with what is filled in already."""
        filled = dict(FILLED_IN.findall(self.page(address)))
        return self.session.post(
            f"{self._site}{address}",
            data={**filled, **fields},
            headers={"Referer": f"{self._site}{address}"},
            timeout=TIMEOUT_SECONDS,
        )
