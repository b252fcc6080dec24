"""What Schemathesis cannot know: which slots are free, and that a key is used once.

Loaded by Schemathesis itself. Only requests that are meant to be right are touched, and
only where a value is right because of what the product has: a made-up time, length or
cursor cannot be. What is meant to be wrong goes out as it is.
"""

import os
import random
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import requests
import schemathesis

SITE = os.environ["FUZZ_SITE"]
chance = random.Random(int(os.environ["FUZZ_SEED"]))  # noqa: S311 - not a secret
API = "/api/v1"
WANT_A_SLOT = {("POST", f"{API}/holds/"), ("POST", f"{API}/waitlist/")}
FREE_SLOTS = f"{API}/resources/{{resource_id}}/availability/"


def _get(path: str, **query: str) -> Any:
    return requests.get(f"{SITE}{API}{path}", params=query, timeout=30).json()


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
    """Make a request that is meant to be right a possible one."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    operation = (case.method.upper(), case.operation.path)
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.UUID(int=chance.getrandbits(128)).hex
    if operation in WANT_A_SLOT and isinstance(case.body, dict):
        units = {"units": 1} if "units" in case.body else {}
        case.body = chance.choice(_slots()) | units
    if case.query:
        for name in ("cursor", "duration"):
            case.query.pop(name, None)
        if operation == ("GET", FREE_SLOTS):
            case.query |= _a_window()


def _a_window() -> dict[str, str]:
    start = datetime.now(UTC) + timedelta(days=chance.randrange(30))
    end = start + timedelta(days=chance.randrange(1, 20))
    return {"from": _stamp(start), "to": _stamp(end)}
