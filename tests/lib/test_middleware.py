"""What every answer has: a request id and a content security policy."""

import re
from typing import Any

import pytest
from django.test import Client

from recovery.models import AuditEntry
from slotbase.lib import redaction, request_id
from tests.factories import make_hold

pytestmark = pytest.mark.django_db

EVERYWHERE = [
    *("/health/live", "/health/ready", "/api/v1/venues/", "/api/v1/holds/"),
    *("/api/schema/", "/api/docs/", "/api/docs/errors/", "/nothing/", "/admin/login/"),
]


@pytest.mark.parametrize("path", EVERYWHERE)
def test_every_answer_has_an_id_of_its_own(path: str) -> None:
    ids = {Client().get(path)["X-Request-Id"] for _ in range(3)}

    assert len(ids) == 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in ids)


@pytest.mark.parametrize(
    "given", ["12345678", "a" * 64, "AZaz09_.-", "0190b6a4-7e1c-7c3e-9d55-3f2a1b0c9d8e"]
)
def test_an_id_that_the_client_gave_is_kept(given: str) -> None:
    answer = Client().get("/nothing/", headers={"X-Request-Id": given})

    assert answer["X-Request-Id"] == given
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        "1234567",
        "a" * 65,
        "with space",
        "a\nSet-Cookie: b=c",
        "<script>x",
        "ümlaut!!",
    ],
)
def test_an_id_that_could_do_harm_is_replaced(given: str) -> None:
    answer = Client().get("/nothing/", headers={"X-Request-Id": given})

    assert re.fullmatch(r"[0-9a-f]{32}", answer["X-Request-Id"])


@pytest.mark.parametrize(
    "given",
    [
        *(
            "4242424242424242",
            "card-4242-4242-4242-4242",
            "sk_" + "live_abcdefgh12345678",
        ),
        *("whsec_abcdefgh12345678", "a-token-of-whoever-watches"),
    ],
)
def test_an_id_that_must_not_stand_in_logs_is_replaced(
    given: str, settings: Any
) -> None:
    """S31, S20: it stands in every line, and nothing blanks it there."""
    settings.OPS_TOKEN = "a-token-of-whoever-watches"
    redaction._values.cache_clear()

    answer = Client().get("/nothing/", headers={"X-Request-Id": given})

    redaction._values.cache_clear()
    assert re.fullmatch(r"[0-9a-f]{32}", answer["X-Request-Id"])


def test_the_id_is_in_the_history_and_gone_when_the_request_is_over() -> None:
    request_id.begin("request-17")
    make_hold()
    request_id.end()
    make_hold()

    ids = AuditEntry.objects.order_by("id").values_list("request_id", flat=True)
    assert [*ids] == ["request-17", ""]


@pytest.mark.parametrize("path", EVERYWHERE)
def test_every_answer_forbids_what_is_not_ours(path: str) -> None:
    answer = Client().get(path)

    policy = dict(
        part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; ")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("path", ["/api/docs/", "/api/docs/errors/", "/api/schema/"])
def test_the_pages_about_the_api_can_only_be_read(path: str) -> None:
    assert Client().head(path).status_code == 200
    assert Client().post(path).status_code == 405


@pytest.mark.parametrize("query", ["status__exact=%00", "q=%00", "%00=1"])
def test_a_filter_with_a_nul_character_is_refused_by_a_page(query: str) -> None:
    answer = Client().get(f"/admin/bookings/booking/?{query}")

    assert (answer.status_code, answer["Content-Type"][:9]) == (400, "text/html")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"CONTENT_LENGTH": "999999999"}, 413),
        ({"CONTENT_LENGTH": "many"}, 400),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 400),
    ],
)
def test_a_body_that_is_refused_is_refused_by_a_page_in_the_back_office(
    headers: dict[str, str], status: int
) -> None:
    page = Client().post("/admin/login/", **headers)
    problem = Client().post("/api/v1/holds/", **headers)

    assert (page.status_code, page["Content-Type"][:9]) == (status, "text/html")
    assert problem.status_code == status
    assert problem["Content-Type"] == "application/problem+json"
