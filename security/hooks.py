"""What Schemathesis cannot know: which slots are free, and that a key is used once.

Loaded by Schemathesis itself. Only requests that are meant to be right are touched, and
only where a value is right because of what the product has: a made-up time, length or
cursor cannot be. What is meant to be wrong goes out as it is.
"""

import json
import os
import random
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import requests
import schemathesis

SITE, SANDBOX = os.environ["FUZZ_SITE"], os.environ["FUZZ_SANDBOX"]
# What was answered well, a line each.
DONE = Path(os.environ["FUZZ_DONE"])
chance = random.Random(int(os.environ["FUZZ_SEED"]))  # noqa: S311 - not a secret
# The session of the demo that has a coach's notes.
[SESSION] = json.loads(Path(os.environ["FUZZ_DEMO"]).read_text())["sessions"]
COACH, ASKER = "user_demo_coach_jo", "fuzz-asker"
AT_VENUE = {"pay": "at_venue"}
API = "/api/v1"
FEEDBACK = f"{API}/bookings/{{booking_id}}/feedback/"
QUOTE = f"{API}/bookings/{{booking_id}}/cancellation-quote/"
LEAVE = ("DELETE", f"{API}/me/")
WANT_A_SLOT = {("POST", f"{API}/holds/"), ("POST", f"{API}/waitlist/")}
FREE_SLOTS = f"{API}/resources/{{resource_id}}/availability/"


def _get(path: str, token: str = "", **query: str) -> Any:
    headers = {"Authorization": token} if token else {}
    url = f"{SITE}{API}{path}"
    return requests.get(url, params=query, headers=headers, timeout=30).json()


def _token_of(name: str) -> str:
    wish = {"subs": [name], "ttl": 600}
    answer = requests.post(f"{SANDBOX}/_sandbox/tokens", json=wish, timeout=30)
    return f"Bearer {answer.json()['tokens'][name]}"


@cache
def _resources() -> list[int]:
    return [each["id"] for each in _get("/resources/", page_size="100")["results"]]


@cache
def _slots() -> list[dict[str, Any]]:
    """Slots that were free at the start; some will be taken by ourselves."""
    start = datetime.now(UTC) + timedelta(days=2)
    window = {"from": _stamp(start), "to": _stamp(start + timedelta(days=3))}
    found = [
        {"resource": resource}
        | {name: slot[name] for name in ("start_time", "end_time")}
        for resource in _resources()
        for slot in _get(f"/resources/{resource}/availability/", **window)["slots"][:40]
    ]
    assert found, "The demo has no free slots."  # noqa: S101 - stops the run
    return found


def _stamp(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    """Make a request that is meant to be right a possible one.

    Whoever asks to be erased is somebody new each time: the others go on.
    """
    if (case.method.upper(), case.operation.path) == LEAVE and _is_signed_in(case):
        name = f"fuzz-leaver-{uuid.uuid4().hex}"
        case.headers["Authorization"] = _token_of(name)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.UUID(int=chance.getrandbits(128)).hex
    operation = (case.method.upper(), case.operation.path)
    _choose_time(case, operation)
    if _is_signed_in(case):
        _choose_booking(case, case.operation.path)


def _choose_time(case: Any, operation: tuple[str, str]) -> None:
    if operation in WANT_A_SLOT and isinstance(case.body, dict):
        units = {"units": 1} if "units" in case.body else {}
        case.body = chance.choice(_slots()) | units
    if case.query:
        for name in ("cursor", "duration"):
            case.query.pop(name, None)
        if operation == ("GET", FREE_SLOTS):
            case.query |= _a_window()


def _choose_booking(case: Any, path: str) -> None:
    if path.startswith(FEEDBACK):
        _be_the_coach(case)
    if path == QUOTE:
        case.headers["Authorization"] = _token_of(ASKER)
        case.path_parameters["booking_id"] = BOOKED


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:  # noqa: ARG001
    """Note what was answered well."""
    if 200 <= response.status_code < 300:
        _note(f"{case.method.upper()} {case.operation.path}")


@cache
def _note(operation: str) -> None:
    with DONE.open("a") as file:
        file.write(f"{operation}\n")


def _is_signed_in(case: Any) -> bool:
    return str((case.headers or {}).get("Authorization", "")).startswith("Bearer eyJ")


def _be_the_coach(case: Any) -> None:
    """Who writes what is there already, accepts what they see, or asks again."""
    case.headers["Authorization"] = token = _token_of(COACH)
    case.path_parameters["booking_id"] = SESSION["booking"]
    if isinstance(case.body, dict):
        there = _get(f"/bookings/{SESSION['booking']}/feedback/", token)
        for name in {"notes", "version"} & case.body.keys():
            case.body[name] = there[name]
        for name in {"skills", "drills"} & case.body.keys():
            case.body[name] = []


def _book(token: str) -> str:
    for slot in chance.sample(_slots(), 20):
        held = _post("/holds/", slot, token)
        if held.status_code == 201:
            made = _post(f"/holds/{held.json()['id']}/confirm/", AT_VENUE, token)
            if made.status_code == 201:
                return str(made.json()["id"])
    raise AssertionError("No slot of the demo could be booked.")


def _post(path: str, body: dict[str, Any], token: str) -> requests.Response:
    headers = {"Authorization": token, "Idempotency-Key": uuid.uuid4().hex}
    return requests.post(f"{SITE}{API}{path}", json=body, headers=headers, timeout=30)


def _a_window() -> dict[str, str]:
    start = datetime.now(UTC) + timedelta(days=chance.randrange(30))
    end = start + timedelta(days=chance.randrange(1, 20))
    return {"from": _stamp(start), "to": _stamp(end)}


# Of somebody whose booking nobody cancels, made while there are free slots.
BOOKED = _book(_token_of(ASKER)) if os.environ["FUZZ_AS"] == "customer" else ""
