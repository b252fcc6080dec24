"""Every address of the API with its methods, for tests that go through all of them."""

from typing import Any

from rest_framework.test import APIClient

from slotbase.accounts.models import User

Route = tuple[str, str]
ALL: list[Route] = [
    ("GET", "/api/v1/venues/"),
    ("GET", "/api/v1/resources/"),
    ("GET", "/api/v1/resources/{resource}/"),
    ("GET", "/api/v1/resources/{resource}/availability/"),
    ("POST", "/api/v1/holds/"),
    ("GET", "/api/v1/holds/{hold}/"),
    ("DELETE", "/api/v1/holds/{hold}/"),
    ("POST", "/api/v1/holds/{hold}/payment/"),
    ("POST", "/api/v1/holds/{hold}/confirm/"),
    ("GET", "/api/v1/waitlist/"),
    ("POST", "/api/v1/waitlist/"),
    ("GET", "/api/v1/waitlist/{entry}/"),
    ("DELETE", "/api/v1/waitlist/{entry}/"),
    ("POST", "/api/v1/waitlist/{entry}/decline/"),
    ("GET", "/api/v1/bookings/"),
    ("GET", "/api/v1/bookings/{booking}/"),
    ("GET", "/api/v1/bookings/{booking}/history/"),
    ("GET", "/api/v1/bookings/{booking}/cancellation-quote/"),
    ("POST", "/api/v1/bookings/{booking}/cancel/"),
    ("GET", "/api/v1/bookings/{booking}/feedback/"),
    ("POST", "/api/v1/bookings/{booking}/feedback/"),
    ("POST", "/api/v1/bookings/{booking}/feedback/accept/"),
    ("POST", "/api/v1/bookings/{booking}/feedback/enhance/"),
    ("GET", "/api/v1/me/"),
    ("PATCH", "/api/v1/me/"),
    ("DELETE", "/api/v1/me/"),
    ("GET", "/api/v1/me/export/"),
    ("GET", "/api/v1/me/notifications/"),
    ("PATCH", "/api/v1/me/notifications/"),
    ("GET", "/api/v1/devices/"),
    ("POST", "/api/v1/devices/"),
    ("DELETE", "/api/v1/devices/{device}/"),
]
PUBLIC = ("/api/v1/venues/", "/api/v1/resources/")


def private(routes: list[Route]) -> list[Route]:
    """Those that need a customer."""
    return [route for route in routes if not route[1].startswith(PUBLIC)]


def posts(routes: list[Route]) -> list[str]:
    """The addresses of those that take a body."""
    return [address for method, address in routes if method == "POST"]


def client_of(customer: User) -> APIClient:
    """A customer's client; how they prove who they are has its own tests."""
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(customer)
    return client


def shortest_body(address: str) -> dict[str, Any]:
    """What must be sent for anybody to look whose it is: mostly nothing."""
    needed = {"/feedback/": {"notes": "x"}, "/feedback/accept/": {"version": 99}}
    return next((v for end, v in needed.items() if address.endswith(end)), {})


def post(api: APIClient, address: str, body: bytes, **more: Any) -> Any:
    """Send these bytes, as JSON with a key unless something else is said."""
    headers = {"Idempotency-Key": "k1"} | more.pop("headers", {})
    content_type = more.pop("content_type", "application/json")
    return api.generic("POST", address, body, content_type, headers=headers, **more)
