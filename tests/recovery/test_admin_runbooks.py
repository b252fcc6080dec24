"""Back office: every kind of case leads to the page that says what to do."""

import re

import pytest
from django.test import Client

from recovery import cases
from recovery.runbooks import list_runbooks, read_runbook, runbook_url
from tests.architecture.source import ROOT
from tests.factories import make_staff
from tests.recovery.test_admin_cases import page_of
from tests.recovery.trouble import open_case

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_staff("front_desk"))
    return client


@pytest.mark.parametrize("name", list_runbooks())
def test_each_page_is_shown_to_staff_and_its_links_lead_somewhere(
    staff: Client, name: str
) -> None:
    answer = staff.get(runbook_url(name))

    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<strong>What happened.</strong>" in page
    assert "unsafe-inline" not in answer["Content-Security-Policy"]
    article = page.split("<article")[1].split("</article>")[0]
    for address in re.findall(r'href="(/[^"]+)"', article):
        assert staff.get(address).status_code == 200, address


@pytest.mark.parametrize(
    "name", ["nothing", "README", "..", "readme", "late-money", "late_money.md"]
)
def test_what_is_no_page_is_not_found(staff: Client, name: str) -> None:
    assert read_runbook(name) is None
    assert staff.get(f"/admin/runbooks/{name}/").status_code == 404


def test_others_sign_in_first(client: Client) -> None:
    answer = client.get(runbook_url("late_money"))

    assert answer.status_code == 302
    assert "/admin/login/" in answer["Location"]


def test_every_case_links_its_page(client: Client) -> None:
    client.force_login(make_staff("operations"))
    for kind in cases.registered():
        if kind.startswith("test"):
            continue
        case = open_case(kind, kind=kind, subject_id=str(open_case().pk))
        assert runbook_url(kind) in client.get(page_of(case)).content.decode(), kind


def test_the_image_has_the_pages() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert "COPY docs/runbooks docs/runbooks\n" in dockerfile
    assert "docs" not in ignored
    assert "!docs/runbooks" in ignored
