"""Staff at the running product, in a real browser."""

from playwright.sync_api import Page, expect

from tests.product import Product


def log_in(product: Product, page: Page, name: str) -> None:
    """Sign in as they do: password, then code."""
    page.goto(f"{product.env['SLOTBASE_URL']}/admin/")
    show_password(page, name, "slotbase-demo")
    page.get_by_label("Code").fill(product.code(name))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="What do you need?")).to_be_visible()


def show_password(page: Page, name: str, password: str) -> None:
    """The first step."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
