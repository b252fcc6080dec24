"""In the running product, what happens at the sandbox's Clerk comes in by webhook."""

import pytest
import requests

from tests.product import Product, eventually

pytestmark = pytest.mark.stack


def test_a_session_that_ends_at_clerk_is_refused(product: Product) -> None:
    """F86, over HTTP from end to end."""
    sandbox, site = product.env["SANDBOX_URL"], product.env["SLOTBASE_URL"]
    order = {"sub": "user_told", "ttl": 600}
    minted = requests.post(f"{sandbox}/_sandbox/tokens", json=order, timeout=10).json()
    headers = {"Authorization": f"Bearer {minted['token']}"}

    def status() -> int:
        answer = requests.get(f"{site}/api/v1/bookings/", headers=headers, timeout=10)
        return answer.status_code

    assert status() == 200
    order = {"id": minted["sid"]}
    requests.post(f"{sandbox}/_sandbox/clerk/sessions", json=order, timeout=10)

    assert eventually(lambda: status() == 401)
