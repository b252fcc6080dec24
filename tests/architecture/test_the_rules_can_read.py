"""The reader that the other rules rely on sees what they need to see."""

import ast

from tests.architecture.source import PACKAGES, dotted, planted, read_sources


def test_every_package_of_the_product_is_read() -> None:
    folders = {source.path.split("/")[0] for source in read_sources()}

    assert folders == set(PACKAGES)
    assert "bookings/locks.py" in {source.path for source in read_sources()}


def test_texts_are_seen_and_docstrings_are_not() -> None:
    source = planted('"""Mine."""\ndef f():\n    "Mine too."\n    return "a" "b"\n')

    assert [text for _, text in source.strings()] == ["ab"]


def test_a_text_with_gaps_is_one_text() -> None:
    source = planted('x = f"SELECT {a} FOR {b} UPDATE"\n')

    assert [text for _, text in source.strings()] == ["SELECT {} FOR {} UPDATE"]


def test_a_dotted_name_is_put_together() -> None:
    expression = ast.parse("a.b.c", mode="eval").body

    assert dotted(expression) == "a.b.c"
