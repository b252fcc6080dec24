"""The pages about the API in a real browser, under the content security policy."""

import pytest
from playwright.sync_api import Page, expect

from tests.product import Product

pytestmark = pytest.mark.stack


def test_swagger_ui_shows_every_group_and_an_operation(
    product: Product, page: Page
) -> None:
    page.goto(f"{product.env['SLOTBASE_URL']}/api/docs/")

    for group in ("venues", "resources", "holds", "bookings"):
        expect(page.get_by_role("link", name=group, exact=True)).to_be_visible()
    page.get_by_text("Hold a slot", exact=True).click()
    expect(page.get_by_text("Idempotency-Key").first).to_be_visible()
    expect(page.get_by_text("slot_unavailable").first).to_be_visible()


def test_an_operation_can_be_tried_from_the_page(product: Product, page: Page) -> None:
    page.goto(f"{product.env['SLOTBASE_URL']}/api/docs/#/venues/listVenues")

    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()

    response = page.locator(".live-responses-table")
    expect(response.get_by_text("Europe/Berlin").first).to_be_visible()


def test_the_type_of_a_problem_leads_to_its_code(product: Product, page: Page) -> None:
    problem = product.call("GET", "/api/v1/bookings/").json()

    page.goto(f"{product.env['SLOTBASE_URL']}{problem['type']}")

    line = page.locator("tr:target")
    expect(line).to_contain_text("token_missing")
    expect(line).to_contain_text("401")
