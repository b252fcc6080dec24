"""Staff move money in a real browser, at the running product, in few clicks."""

from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.staff import log_in
from tests.browser.test_look_of_the_back_office import TOO_WIDE
from tests.product import Product, eventually

pytestmark = pytest.mark.stack

MOST = 4
ADA = "user_demo_ada"


class Mouse:
    """Clicks, and counts them."""

    def __init__(self) -> None:
        self.clicks = 0

    def click(self, target: Locator) -> None:
        target.click()
        self.clicks += 1


def book(product: Product, court: str, *, days: int, is_paid: bool) -> dict[str, Any]:
    """Ada books half an hour in Berlin, and pays by card or not at all."""
    [(resource,)] = product.rows(
        "SELECT r.id FROM bookings_resource r JOIN accounts_venue v"
        " ON v.id = r.venue_id WHERE v.slug = 'berlin' AND r.slug = %s",
        court,
    )
    wish = product.free_slot(resource, days=days)
    hold = product.call("POST", "/api/v1/holds/", ADA, **wish).json()
    if is_paid:
        answer = product.call("POST", f"/api/v1/holds/{hold['id']}/payment/", ADA)
        secret = answer.json()["client_secret"]
        intent = secret.split("_secret_")[0]
        tell(product, "stripe/pay", payment_intent=intent, outcome="succeed")
    made = product.call("POST", f"/api/v1/holds/{hold['id']}/confirm/", ADA)
    assert made.status_code in {200, 201}, made.text
    booking: dict[str, Any] = made.json()
    return booking


def tell(product: Product, path: str, **body: Any) -> None:
    """What a customer or a bank does at Stripe."""
    address = f"{product.env['SANDBOX_URL']}/_sandbox/{path}"
    assert requests.post(address, json=body, timeout=30).ok


def payments_of(product: Product, reference: str) -> list[tuple[Any, ...]]:
    return product.rows(
        "SELECT o.amount_minor FROM payments_offlinepayment o"
        " JOIN payments_payable p ON p.id = o.payable_id WHERE p.reference = %s",
        reference,
    )


def test_support_finishes_a_failed_refund_from_the_index_in_four_clicks(
    product: Product, page: Page
) -> None:
    booking = book(product, "court-2", days=5, is_paid=True)
    fate = {"status": "failed", "failure_reason": "expired_or_canceled_card"}
    tell(product, "stripe/refunds/next", **fate)
    product.call("POST", f"/api/v1/bookings/{booking['id']}/cancel/", ADA)
    case = "SELECT status FROM recovery_case WHERE kind = %s AND reference = %s"
    about = ("refund_failure", booking["reference"])
    eventually(lambda: product.rows(case, *about))
    log_in(product, page, "support")
    mouse = Mouse()

    mouse.click(page.get_by_role("link", name="Refund failures Money"))
    expect(page.locator("#result_list")).to_contain_text("The card has expired")
    assert not page.evaluate(TOO_WIDE)
    failure = page.get_by_role("link", name=booking["reference"])
    mouse.click(failure)
    expect(page.locator("body")).to_contain_text("A refund did not reach the customer.")
    assert not page.evaluate(TOO_WIDE)
    mouse.click(page.get_by_role("button", name="Retry the refund"))
    expect(page.locator(".messagelist")).to_contain_text("sent again within seconds")

    assert mouse.clicks <= MOST
    eventually(lambda: product.rows(case, *about) == [("RESOLVED",)])
    page.reload()
    expect(page.locator(".timeline")).to_contain_text("Refund succeeded")
    expect(page.locator(".field-state .badge-resolved")).to_be_visible()


def test_the_front_desk_records_cash_from_the_list_of_bookings_in_four_clicks(
    product: Product, page: Page
) -> None:
    booking = book(product, "court-1", days=5, is_paid=False)
    log_in(product, page, "front_desk")
    page.goto(f"{product.env['SLOTBASE_URL']}/admin/bookings/booking/")
    mouse = Mouse()

    mouse.click(page.get_by_role("link", name=booking["reference"]))
    mouse.click(page.get_by_role("link", name="Record payment"))
    expect(page.get_by_label("Amount in EUR")).to_have_value("12.00")
    assert not page.evaluate(TOO_WIDE)
    mouse.click(page.get_by_role("button", name="Record payment"))
    expect(page.locator(".messagelist")).to_contain_text("12.00 EUR recorded (cash)")
    expect(page.locator(".badge-paid")).to_be_visible()

    assert mouse.clicks <= MOST
    assert payments_of(product, booking["reference"]) == [(1200,)]
    page.locator(".messagelist").get_by_role("link", name="receipt").click()
    expect(page.locator(".receipt")).to_contain_text("Parkside Berlin")
    assert not page.evaluate(TOO_WIDE)


def test_a_double_click_and_the_back_button_record_one_payment(
    product: Product, page: Page
) -> None:
    booking = book(product, "court-1", days=6, is_paid=False)
    log_in(product, page, "front_desk")
    form = f"/admin/bookings/booking/{booking['id']}/record-payment/"
    page.goto(f"{product.env['SLOTBASE_URL']}{form}")

    page.get_by_label("Amount in EUR").fill("6.00")
    page.get_by_role("button", name="Record payment").dblclick()
    expect(page.locator(".messagelist")).to_contain_text("6.00 EUR")
    assert payments_of(product, booking["reference"]) == [(600,)]

    page.go_back()
    page.get_by_label("Amount in EUR").fill("6.00")
    page.get_by_role("button", name="Record payment").click()
    expect(page.locator("body")).to_contain_text("6.00 EUR was already recorded at")
    assert payments_of(product, booking["reference"]) == [(600,)]


def test_the_questions_of_the_desk_are_answered_with_a_tick(
    product: Product, page: Page
) -> None:
    booking = book(product, "court-1", days=7, is_paid=False)
    log_in(product, page, "front_desk")
    form = f"/admin/bookings/booking/{booking['id']}/record-payment/"
    page.goto(f"{product.env['SLOTBASE_URL']}{form}")
    page.get_by_label("Amount in EUR").fill("120.00")
    page.get_by_label("Note").fill("with a tip")

    with page.expect_response(lambda answer: answer.status == 409):
        page.get_by_role("button", name="Record payment").click()
    expect(page.locator(".wrong")).to_contain_text("is a digit wrong?")
    expect(page.get_by_label("Note")).to_have_value("with a tip")
    page.get_by_label("Yes, the customer paid more").check()
    page.get_by_role("button", name="Record payment").click()

    expect(page.locator(".messagelist")).to_contain_text("120.00 EUR recorded")
    expect(page.locator(".badge-overpaid")).to_be_visible()
