"""Support at work in a real browser, at the running product."""

import uuid

import pytest
from playwright.sync_api import Page, expect

from tests.browser.staff import log_in
from tests.browser.test_look_of_the_back_office import TOO_WIDE
from tests.product import Product, eventually

pytestmark = pytest.mark.stack


def kill_its_workers(product: Product, event_id: str) -> None:
    """A webhook that has cost three workers their lives, for a cause that is gone."""
    product.rows(
        "INSERT INTO recovery_inboxevent"
        " (id, provider, account, event_id, type, api_version, livemode, payload,"
        " status, attempts, deaths)"
        " VALUES (%s, 'stripe', '', %s, 'tester.happened', '', false, '{\"ok\": 1}',"
        " 'RETRY', 3, 3) RETURNING id",
        uuid.uuid4(),
        event_id,
    )


def test_support_claims_a_webhook_replays_it_and_sees_its_case_close_itself(
    product: Product, page: Page
) -> None:
    kill_its_workers(product, event_id := f"evt_{uuid.uuid4().hex}")
    eventually(
        lambda: product.rows(
            "SELECT 1 FROM recovery_case WHERE reference = %s", event_id
        )
    )

    log_in(product, page, "support")
    page.get_by_role("link", name="Webhook failures With what").click()
    row = page.locator("#result_list tbody tr", has_text=event_id)
    expect(row).to_contain_text("Its worker died three times.")
    assert not page.evaluate(TOO_WIDE)
    row.get_by_role("link", name="stripe tester.happened").click()
    expect(page.locator(".payload")).to_contain_text('"ok": 1')
    assert not page.evaluate(TOO_WIDE)

    page.get_by_role("button", name="Claim").click()
    expect(page.locator(".messagelist")).to_contain_text("yours for 15 minutes")
    page.get_by_role("button", name="Replay the webhook").click()
    expect(page.locator(".messagelist")).to_contain_text("is being processed again")

    closed = page.locator(".field-state .badge-resolved")
    eventually(lambda: page.reload() and closed.count())
    expect(page.locator(".timeline")).to_contain_text("Webhook replayed")
    expect(page.locator(".deeds")).to_have_count(0)


def test_many_webhooks_are_replayed_from_the_list(product: Product, page: Page) -> None:
    ids = [f"evt_{uuid.uuid4().hex}" for _ in range(3)]
    for event_id in ids:
        kill_its_workers(product, event_id)

    def count(status: str) -> int:
        stored = "SELECT 1 FROM recovery_inboxevent WHERE event_id = ANY(%s)"
        return len(product.rows(f"{stored} AND status = %s", ids, status))

    eventually(lambda: count("DEAD") == 3)

    log_in(product, page, "operations")
    page.get_by_role("link", name="Webhooks All that").click()
    for event_id in ids:
        row = page.locator("#result_list tbody tr", has_text=event_id)
        row.get_by_role("checkbox").check()
    page.locator("select[name=action]").select_option("Replay the selected webhooks")
    page.get_by_role("button", name="Go").click()

    expect(page.locator(".messagelist")).to_contain_text("3 will be tried again.")
    eventually(lambda: count("IGNORED") == 3)
