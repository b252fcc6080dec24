"""Every mail as a browser shows it: it fits, can be read, and its text says the same.

With `--write-pictures` (`make screenshots`) it also renews `docs/mails`.
"""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from notifications.kinds import KINDS
from notifications.rendering import Rendered, render
from notifications.samples import PERSON, UNSUBSCRIBE_URL, sample_of
from notifications.states import Channel
from notifications.wording import list_languages
from tests.browser.staff import log_in
from tests.browser.test_look_of_the_back_office import TOO_WIDE, contrast
from tests.product import Product

MAILS = [name for name, kind in KINDS.items() if Channel.EMAIL in kind.channels]
PICTURES = Path("docs/mails")
WIDTHS = {"desktop": 720, "phone": 375}
MOST_BYTES = 60 * 1024
LONG = "Bezirkssportanlagenverwaltungsgesellschaft" * 4
# Each element with words of its own, its colour, and the ground that it stands on.
COLOURS = """() => [...document.querySelectorAll('#mail *')]
  .filter(each => [...each.childNodes].some(
    node => node.nodeType === Node.TEXT_NODE && node.textContent.trim()))
  .map(each => {
    let ground = each
    const of = node => getComputedStyle(node).backgroundColor
    while (of(ground) === 'rgba(0, 0, 0, 0)') ground = ground.parentElement
    return [getComputedStyle(each).color, of(ground), each.innerText]
  })"""


def write(name: str, language: str, **over: str) -> Rendered:
    return render(
        name,
        {**sample_of(name), **over},
        person=PERSON,
        locale=language,
        unsubscribe_url=UNSUBSCRIBE_URL,
    )


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def to_hex(colour: str) -> str:
    return "#" + "".join(f"{int(each):02x}" for each in re.findall(r"\d+", colour)[:3])


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("language", list_languages())
def test_a_mail_fits_and_its_text_part_says_the_same(
    page: Page, name: str, language: str
) -> None:
    mail = write(name, language)

    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 700})
        page.set_content(mail.html)
        assert not page.evaluate(TOO_WIDE)
        assert page.locator("#mail").bounding_box()["width"] <= 600  # type: ignore[index]
        # An address is behind a link in one, and written in the other.
        text = mail.text.replace(f": {UNSUBSCRIBE_URL}", "")
        assert words(page.locator("#mail").inner_text()) == words(text)
    assert page.title() == mail.subject
    links = [each.get_attribute("href") for each in page.locator("a").all()]
    assert links == ([UNSUBSCRIBE_URL] if KINDS[name].is_optional else [])


def test_a_text_part_that_says_less_would_be_seen(page: Page) -> None:
    page.set_content(write("booking_cancelled", "en").html)

    poorer = write("booking_cancelled", "en", in_dispute_minor=1).text  # type: ignore[arg-type]

    assert words(page.locator("#mail").inner_text()) != words(poorer)


@pytest.mark.parametrize("width", WIDTHS.values())
def test_long_names_make_no_mail_wider_than_its_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})

    page.set_content(write("booking_moved", "de", title=LONG, venue_name=LONG).html)

    assert not page.evaluate(TOO_WIDE)
    assert page.locator("#mail").bounding_box()["width"] <= 600  # type: ignore[index]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_content(write("booking_moved", "en").html)

    found = page.evaluate(COLOURS)

    assert len(found) > 10
    weak = [
        (text, ink, ground)
        for ink, ground, text in found
        if contrast(to_hex(ink), to_hex(ground)) < 4.5
    ]
    assert weak == []
    card = page.locator(".card").evaluate("x => getComputedStyle(x).backgroundColor")
    assert (card == "rgb(255, 255, 255)") is (scheme == "light")


def test_what_a_mail_previews_is_not_seen_twice(page: Page) -> None:
    page.set_content(write("booking_confirmed", "en").html)

    seen = page.locator("body").inner_text()

    assert seen.count("Your booking is confirmed.") == 1
    assert page.content().count("Your booking is confirmed.") == 2


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_has_pictures(
    page: Page, name: str, pytestconfig: pytest.Config
) -> None:
    for device, width in WIDTHS.items():
        path = PICTURES / f"{name}-{device}.png"
        page.set_viewport_size({"width": width, "height": 400})
        page.set_content(write(name, "en").html)
        picture = page.screenshot(full_page=True)
        if pytestconfig.getoption("write_pictures", default=False):
            path.write_bytes(picture)
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert path.stat().st_size <= MOST_BYTES
        # Of about the mail that there is now: fonts differ from computer to computer.
        assert size_of(path.read_bytes())[0] == width
        assert abs(size_of(path.read_bytes())[1] - size_of(picture)[1]) < 80


def size_of(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def test_the_page_of_pictures_shows_each_and_no_other() -> None:
    page = (PICTURES / "README.md").read_text()
    shown = re.findall(r'src="([\w-]+\.png)"', page)

    wanted = {f"{name}-{device}.png" for name in MAILS for device in WIDTHS}
    assert sorted(shown) == sorted(wanted)
    assert {each.name for each in PICTURES.glob("*.png")} == wanted


@pytest.mark.stack
def test_staff_see_the_mail_in_a_frame_in_which_nothing_runs(
    product: Product, page: Page
) -> None:
    """What either policy blocks is an error in the console, which fails the test."""
    log_in(product, page, "auditor")
    page.get_by_role("link", name="Texts").click()
    page.get_by_role("link", name="Booking moved").click()
    page.get_by_role("link", name="de", exact=True).click()

    frame = page.frame_locator("iframe.mail")

    expect(frame.locator("body")).to_contain_text("Guten Tag Alice Adler,")
    card = frame.locator(".card").evaluate("x => getComputedStyle(x).borderTopWidth")
    assert card == "4px"
    assert frame.locator("body").evaluate("() => self.origin") == "null"
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert not page.evaluate(TOO_WIDE)
