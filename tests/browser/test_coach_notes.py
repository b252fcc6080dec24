"""What a coach or a model wrote, in a real browser: text, whatever it looks like."""

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.staff import log_in
from tests.product import Product, eventually

pytestmark = pytest.mark.stack

EVIL = "<img src=x onerror=\"document.title='stolen'\"> and <script>x()</script>"

DONE = (
    "SELECT id FROM bookings_sessionfeedback WHERE status = 'DONE' AND booking_id = %s"
)


def test_markup_in_notes_and_in_what_a_model_wrote_does_nothing(
    product: Product, page: Page
) -> None:
    """F89, S19: an image that is fetched, or a script, is an error in the console."""
    demo = json.loads((product.folder / "demo.json").read_text())
    session = demo["sessions"][0]
    eventually(lambda: product.rows(DONE, session["booking"]), seconds=60)
    product.rows(
        "UPDATE bookings_sessionfeedback SET notes = %s, enhanced_text = %s,"
        " skills = ARRAY(SELECT s.id FROM bookings_skill s JOIN bookings_resource r"
        " USING (venue_id) WHERE r.id = %s AND s.name = 'Serve')"
        " WHERE booking_id = %s RETURNING id",
        *(EVIL, EVIL + "x" * 3000, session["resource"], session["booking"]),
    )
    log_in(product, page, "support")

    page.goto(f"{product.env['SLOTBASE_URL']}/admin/bookings/sessionfeedback/")
    page.get_by_role("link", name=session["reference"]).click()

    expect(page.locator(".field-words")).to_contain_text(EVIL)
    expect(page.locator(".field-enhanced")).to_contain_text(EVIL)
    expect(page.locator(".field-skills_")).to_contain_text("Serve")
    assert page.locator("img[src=x]").count() == 0
    assert "stolen" not in page.title()
