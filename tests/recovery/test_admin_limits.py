"""Every page of the back office: what nobody deletes, asks for, or may do any more.

The pages and their rows are those of `test_admin_pages`; a test goes through all.
"""

import logging
from itertools import product
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models.deletion import CASCADE
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from bookings.models import Booking, DateException
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import User, Venue
from slotbase.accounts.services.groups import MATRIX
from slotbase.lib.backoffice import BackOfficeAdmin
from tests.factories import make_staff
from tests.recovery.test_admin_pages import (
    PAGES,
    address,
    rows,
    superuser,
)

pytestmark = pytest.mark.django_db

__all__ = ("rows", "superuser")
# Special days are plans; all other rows are money, history, or what these refer to.
KEPT = sorted(PAGES - {DateException}, key=lambda model: model.__name__)
EACH = sorted(PAGES, key=lambda model: model.__name__)


def everybody() -> User:
    """Somebody with every right that there is, beside those that code refuses."""
    anna = make_staff("auditor", venues=Venue.objects.all())
    anna.user_permissions.set(Permission.objects.all())
    return anna


# --- Nothing is deleted -----------------------------------------------------------


def test_whoever_has_every_right_deletes_nothing(rows: Client) -> None:
    rows.force_login(everybody())
    for model in KEPT:
        row = model.objects.order_by("pk")[0]

        assert rows.get(address(model, "delete", row.pk)).status_code == 403
        answer = rows.post(address(model, "delete", row.pk), {"post": "yes"})

        assert answer.status_code == 403, model
        assert model.objects.filter(pk=row.pk).exists(), model
        page = rows.get(address(model, "change", row.pk)).content.decode()
        assert "deletelink" not in page, model


def test_whoever_has_every_right_deletes_nothing_in_bulk(rows: Client) -> None:
    rows.force_login(everybody())
    for model in EACH:
        ids = [str(pk) for pk in model.objects.values_list("pk", flat=True)]
        page = address(model, "changelist")

        chosen = {"action": "delete_selected", "_selected_action": ids, "post": "yes"}
        rows.post(page, chosen)

        assert model.objects.filter(pk__in=ids).count() == len(ids), model
        assert "delete_selected" not in rows.get(page).content.decode(), model


def test_no_group_has_a_right_to_delete_what_is_kept() -> None:
    kept = {
        f"{model._meta.app_label}.delete_{model._meta.model_name}" for model in KEPT
    }

    for group, rights in MATRIX.items():
        assert not rights & kept, group


def test_to_delete_a_plan_takes_no_money_or_history_with_it() -> None:
    """What may be deleted cascades to nothing that is kept."""
    followers = {
        relation.related_model
        for relation in DateException._meta.related_objects
        if relation.on_delete is CASCADE
    }

    assert followers.isdisjoint(KEPT)
    assert {model.__name__ for model in followers} == {"SlotClaim"}


# --- Rights that were taken meanwhile ----------------------------------------------


def forms_of(page: Any) -> dict[str, str]:
    """What a browser would send of the page that is open."""
    context = page.context or {}
    form = getattr(context.get("adminform"), "form", None)
    values = {name: form[name].value() for name in form.fields} if form else {}
    sent = {name: str(value) for name, value in values.items() if value}
    for formset in context.get("inline_admin_formsets", ()):
        management = formset.formset.management_form
        sent |= {
            management.add_prefix(k): str(v) for k, v in management.initial.items()
        }
    return sent


def buttons_of(page: Any) -> list[str]:
    return [*(page.context or {}).get("row_actions", {}), "save"]


@pytest.mark.parametrize("taken", ["rights", "staff", "account"])
def test_a_right_that_is_taken_while_a_page_is_open_is_gone(
    rows: Client, taken: str
) -> None:
    anna = everybody()
    rows.force_login(anna)
    pages = {}
    for model in EACH:
        row = model.objects.order_by("pk")[0]
        pages[model] = (row, rows.get(address(model, "change", row.pk)))
        assert pages[model][1].status_code == 200, model
    take(anna, taken)

    for model, (row, page) in pages.items():
        before = snapshot(model, row)
        for button in buttons_of(page):
            typed = {**forms_of(page), "do": button, "reason": "x", "evidence": "x"}
            answer = rows.post(address(model, "change", row.pk), typed)
            # Who is no staff any more is not signed in any more.
            expected = 403 if taken == "rights" else 302
            assert answer.status_code == expected, (model, button)
        assert snapshot(model, row) == before, model


def take(anna: User, what: str) -> None:
    if what == "rights":
        anna.groups.clear()
        anna.user_permissions.clear()
    elif what == "staff":
        User.objects.filter(pk=anna.pk).update(is_staff=False)
    else:
        User.objects.filter(pk=anna.pk).update(is_active=False)


def test_with_the_right_the_same_button_does_something(rows: Client) -> None:
    """The control: what was sent above is what the page takes."""
    rows.force_login(everybody())
    case = Case.objects.filter(kind="dead_letter").get()
    page = rows.get(address(Case, "change", case.pk))
    before = snapshot(Case, case)

    typed = {**forms_of(page), "do": "claim", "version": str(case.version)}
    rows.post(address(Case, "change", case.pk), typed)

    assert snapshot(Case, case) != before


def snapshot(model: Any, row: Any) -> Any:
    return model.objects.filter(pk=row.pk).values().get(), AuditEntry.objects.count()


# --- Questions that nobody should ask -----------------------------------------------

ODD_QUERIES = (
    "status__startswith=A",
    "customer__email__startswith=a",
    "customer__password__contains=pbkdf2",
    "claimed_by__password__startswith=p",
    "user__password=x",
    "payable__customer__email=x",
    "id__gt=0",
    "no_such_column=1",
    "a__b__c=1",
    "status__exact=NO_SUCH_STATE",
    "resource__venue__id__exact=x",
    "_to_field=password",
    "_popup=1&_to_field=email",
    "p=0",
    "p=-1",
    "p=1000000",
    "p=x",
    "all=",
    "o=99",
    "o=x",
    "o=1.2.3.-4",
    "e=1",
    "_facets=1",
    "day=2024-13-45",
    "date__year=99999999999",
    "q=ab",
    "q=%27%22%5C%25_",
    "q=" + "x" * 2000,
    "action=delete_selected",
)
MOST_QUERIES = 25


@pytest.mark.timeout(300)  # a thousand pages
@pytest.mark.no_cover  # it does much, often
def test_odd_questions_get_a_list_or_the_way_back_to_it(
    rows: Client, settings: Any
) -> None:
    settings.THROTTLE_USER_PER_MINUTE = 10_000  # it is many questions
    rows.force_login(everybody())
    for model, query in product(EACH, ODD_QUERIES):
        with CaptureQueriesContext(connection) as captured:
            answer = rows.get(f"{address(model, 'changelist')}?{query}")
        is_back = answer.status_code == 302 and answer["Location"].endswith("?e=1")
        assert answer.status_code == 200 or is_back, (model, query, answer.status_code)
        assert len(captured) <= MOST_QUERIES, (model, query)
        assert not [each for each in captured if counts_all(each["sql"])], model


def counts_all(sql: str) -> bool:
    return "COUNT(*)" in sql and "LIMIT" not in sql


def test_they_leave_no_traceback_in_the_logs(
    rows: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for query in ODD_QUERIES:
            rows.get(f"{address(Booking, 'changelist')}?{query}")

    assert [record.name for record in caplog.records if record.exc_info] == []


def test_without_our_answer_django_would_log_one(
    rows: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(BackOfficeAdmin, "get_changelist_instance")

    with caplog.at_level(logging.DEBUG):
        answer = rows.get(f"{address(Booking, 'changelist')}?status__startswith=A")

    assert answer.status_code == 400
    assert [record.name for record in caplog.records if record.exc_info] == [
        "django.security.DisallowedModelAdminLookup"
    ]


def test_no_private_column_can_be_asked_for_or_sorted_by() -> None:
    request = RequestFactory().get("/")
    request.user = make_staff("auditor")  # sees everything but who people are
    for model, column in product(EACH, PRIVATE):
        page = admin.site._registry[model]
        assert isinstance(page, BackOfficeAdmin)
        for path in (column, f"customer__{column}", f"user__{column}"):
            for lookup in ("", "__startswith", "__contains", "__gt"):
                assert not page.lookup_allowed(path + lookup, "x", request), path
        assert column not in page.get_sortable_by(request), model


PRIVATE = ("password", "email", "phone", "client_secret", "payload", "text")


# --- Every history is shown ----------------------------------------------------------

#: Whose rows have no history of their own, and why.
WITHOUT = {
    "AuditEntry": "it is the history",
    "OutboxEvent": "it tells of a move of something else, and never changes",
    "Heartbeat": "a sign of life",
    "AlertNotice": "what was told; how that went stands beside it",
    "ReconciledDay": "sums that were seen",
    "ProviderStatus": "what was heard of it last",
    "Group": "written by the code",
    "TokenBudget": "a number that workers count",
}


def test_every_page_of_something_with_a_history_shows_it(rows: Client) -> None:
    for model in EACH:
        row = model.objects.order_by("pk")[0]

        page = rows.get(address(model, "change", row.pk)).content.decode()

        shows = 'class="timeline"' in page or "Nothing is on record." in page
        assert shows is (model.__name__ not in WITHOUT), model
