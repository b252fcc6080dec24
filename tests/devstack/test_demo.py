"""`make demo` on a running product: every promise is kept, and seen to be."""

import subprocess
import sys

import pytest

from slotbase.devstack.demo.promises import PromiseBroken, promise, promise_soon
from slotbase.devstack.management.commands.seed_demo import CUSTOMERS
from slotbase.sandbox.people import People
from tests.product import Product


@pytest.mark.stack
def test_the_demo_keeps_every_promise_and_leaves_nothing_wrong(
    product: Product,
) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "slotbase.devstack.demo"],
        env=product.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert demo.returncode == 0, demo.stdout + demo.stderr
    for told in (
        "ok  Stripe made one charge and one refund",
        "ok  the case closes itself",
        "ok  the money went back once",
        "ok  the customer reads that",
        "Every promise was kept.",
    ):
        assert told in demo.stdout
    assert product.violations() == []


def test_a_promise_that_is_not_kept_ends_the_demo() -> None:
    with pytest.raises(PromiseBroken, match=r"One is two\. Seen: 1"):
        promise("One is two", kept=False, seen=1)


def test_a_promise_may_be_kept_a_little_later() -> None:
    seen = iter(["not yet", "now"])

    assert promise_soon("Soon", lambda: next(seen), lambda it: it == "now") == "now"


@pytest.mark.parametrize("customer", CUSTOMERS, ids=lambda each: each[0])
def test_clerk_knows_the_customers_as_the_demo_does(
    customer: tuple[str, str, str, str],
) -> None:
    id_, name, email, phone = customer

    person = People().find(id_)

    assert person is not None
    assert f"{person.first_name} {person.last_name}" == name
    assert (person.email, person.phone) == (email, phone)
