"""Pages carry no inline script or style: the content security policy refuses both."""

import re
from collections.abc import Iterator

import pytest

from tests.architecture.source import ROOT, Source, breaches, planted

INLINE = re.compile(
    r"<script(?![^>]*\ssrc\s*=)[^>]*>"
    r"|<style\b"
    r"|<[a-z][^>]*?\s(style|on[a-z]+)\s*=(?!=)"
    r"|javascript:",
    re.IGNORECASE,
)

# Mail programs load no style sheets. It is shown under a policy of its own alone.
LAYOUT_OF_MAILS = ROOT / "templates/email/base.html"


def inline_code(text: str) -> list[str]:
    return [found.group() for found in INLINE.finditer(text)]


def inline_code_in_python(source: Source) -> Iterator[str]:
    for node, text in source.strings():
        for found in inline_code(text):
            yield source.at(node, found)


def test_templates_have_no_inline_script_or_style() -> None:
    templates = [*ROOT.glob("templates/**/*.html"), *ROOT.glob("slotbase/**/*.html")]
    templates.remove(LAYOUT_OF_MAILS)

    assert templates
    faulty = {each.name: inline_code(each.read_text()) for each in templates}
    assert {name: found for name, found in faulty.items() if found} == {}


def test_mails_have_style_but_no_script() -> None:
    found = inline_code(LAYOUT_OF_MAILS.read_text())

    assert all(each.endswith(("style=", "style")) for each in found), found


def test_html_made_in_python_has_none_either() -> None:
    assert breaches(inline_code_in_python) == []


@pytest.mark.parametrize(
    "fault",
    [
        "<script>alert(1)</script>",
        '<script type="module">x</script>',
        "<style>p {}</style>",
        '<p class="a" style="color: red">',
        '<a\n  onclick="f()">',
        '<a href="javascript:f()">',
    ],
)
def test_inline_code_would_be_seen(fault: str) -> None:
    assert inline_code(fault)
    assert [*inline_code_in_python(planted(f"x = {fault!r}"))]


@pytest.mark.parametrize(
    "fine",
    [
        '<script src="{% static "a.js" %}" defer></script>',
        '<p class="style">one = two</p>',
        '<link rel="stylesheet" href="a.css">',
    ],
)
def test_files_of_our_own_are_fine(fine: str) -> None:
    assert inline_code(fine) == []
