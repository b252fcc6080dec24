"""As much Markdown as our own pages use, made safe HTML: text is escaped first.

Headings, paragraphs, lists, tables; bold, emphasis, code, links. Anything else stays
text. No package for it: those that there are do far more than this, and must be tamed.
"""

import re
from collections.abc import Callable, Iterator

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

Link = Callable[[str], str]

_BLOCK = re.compile(r"\n[ \t]*\n+")
_HEADING = re.compile(r"(#{1,3}) (.*)", re.DOTALL)
_ITEM = re.compile(r"^- ", re.MULTILINE)
_RULER = re.compile(r"^\|[-| :]+\|$")
_INLINE = re.compile(
    r"`(?P<code>[^`]+)`"
    r"|\*\*(?P<bold>.+?)\*\*"
    r"|\*(?P<em>[^*\s][^*]*)\*"
    r"|\[(?P<words>[^\]]+)\]\((?P<to>[^)\s]+)\)",
    re.DOTALL,
)


def render(text: str, *, link: Link) -> SafeString:
    """HTML of a page; `link` says where a link leads, empty: nowhere, so it is text."""
    blocks = _BLOCK.split(text.strip())
    html = "\n".join(_block(each, link) for each in blocks if each)
    return mark_safe(html)  # noqa: S308 - made of escaped text and our own tags


def _block(text: str, link: Link) -> str:
    if heading := _HEADING.fullmatch(text):
        level = len(heading[1]) + 1  # the page has a title above
        return f"<h{level}>{_inline(heading[2], link)}</h{level}>"
    if text.startswith("|"):
        return _table(text.splitlines(), link)
    first, *items = _ITEM.split(text)
    if items:
        lines = "".join(f"<li>{_inline(each.strip(), link)}</li>" for each in items)
        return _paragraph(first, link) + f"<ul>{lines}</ul>"
    return _paragraph(text, link)


def _paragraph(text: str, link: Link) -> str:
    return f"<p>{_inline(text.strip(), link)}</p>" if text.strip() else ""


def _table(lines: list[str], link: Link) -> str:
    rows = [line for line in lines if not _RULER.match(line)]
    head, *body = (list(_cells(row, link)) for row in rows)
    return (
        f"<table><thead>{_row('th', head)}</thead>"
        f"<tbody>{''.join(_row('td', each) for each in body)}</tbody></table>"
    )


def _cells(row: str, link: Link) -> Iterator[str]:
    return (_inline(cell.strip(), link) for cell in row.strip("| ").split("|"))


def _row(tag: str, cells: list[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"


def _inline(text: str, link: Link) -> str:
    parts, done = [], 0
    for found in _INLINE.finditer(text):
        parts += [escape(text[done : found.start()]), _span(found, link)]
        done = found.end()
    return "".join([*parts, escape(text[done:])])


def _span(found: re.Match[str], link: Link) -> str:
    if found["code"]:
        return f"<code>{escape(found['code'])}</code>"
    if found["bold"]:
        return f"<strong>{_inline(found['bold'], link)}</strong>"
    if found["em"]:
        return f"<em>{_inline(found['em'], link)}</em>"
    words, to = _inline(found["words"], link), link(found["to"])
    return f'<a href="{escape(to)}">{words}</a>' if to else words
