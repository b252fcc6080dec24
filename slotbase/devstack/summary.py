"""What a person wants to know when the stack is healthy."""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from slotbase.devstack.codes import current_code
from slotbase.devstack.loopback import get_json, post_json
from slotbase.devstack.run_env import read_run_env
from slotbase.devstack.state import State, read_json

TOKEN_SECONDS = 3600


def summary(state: State) -> str:
    """Addresses, logins and a first request that can be pasted into a shell."""
    run, demo = read_run_env(state), read_json(state.root / "demo.json") or {}
    return "\n".join(["", *_addresses(run), *_people(demo), *_try_it(run, demo), ""])


def _addresses(run: dict[str, str]) -> Iterator[str]:
    site = run["SLOTBASE_URL"]
    yield f"SlotBase is running: {site}"
    yield f"  API documentation  {site}/api/docs/"
    yield f"  Back office        {site}/admin/"
    yield f"  Sandbox            {run['SANDBOX_URL']}"
    yield f"  For scripts        . {run['STATE_DIR']}/run.env"


def _people(demo: dict[str, Any]) -> Iterator[str]:
    yield "Staff (back office):"
    for person in demo.get("staff", []):
        login = f"{person['username']} / {person['password']}"
        yield f"  {login:<32} {person.get('group', '')}"
    yield f"  and this code: {current_code()}; in a moment another, each works once:"
    yield "    .venv/bin/python -m slotbase.devstack code"
    yield "Customers (API):"
    for person in demo.get("customers", []):
        yield f"  {person['clerk_id']:<32} {person.get('name', '')}"


def _try_it(run: dict[str, str], demo: dict[str, Any]) -> Iterator[str]:
    """Requests as the first customer; fewer of them while a part is out of order."""
    try:
        subject = demo["customers"][0]["clerk_id"]
        order = {"sub": subject, "ttl": TOKEN_SECONDS}
        token = post_json(f"{run['SANDBOX_URL']}/_sandbox/tokens", order)["token"]
        yield f"Try it (as {subject}, for the next hour):"
        yield f"  TOKEN={token}"
        yield f"  curl {run['SLOTBASE_URL']}/api/v1/resources/"
        yield _hold(run["SLOTBASE_URL"], demo)
        yield from _pay(run["SANDBOX_URL"], demo)
    except (OSError, LookupError):
        return


def _hold(site: str, demo: dict[str, Any]) -> str:
    resource = demo["resources"][0]["id"]
    slot = _free_slot(f"{site}/api/v1/resources/{resource}/availability/")
    body = json.dumps({"resource": resource, **slot})
    key = f"try-{secrets.token_hex(4)}"
    return (
        f"  curl -X POST {site}/api/v1/holds/ \\\n"
        f'    -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: {key}" \\\n'
        f"    -H 'Content-Type: application/json' -d '{body}'"
    )


def _pay(sandbox: str, demo: dict[str, Any]) -> Iterator[str]:
    online = [each for each in demo["resources"] if each["payment_mode"] == "ONLINE"]
    names = ", ".join(f"{each['name']} (resource {each['id']})" for each in online)
    yield f"Paid online: {names}. POST .../holds/<id>/payment/, then, as the customer:"
    order = {"payment_intent": "<client_secret up to _secret>", "outcome": "succeed"}
    yield f"  curl {sandbox}/_sandbox/stripe/pay -d '{json.dumps(order)}'"


def _free_slot(address: str) -> dict[str, str]:
    today = datetime.now(UTC).replace(microsecond=0)
    days = {"from": today.isoformat(), "to": (today + timedelta(days=7)).isoformat()}
    slots = get_json(f"{address}?{urlencode(days)}")["slots"]
    return {name: slots[0][name] for name in ("start_time", "end_time")}
