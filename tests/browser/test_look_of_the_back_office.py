"""The back office in a real browser: it fits, it is legible, its policy holds."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.staff import log_in
from tests.product import Product

STYLES = Path("slotbase/lib/static/slotbase")
TOO_WIDE = "document.documentElement.scrollWidth > window.innerWidth"

TEXTS = ["text", "muted", "accent", "accent-strong"]
TONES = ["green", "blue", "violet", "amber", "red", "gray"]
PAIRS = [
    *[(text, ground) for text in TEXTS for ground in ("bg", "surface", "raised")],
    *[(tone, f"{tone}-soft") for tone in TONES],
    *[(text, "accent-soft") for text in ("text", "muted", "accent-strong")],
    *[("on-accent", ground) for ground in ("accent", "accent-strong")],
    *[("text", "gray-soft"), ("red", "surface")],
]


def tokens(scheme: str) -> dict[str, str]:
    """The colours of `tokens.css` by name."""
    found = re.findall(
        r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)",
        (STYLES / "tokens.css").read_text(),
    )
    return {name: light if scheme == "light" else dark for name, light, dark in found}


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(scheme: str) -> None:
    colours = tokens(scheme)

    weak = [pair for pair in PAIRS if contrast(*(colours[x] for x in pair)) < 4.5]

    assert weak == []
    assert contrast(colours["line-strong"], colours["surface"]) >= 3


@pytest.mark.stack
@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)]
)
def test_every_page_fits_and_its_policy_holds(
    product: Product, page: Page, scheme: str, width: int
) -> None:
    """What the policy blocks is an error in the console, which fails the test."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    log_in(product, page, "auditor")
    lists = [each.get_attribute("href") for each in page.locator(".strip a").all()]
    assert len(lists) == 38

    for address in ["/admin/", "/api/docs/", *lists]:
        page.goto(f"{product.env['SLOTBASE_URL']}{address}")
        page.wait_for_load_state("networkidle")
        assert not page.evaluate(TOO_WIDE), address
        if page.locator("#result_list tbody th a").count():
            page.locator("#result_list tbody th a").first.click()
            expect(page.locator("h1")).to_be_visible()
            assert not page.evaluate(TOO_WIDE), page.url


@pytest.mark.stack
def test_a_manager_edits_a_resource(product: Product, page: Page) -> None:
    log_in(product, page, "manager")
    page.get_by_role("link", name="Resources Courts").click()
    page.get_by_role("link", name="Coach Jo").click()
    page.locator(".select2-selection").click()
    page.locator(".select2-search__field").fill("Jensen")
    page.get_by_role("option", name="Jo Jensen").click()
    page.get_by_role("button", name="Add another Opening hours").click()
    page.locator("#opening_hours-7 .inline-deletelink").click()
    page.get_by_label("Horizon days").fill("45")
    page.get_by_role("button", name="Save and continue").click()

    expect(page.locator(".timeline")).to_contain_text("Resource changed")
    expect(page.locator(".timeline")).to_contain_text("changed horizon days")
