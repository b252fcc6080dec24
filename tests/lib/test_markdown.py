"""Our own pages as HTML: what is used there, and nothing that could do harm."""

import pytest

from slotbase.lib.markdown import render


def html(text: str) -> str:
    return str(render(text, link=lambda to: "" if to.endswith(".py") else f"/{to}"))


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("# One", "<h2>One</h2>"),
        ("Two\nlines", "<p>Two\nlines</p>"),
        ("**Bold.** *em* `a_b`", "<strong>Bold.</strong> <em>em</em> <code>a_b</code>"),
        ("- a\n  more\n- b", "<ul><li>a\n  more</li><li>b</li></ul>"),
        ("Do:\n- a", "<p>Do:</p><ul><li>a</li></ul>"),
        ("[`a`](b)", '<a href="/b"><code>a</code></a>'),
        ("**[a](b)**", '<strong><a href="/b">a</a></strong>'),
        ("[code](x.py)", "<p>code</p>"),
        ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
        ("a `**b**`", "<code>**b**</code>"),
    ],
)
def test_what_is_written_is_shown(text: str, made: str) -> None:
    assert made in html(text)


def test_a_table_has_a_head_and_rows() -> None:
    made = html("| a | b |\n|---|---|\n| `c` | d |")

    assert "<thead><tr><th>a</th><th>b</th></tr></thead>" in made
    assert "<tbody><tr><td><code>c</code></td><td>d</td></tr></tbody>" in made


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "# <b>",
        "- <b>",
        "| <b> |\n|---|\n| <i> |",
        "`<b>` **<b>** *<b>*",
        '[<b>](https://x"onclick="alert)',
    ],
)
def test_markup_is_text(text: str) -> None:
    made = html(text)

    assert "<b>" not in made
    assert "<script" not in made
    assert '"onclick' not in made
