"""The page on recovery names what is there: its diagrams cannot outlive the code."""

import re

from tests.architecture.source import PACKAGES, ROOT, read_sources

PAGE = ROOT / "docs" / "explanation" / "how-slotbase-recovers.md"
# What looks like a name of ours: snake_case, a dotted name, a state or a setting.
NAME = re.compile(r"\b(?:[a-z]+(?:[._][a-z]+)+|[A-Z]+_[A-Z_]+|[A-Z]{4,})\b")
NOT_OURS = {
    *("POST", "UPDATE", "SKIP", "LOCKED"),  # HTTP and SQL
    "e.g",
}
QUEUE = re.compile(r'name="(\w+)",\s+model=')
POINT = re.compile(r'failpoint\(f?"(?:\{queue\.name\})?([\w.]+)"\)')


def text_of_the_product() -> str:
    return "\n".join(source.text for source in read_sources(*PACKAGES))


def points(product: str) -> set[str]:
    """Every failpoint; those of the engine once for each queue."""
    queues = QUEUE.findall(product)
    return {
        name
        for found in POINT.findall(product)
        for name in ([f"{q}{found}" for q in queues] if found[0] == "." else [found])
    }


def named(page: str) -> set[str]:
    """Names in diagrams and in `code`, without files, which another rule checks."""
    drawn = re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    quoted = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
    words = [*drawn, *(each for each in quoted if "/" not in each)]
    return {name for text in words for name in NAME.findall(text)} - NOT_OURS


def unknown(page: str) -> set[str]:
    product = text_of_the_product()
    known = points(product)
    return {name for name in named(page) if name not in product and name not in known}


def test_the_page_names_what_the_code_has() -> None:
    page = PAGE.read_text()

    assert {"claim_due_row", "outbox.claimed", "DROPPED"} <= named(page)
    assert unknown(page) == set()


def test_a_name_that_is_gone_would_be_seen() -> None:
    page = "```mermaid\nW->>D: claim_nothing\n```\n`VANISHED` `outbox.eaten`"

    assert unknown(page) == {"claim_nothing", "VANISHED", "outbox.eaten"}


def test_every_point_at_which_a_process_can_be_killed_is_on_the_page() -> None:
    assert points(text_of_the_product()) - named(PAGE.read_text()) == set()
