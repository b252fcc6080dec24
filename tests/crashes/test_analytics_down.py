"""Analytics is down for an hour: nobody is slowed, the failures are counted."""

from typing import Any

import pytest
import requests

from tests.crashes.load import Ledger, Load, median, require_all_is_done, statuses
from tests.product import Product, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def control(product: Product, method: str, path: str, **body: Any) -> None:
    """Tell the sandbox."""
    answer = requests.request(
        method,
        f"{product.env['SANDBOX_URL']}/_sandbox/{path}",
        json=body or None,
        timeout=10,
    )
    assert answer.ok, answer.text


def calls(product: Product) -> int:
    """How often analytics was called."""
    return len(product.sandbox("calls", provider="analytics")["calls"])


def cases(product: Product) -> int:
    """How many cases there are; earlier tests may have left some."""
    [(number,)] = product.rows("SELECT count(*) FROM recovery_case")
    return int(number)


@pytest.mark.parametrize("fault", ["5xx", "hang"])
def test_nobody_is_slowed_and_all_events_arrive_in_the_end(
    product: Product, fault: str
) -> None:
    with Load(product) as load:
        ledger = Ledger(product, load)
        undisturbed = load.during(10)
        control(
            product,
            "POST",
            "faults",
            provider="analytics",
            operation="event",
            fault=fault,
            count=1_000_000,
        )
        before, cases_before = calls(product), cases(product)
        disturbed = load.during(20)
        others = {name: n for name, n in ledger.owed().items() if name != "deliveries"}
        tried = calls(product) - before

    assert median(disturbed) < 2 * median(undisturbed)
    assert not {status for status in statuses(load.answers) if status >= 500}
    # What others wait for goes on: webhooks are processed, holds expire.
    eventually(lambda: not set(ledger.owed()) - {"deliveries"}, seconds=20)
    assert others.get("webhooks", 0) < 50
    # Each worker process has its breaker; open, it lets one call through in 15 s.
    assert tried < 60
    [(failures,)] = product.rows(
        "SELECT sum(attempts) FROM recovery_eventdelivery WHERE status = 'PENDING'"
    )
    assert failures > 0
    assert cases(product) == cases_before

    product.move_clock("+1h")
    control(product, "DELETE", "faults")
    product.move_clock("+2h")
    eventually(lambda: not ledger.owed(), seconds=90)
    require_all_is_done(product, ledger)
