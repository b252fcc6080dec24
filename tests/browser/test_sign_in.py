"""Staff make a second factor and sign in, in a real browser and its strict policy."""

import re

import pyotp
import pytest
from django.contrib.auth.hashers import make_password
from playwright.sync_api import Page, expect

from slotbase.lib.ids import uuid7
from tests.browser.staff import log_in, show_password
from tests.browser.test_look_of_the_back_office import TOO_WIDE
from tests.product import Product

pytestmark = pytest.mark.stack

NEW_STAFF = """
INSERT INTO accounts_user (id, username, password, name, email, phone, locale,
    is_active, is_staff, is_superuser)
VALUES (%s, %s, %s, 'Nina New', '', '', 'en', true, true, false) RETURNING id
"""
DRAWN = "document.querySelector('.qr').naturalWidth > 100"


def add_staff(product: Product) -> str:
    """Somebody who has never signed in; returns their login."""
    login = f"nina-{uuid7().hex[-8:]}"
    product.rows(NEW_STAFF, uuid7(), login, make_password("nina-secret"))
    return login


@pytest.mark.parametrize("width", [1280, 390])
def test_the_first_sign_in_makes_a_factor_and_the_next_uses_a_recovery_code(
    product: Product, page: Page, width: int
) -> None:
    """S15: nothing is seen before the code; the QR code is drawn under our policy."""
    login = add_staff(product)
    site = product.env["SLOTBASE_URL"]
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{site}/admin/")
    show_password(page, login, "nina-secret")
    expect(page.get_by_role("heading", name="Your second factor")).to_be_visible()
    assert page.evaluate(DRAWN)
    assert not page.evaluate(TOO_WIDE)
    secret = page.locator(".secret").inner_text().replace(" ", "")
    page.get_by_label("Code").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Confirm").click()

    codes = page.locator(".recovery-codes code").all_inner_texts()
    assert len(codes) == 10
    assert not page.evaluate(TOO_WIDE)
    page.get_by_role("link", name="I have kept them").click()
    expect(page.locator("body")).to_contain_text("You have no rights yet")

    page.get_by_role("button", name="Log out").click()
    page.goto(f"{site}/admin/")
    show_password(page, login, "nina-secret")
    page.goto(f"{site}/admin/")  # around the code
    expect(page.get_by_label("Password")).to_be_visible()
    page.goto(f"{site}/admin/login/code/")
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".messagelist")).to_contain_text("9 are left")


def test_my_sign_in_makes_new_recovery_codes(product: Product, page: Page) -> None:
    log_in(product, page, "manager")
    page.get_by_role("link", name="My sign-in").click()
    page.get_by_label("Code").fill(product.code("manager"))
    assert not page.evaluate(TOO_WIDE)
    page.get_by_role("button", name="New recovery codes").click()

    assert re.fullmatch(
        r"\w{5}-\w{5}", page.locator(".recovery-codes code").first.inner_text()
    )


def test_it_works_without_javascript(product: Product, page: Page) -> None:
    context = page.context.browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    log_in(product, plain, "support")
    plain.get_by_role("link", name="My sign-in").click()
    plain.get_by_label("Code").fill(product.code("support"))
    plain.get_by_role("button", name="Replace the app").click()

    expect(plain.get_by_role("heading", name="Your new second factor")).to_be_visible()
    context.close()
