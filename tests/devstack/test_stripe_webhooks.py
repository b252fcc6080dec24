"""In the running product, what happens at the sandbox's Stripe comes in by webhook."""

import pytest
import requests

from tests.product import Product, eventually

pytestmark = pytest.mark.stack


def test_an_event_of_the_sandbox_is_in_the_inbox(product: Product) -> None:
    made = requests.post(
        f"{product.env['SANDBOX_URL']}/stripe/v1/payment_intents",
        data={"amount": "5000", "currency": "eur"},
        headers={"Authorization": f"Bearer {product.environment['STRIPE_SECRET_KEY']}"},
        timeout=10,
    ).json()

    found = "SELECT type FROM recovery_inboxevent WHERE payload::text LIKE %s"
    assert eventually(lambda: product.rows(found, f"%{made['id']}%")) == [
        ("payment_intent.created",)
    ]
