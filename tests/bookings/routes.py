"""Every address of the API with its methods, for tests that go through all of them."""

from typing import Any

import pytest
from rest_framework.test import APIClient

ALL = [
    ("GET", "/api/v1/venues/"),
    ("GET", "/api/v1/resources/"),
    ("GET", "/api/v1/resources/{resource}/"),
    ("GET", "/api/v1/resources/{resource}/availability/"),
    ("POST", "/api/v1/holds/"),
    ("GET", "/api/v1/holds/{hold}/"),
    ("DELETE", "/api/v1/holds/{hold}/"),
    ("POST", "/api/v1/holds/{hold}/confirm/"),
    ("GET", "/api/v1/bookings/"),
    ("GET", "/api/v1/bookings/{booking}/"),
    ("GET", "/api/v1/bookings/{booking}/history/"),
    ("POST", "/api/v1/bookings/{booking}/cancel/"),
]
PRIVATE = [(m, a) for m, a in ALL if a.startswith(("/api/v1/holds", "/api/v1/book"))]
OF_AN_OBJECT = [(method, address) for method, address in PRIVATE if "{" in address]
POSTS = [address for method, address in ALL if method == "POST"]


def every(routes: list[tuple[str, str]]) -> Any:
    """A test of each of these routes."""
    return pytest.mark.parametrize(("method", "address"), routes)


def post(api: APIClient, address: str, body: bytes, **more: Any) -> Any:
    """Send these bytes, as JSON with a key unless something else is said."""
    headers = {"Idempotency-Key": "k1"} | more.pop("headers", {})
    content_type = more.pop("content_type", "application/json")
    return api.generic("POST", address, body, content_type, headers=headers, **more)
