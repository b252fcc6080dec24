"""The page behind the link in a mail, and the page Channels, in a real browser."""

from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from notifications import tokens
from notifications.kinds import Topic
from notifications.states import Channel
from tests.browser.staff import log_in
from tests.browser.test_look_of_the_back_office import TOO_WIDE
from tests.product import Product

pytestmark = pytest.mark.stack


@pytest.fixture
def link(product: Product) -> str:
    """Such as a customer of the demo finds in a mail; it has the tests' secret key."""
    find = "SELECT id FROM accounts_user WHERE clerk_id IS NOT NULL LIMIT 1"
    [(user_id,)] = product.rows(find)
    about = tokens.Subscription(UUID(str(user_id)), Topic.REMINDERS, Channel.EMAIL)
    return f"{product.env['SLOTBASE_URL']}/unsubscribe/{tokens.sign(about)}/"


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)]
)
def test_a_customer_unsubscribes_by_keyboard_and_comes_back(
    link: str, page: Page, scheme: str, width: int
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(link)
    expect(page.get_by_role("heading", name="Unsubscribe?")).to_be_visible()
    assert not page.evaluate(TOO_WIDE)

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="You are unsubscribed")).to_be_visible()
    page.get_by_role("button", name="Subscribe again").click()

    heading = page.get_by_role("heading", name="You are subscribed again")
    expect(heading).to_be_visible()
    assert page.context.cookies() == []


def test_operations_sees_how_mails_and_pushes_go(product: Product, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    log_in(product, page, "operations")
    page.goto(f"{product.env['SLOTBASE_URL']}/admin/recovery/providerstatus/")

    page.get_by_role("link", name="How mails and pushes go").click()

    expect(page.get_by_role("heading", name="Mails", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Pushes", exact=True)).to_be_visible()
    assert not page.evaluate(TOO_WIDE)
