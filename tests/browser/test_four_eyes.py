"""Two people give much money back in a real browser, at the running product (S21)."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_look_of_the_back_office import TOO_WIDE, log_in
from tests.browser.test_money import book
from tests.product import Product, eventually

pytestmark = pytest.mark.stack

MUCH = "120.00"


def record_much(product: Product, page: Page, booking: str) -> None:
    """The front desk takes in a sum with a tip."""
    log_in(product, page, "front_desk")
    page.goto(f"{product.env['SLOTBASE_URL']}{page_of(booking)}record-payment/")
    page.get_by_label("Amount in EUR").fill(MUCH)
    with page.expect_response(lambda answer: answer.status == 409):
        page.get_by_role("button", name="Record payment").click()
    page.get_by_label("Yes, the customer paid more").check()
    page.get_by_role("button", name="Record payment").click()
    expect(page.locator(".messagelist")).to_contain_text(f"{MUCH} EUR recorded")


def page_of(booking: str) -> str:
    return f"/admin/bookings/booking/{booking}/"


def refunds_of(product: Product, booking: str) -> list[tuple[str, str]]:
    """Who asked for each, and who agreed."""
    return product.rows(  # type: ignore[return-value]
        "SELECT asked.username, agreed.username FROM payments_refund r"
        " JOIN bookings_booking b ON b.payable_id = r.payable_id"
        " JOIN accounts_user asked ON asked.id = r.requested_by_id"
        " LEFT JOIN accounts_user agreed ON agreed.id = r.approved_by_id"
        " WHERE b.id = %s",
        booking,
    )


def test_support_proposes_a_large_refund_and_their_lead_agrees(
    product: Product, page: Page
) -> None:
    """S21: propose, then approve; alone nobody gets further than the proposal."""
    booking = str(book(product, "court-1", days=8, is_paid=False)["id"])
    record_much(product, page, booking)

    page.context.clear_cookies()
    log_in(product, page, "support")
    page.goto(f"{product.env['SLOTBASE_URL']}{page_of(booking)}refund/")
    page.get_by_label("Amount").fill(MUCH)
    page.get_by_label("Why").fill("The court was flooded.")
    assert not page.evaluate(TOO_WIDE)
    page.get_by_role("button", name="Refund").click()
    expect(page.locator(".messagelist")).to_contain_text("Proposed: somebody else")
    expect(page.locator(".field-proposals")).to_contain_text("proposed by")
    page.locator(".field-proposals").get_by_role("link").click()
    expect(page.get_by_role("button", name="Withdraw")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert refunds_of(product, booking) == []

    page.context.clear_cookies()
    log_in(product, page, "support_lead")
    page.get_by_role("link", name="Approvals (1 for you)").click()
    page.locator("#result_list tbody th a").click()
    expect(page.locator("body")).to_contain_text("The court was flooded.")
    expect(page.locator(".field-what")).to_contain_text(f"{MUCH} EUR of Receipt")
    assert not page.evaluate(TOO_WIDE)
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".messagelist")).to_contain_text("You agreed, and it is done.")
    both = [("support", "support_lead")]
    eventually(lambda: refunds_of(product, booking) == both)
