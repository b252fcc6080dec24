"""S19: whatever somebody wrote is text on every page of the back office."""

import html
import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import DatabaseError, connection, models, transaction
from django.test import Client

from tests.recovery.test_admin_pages import EACH_PAGE, address, rows, superuser

__all__ = ["rows", "superuser"]
pytestmark = [pytest.mark.django_db, pytest.mark.breaks_invariants]

EVIL = "<script>x</script>"
RAW = re.compile(r"<script>x|<script[^>]*>x</script", re.IGNORECASE)
OURS = {"accounts", "recovery", "notifications", "payments", "bookings"}
# What is read as something else than words.
KEPT = re.compile(
    r"status|state|kind|currency|time_zone|method|mode|severity|role|locale|channel"
    r"|topic|platform|sealed|hash|slug|task|name_of|provider$|queue|category|password|username|session"
    r"|subject|actor|action|workflow|handler|language|collapse|key|step|type|from_|to_"
)


def poison() -> set[str]:
    """Write it into every free text of every row, past all checks; returns where."""
    written = set()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
    for model in apps.get_models():
        if model._meta.app_label not in OURS or model._meta.proxy:
            continue
        for field in model._meta.local_concrete_fields:
            if is_free_text(field) and fill(model, field):
                written.add(f"{model.__name__}.{field.name}")
            if isinstance(field, models.JSONField) and fill_json(model, field):
                written.add(f"{model.__name__}.{field.name}")
    return written


def is_free_text(field: Any) -> bool:
    is_text = isinstance(field, models.CharField | models.TextField)
    is_long = getattr(field, "max_length", None) is None or field.max_length > 18
    plain = not field.choices and not field.primary_key and not field.unique
    return is_text and is_long and plain and not KEPT.search(field.name)


def fill(model: Any, field: Any) -> bool:
    return try_to(f'UPDATE "{model._meta.db_table}" SET "{field.column}" = %s', [EVIL])


def fill_json(model: Any, field: Any) -> bool:
    """Into an object, beside what is read from it."""
    return try_to(
        f'UPDATE "{model._meta.db_table}" SET "{field.column}" = "{field.column}" ||'
        " jsonb_build_object(%s::text, %s::text, 'reason', %s::text)"
        f" WHERE jsonb_typeof(\"{field.column}\") = 'object'",
        [EVIL, EVIL, EVIL],
    )


def try_to(statement: str, values: list[str]) -> bool:
    """A column that a constraint ties to others is left as it is."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.rowcount > 0
    except DatabaseError:
        return False


@EACH_PAGE
def test_what_is_stored_is_text_on_lists_and_pages(rows: Client, model: Any) -> None:
    written = poison()
    assert written >= {
        *("Resource.name", "Venue.name", "User.name", "OfflinePayment.note"),
        *("DateException.note", "AuditEntry.reason", "Refund.evidence"),
        *("InboxEvent.payload", "DeadLetter.kwargs", "Case.details", "Case.title"),
    }

    pages = [rows.get(address(model, "changelist"))]
    for row in model.objects.order_by("pk")[:2]:
        pages.append(rows.get(address(model, "change", row.pk)))
        pages.append(rows.get(address(model, "history", row.pk)))

    for page in pages:
        assert page.status_code == 200, page
        assert not RAW.search(page.content.decode()), page.request["PATH_INFO"]


def test_it_is_there_and_escaped(rows: Client) -> None:
    from bookings.models import Resource

    poison()
    page = rows.get(address(Resource, "changelist")).content.decode()

    assert html.escape(EVIL) in page
    assert len(admin.site._registry) > 20


def test_a_page_that_trusts_what_is_stored_would_be_seen() -> None:
    assert RAW.search(f"<td>{EVIL}</td>")
