"""Screenshots"""
import pytest, requests
from tests.browser.test_money import *
from tests.browser.test_money import book, tell
pytestmark = pytest.mark.stack

def test_shots(product, page):
    from tests.browser.conftest import browser
    b = book(product, "court-1", days=5, is_paid=False)
    c = book(product, "court-2", days=5, is_paid=True)
    d = book(product, "court-2", days=6, is_paid=True)
    tell(product, "stripe/refunds/next", status="failed", failure_reason="expired_or_canceled_card")
    product.call("POST", f"/api/v1/bookings/{c['id']}/cancel/", ADA)
    case = eventually(lambda: product.rows("SELECT id FROM recovery_case WHERE kind='refund_failure'"))[0][0]
    base = product.env["SLOTBASE_URL"]
    log_in(product, page, "front_desk")
    def shoot(name, path):
        for scheme, width in (("light",1280),("dark",1280),("light",390)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            if path: page.goto(base+path)
            page.screenshot(path=f"/tmp/shots/{name}-{scheme}-{width}.png", full_page=True)
            if page.evaluate(TOO_WIDE): print("TOO WIDE", name, scheme, width)
    shoot("fd-index", "/admin/")
    shoot("bookings", "/admin/bookings/booking/")
    shoot("booking", f"/admin/bookings/booking/{b['id']}/change/")
    rec = f"/admin/bookings/booking/{b['id']}/record-payment/"
    shoot("record", rec)
    page.goto(base+rec); page.get_by_label("Amount in EUR").fill("120"); 
    with page.expect_response(lambda a: a.status == 409):
        page.get_by_role("button", name="Record payment").click()
    shoot("record-asked", None)
    page.get_by_label("Yes, the customer paid more").check()
    page.get_by_role("button", name="Record payment").click()
    shoot("recorded", None)
    page.locator(".messagelist").get_by_role("link", name="receipt").click()
    shoot("receipt", None)
    page.get_by_role("button", name="Log out").click()
    log_in(product, page, "support")
    shoot("index", "/admin/")
    shoot("failures", "/admin/payments/refundfailure/")
    shoot("case", f"/admin/recovery/case/{case}/change/")
    shoot("refund", f"/admin/bookings/booking/{d['id']}/refund/")
    shoot("refund2", f"/admin/bookings/booking/{b['id']}/refund/")
    for m in ("payable","cardpayment","offlinepayment","refund"):
        shoot(m, f"/admin/payments/{m}/")
        page.locator("#result_list tbody th a").first.click()
        shoot(m+"-page", None)
    import tests.browser.conftest
