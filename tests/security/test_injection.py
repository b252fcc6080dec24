"""Text meant for a database, a template or a header is text, and breaks nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from slotbase.accounts.models import User
from tests.bookings.document import served
from tests.bookings.routes import client_of
from tests.factories import make_staff
from tests.security.rows import make_rows, values_of_api

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("_no_limits"),
]

EVIL = (
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE accounts_user; --",
    "1; SELECT pg_sleep(9)",
    "' UNION SELECT password FROM accounts_user --",
    "1) OR (1=1",
    '" OR ""="',
    "%' OR '%'='",
    "\\'; SELECT 1; --",
    "$$; SELECT 1; $$",
    "1 AND (SELECT 1 FROM pg_sleep(9)) IS NULL",
    "/*!50000 OR 1=1*/",
    "%s %(id)s {0} {id}",
    "{{ 7 * 7 }}{% debug %}",
    "${7*7}#{7*7}",
    "x\r\nSet-Cookie: stolen=1",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "\u202e\ufeff\ud7ff",
    "9" * 400,
)
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def root(client: Client, settings: Any) -> Client:
    make_rows(settings)
    client.force_login(make_staff(is_superuser=True))
    return client


def list_of(model: Any) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")


@pytest.mark.usefixtures("_nothing_is_drawn")
def test_the_search_and_filters_of_each_list_take_text_for_text(root: Client) -> None:
    """S26: a search finds nothing by it; a filter finds nothing or is refused."""
    for model in MODELS:
        for evil in EVIL:
            answer = root.get(list_of(model), {"q": evil})
            assert answer.status_code == 200, (model, evil)
            if admin.site.get_model_admin(model).search_fields:
                found = answer.context_data["cl"].result_list
                assert list(found) == [], (model, evil)
        # Each filter gets a few of them, and all of them in turn.
        for number, name in enumerate(("o", "p", "e", *_filters(root, model))):
            for evil in EVIL[number % 4 :: 4]:
                answer = root.get(list_of(model), {name: evil})
                assert answer.status_code in {200, 302}, (model, name, evil)


def _filters(client: Client, model: Any) -> list[str]:
    changelist = client.get(list_of(model)).context_data["cl"]
    return [
        name for spec in changelist.filter_specs for name in spec.expected_parameters()
    ]


def test_text_of_a_search_never_stands_in_a_statement(root: Client) -> None:
    """S26: it is a parameter; in `sql` of a capture parameters are quoted."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        root.get(list_of(User), {"q": "x';DROP"})

    texts = [query["sql"] for query in queries if ";DROP" in query["sql"].upper()]
    assert texts, "the search asked the database"
    assert all("X'';DROP" in text.upper() for text in texts)


def test_a_search_is_shown_as_text(root: Client) -> None:
    text = root.get(list_of(User), {"q": "<script>alert(1)</script>"}).content.decode()

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_a_line_break_in_a_search_makes_no_header(root: Client) -> None:
    for evil in ("x\r\nSet-Cookie: stolen=1", "x%0d%0aSet-Cookie: stolen=1"):
        answer = root.get(list_of(User), {"q": evil, "nonsense": evil})
        assert "stolen" not in answer.cookies


def queries_of_api() -> Iterator[tuple[str, str]]:
    """Every address and parameter that the document has."""
    for path, methods in served()["paths"].items():
        for parameter in methods.get("get", {}).get("parameters", []):
            if parameter["in"] == "query":
                yield path, parameter["name"]


def test_parameters_of_the_api_take_text_for_text(settings: Any) -> None:
    """S26: 400 that names the parameter, or an empty list; never a 500."""
    _, alice = make_rows(settings)
    api, values = client_of(alice), values_of_api(alice)
    asked = list(queries_of_api())

    for path, name in asked:
        address = path.format_map({key: str(value) for key, value in values.items()})
        for evil in EVIL:
            answer = api.get(address, {name: evil})
            assert answer.status_code in {200, 400}, (address, name, evil)
            if answer.status_code == 200:
                assert answer.json()["results"] == [], (address, name, evil)
    assert len(asked) > 5


def test_ids_in_addresses_take_no_text(settings: Any) -> None:
    _, alice = make_rows(settings)
    api = client_of(alice)

    for place in ("bookings", "holds", "waitlist", "resources"):
        for evil in EVIL:
            answer = api.get(f"/api/v1/{place}/{evil}/".replace("..", "%2e%2e"))
            assert answer.status_code == 404, (place, evil)
