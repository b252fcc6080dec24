"""S38, F109: no search of the back office reads whole tables for a letter or two."""

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.recovery.test_admin_pages import PAGES, address, rows, superuser

pytestmark = pytest.mark.django_db

__all__ = ("rows", "superuser")
SEARCHED = sorted(
    (each for each in PAGES if admin.site.get_model_admin(each).search_fields),
    key=lambda model: model.__name__,
)


def patterns_of(client: Client, path: str, words: str) -> list[str]:
    """The statements that look for these words in the middle of texts."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path, {"q": words}).status_code == 200
    return [each["sql"] for each in captured if f"%{words}%".upper() in each["sql"]]


def test_one_or_two_letters_are_looked_for_nowhere(rows: Client) -> None:
    for model in SEARCHED:
        for words in ("Q", "QZ"):
            assert patterns_of(rows, address(model, "changelist"), words) == [], model


def test_three_letters_are_looked_for_somewhere(rows: Client) -> None:
    """The control: so the statements would be seen."""
    found = [patterns_of(rows, address(each, "changelist"), "QZX") for each in SEARCHED]

    assert any(found)
