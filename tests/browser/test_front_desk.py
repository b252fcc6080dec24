"""The front desk in a real browser, at the running product after the demo."""

import re
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from tests.browser.staff import log_in
from tests.product import Product

pytestmark = pytest.mark.stack


def test_the_front_desk_logs_in_and_finds_the_booking_of_the_demo(
    product: Product, page: Page
) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "slotbase.devstack.demo"],
        env=product.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    found = re.search(r"it finds (\S+), confirmed", demo.stdout)
    assert found is not None

    log_in(product, page, "front_desk")
    page.get_by_label("Find a booking").fill(found.group(1))
    page.get_by_role("button", name="Find", exact=True).click()
    page.get_by_role("link", name=found.group(1)).click()

    expect(page.locator("body")).to_contain_text(found.group(1))
    expect(page.locator("body")).to_contain_text("Ada Adler")
    expect(page.locator("body")).not_to_contain_text("ada@example.com")
    page.get_by_role("button", name="Show contact data").click()
    expect(page.locator("body")).to_contain_text("ada@example.com")
