"""Every address of the back office: to look changes nothing, to send needs a token.

S18. The addresses are read from Django, so a new page is here by itself; one whose
address needs something that is not known here fails.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.middleware.csrf import CsrfViewMiddleware
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from recovery.models import AuditEntry
from slotbase.accounts.models import User
from tests.recovery.test_admin_pages import rows, superuser

pytestmark = pytest.mark.django_db

__all__ = ("rows", "superuser")
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)")
#: What stands for a parameter that is no row's id.
WORDS = {
    "name": "break-glass",
    "language": "en",
    "app_label": "bookings",
    "content_type_id": "1",
    "url": "nowhere",
}
WRITES = re.compile(
    r"^\s*(INSERT|UPDATE|DELETE|TRUNCATE|WITH\b.*\bINSERT)", re.IGNORECASE | re.DOTALL
)
#: The stamp of a session, which is no data of anybody.
NOT_DATA = "django_session"
REFUSED = "Please try again"


def patterns() -> Iterator[tuple[str, URLPattern]]:
    """Each below /admin/, with all that stands before it."""

    def walk(resolver: URLResolver, before: str) -> Iterator[tuple[str, URLPattern]]:
        for each in resolver.url_patterns:
            path = before + str(each.pattern)
            if isinstance(each, URLResolver):
                yield from walk(each, path)
            else:
                yield path, each

    for path, pattern in walk(get_resolver(), ""):
        if path.startswith("admin/"):
            yield path, pattern


def model_of(path: str) -> Any:
    """The model whose page it is, if any."""
    for model in admin.site._registry:
        meta = model._meta
        if path.startswith(f"admin/{meta.app_label}/{meta.model_name}/"):
            return model
    return None


def addresses() -> dict[str, str]:
    """Each path with an address that it is for."""
    found = {}
    for path, _ in patterns():
        model = model_of(path)

        def fill(match: re.Match[str], model: Any = model) -> str:
            name = match[1] or match[2]
            if name in {"object_id", "pk", "id", "payment_id"}:
                return str(a_row(model).pk)
            return WORDS[name]

        plain = path.replace("^", "").replace("$", "").replace(r"\Z", "")
        found[path] = "/" + PARAMETER.sub(fill, plain)
    return found


def a_row(model: Any) -> Any:
    model = model or User
    rows = model.objects.order_by("pk")
    return (rows.filter(is_staff=True) if model is User else rows)[0]


def without_token(client_of: User) -> dict[str, str]:
    """What each address answers to a form without its token."""
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(client_of)
    return {
        path: strict.post(address, {"x": "1"}).content.decode()
        for path, address in addresses().items()
    }


def test_there_are_as_many_addresses_as_there_should_be(rows: Client) -> None:
    found = addresses()

    assert len(found) > 100
    assert "admin/bookings/booking/<uuid:pk>/refund/" in found
    assert "admin/accounts/user/<uuid:pk>/rights/" in found
    assert "admin/channels/" in found


@pytest.mark.no_cover  # it does much, often
def test_to_look_at_a_page_writes_nothing(rows: Client) -> None:
    """S18: a link, an image or a prefetch changes nothing."""
    before = AuditEntry.objects.count()
    for path, address in addresses().items():
        with CaptureQueriesContext(
            connection,
        ) as asked:
            answer = rows.get(address)

        assert answer.status_code < 500, path
        written = [
            each["sql"]
            for each in asked.captured_queries
            if WRITES.match(each["sql"]) and NOT_DATA not in each["sql"]
        ]
        assert written == [], path
    assert AuditEntry.objects.count() == before


def test_a_page_that_writes_would_be_found() -> None:
    for sql in ("INSERT INTO x", " update x set", "WITH a AS (SELECT 1) INSERT INTO x"):
        assert WRITES.match(sql), sql


def test_a_form_without_its_token_is_refused_everywhere(
    rows: Client, superuser: User
) -> None:
    """S18: by every page, whoever is signed in, before anything is looked at."""
    before = AuditEntry.objects.count()

    answers = without_token(superuser)

    let_in = [path for path, page in answers.items() if REFUSED not in page]
    assert let_in == []
    assert AuditEntry.objects.count() == before


def test_without_the_check_of_tokens_the_same_forms_are_let_in(
    rows: Client, superuser: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CsrfViewMiddleware, "_check_token", lambda _, __: None)

    answers = without_token(superuser)

    assert [path for path, page in answers.items() if REFUSED in page] == []
