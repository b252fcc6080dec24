"""A customer at the API who pays: requests, and what happens in the Payment Element."""

from typing import Any
from uuid import uuid4

from rest_framework.test import APIClient

from bookings.models import Booking, BookingHold
from payments.models import CardPayment
from tests.adversity import Stripe
from tests.bookings.document import check_against_document


def send(api: APIClient, address: str, body: Any = None, key: str | None = "") -> Any:
    """POST with a new key, this key, or (None) none; a good answer is checked."""
    headers = {} if key is None else {"Idempotency-Key": key or str(uuid4())}
    answer = api.post(f"/api/v1/{address}/", body or {}, "json", headers=headers)
    if answer.status_code < 300:
        check_against_document(answer)
    return answer


def pay_for(api: APIClient, hold: BookingHold, **more: Any) -> Any:
    return send(api, f"holds/{hold.pk}/payment", **more)


def confirm(api: APIClient, hold: BookingHold, **more: Any) -> Any:
    return send(api, f"holds/{hold.pk}/confirm", **more)


def cancel(api: APIClient, booking: Booking, **more: Any) -> Any:
    return send(api, f"bookings/{booking.pk}/cancel", **more)


def look_at(api: APIClient, address: str) -> dict[str, Any]:
    answer = api.get(f"/api/v1/{address}/")
    assert answer.status_code == 200, answer.content
    check_against_document(answer)
    shown: dict[str, Any] = answer.json()
    return shown


def act(
    stripe: Stripe, hold: BookingHold, outcome: str = "succeed", **more: Any
) -> str:
    """The customer does something with the Payment Element."""
    hold.refresh_from_db()
    payment = CardPayment.objects.filter(payable=hold.payable_id).latest("id")
    told = {"payment_intent": payment.provider_id, "outcome": outcome, **more}
    stripe.tell("pay", **told)
    assert payment.provider_id is not None
    return payment.provider_id
