"""S12, S13, S19: what every answer says to a browser, and what is not there."""

import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as product
from django.test import Client
from django.urls import reverse

from slotbase.lib.middleware import SECURITY_HEADERS
from tests.bookings.routes import client_of
from tests.factories import make_booking, make_customer, make_staff
from tests.lib.test_unsafe_settings import ROOT, SAFE

pytestmark = pytest.mark.django_db

STRICT = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
# Address, status, and whether anybody may keep it.
PAGES = [
    ("/", 302, False),
    ("/admin/", 302, False),
    ("/admin/login/", 200, False),
    ("/admin/nowhere/", 302, False),
    ("/api/docs/", 200, True),
    ("/api/docs/errors/", 200, True),
    ("/api/schema/", 200, True),
    ("/static/slotbase/favicon.svg", 200, True),
    ("/favicon.ico", 302, True),
    ("/health/live", 200, False),
    ("/api/v1/venues/", 200, False),
    ("/api/v1/bookings/", 401, False),
    ("/api/v1/nowhere/", 404, False),
    ("/unsubscribe/wrong/", 404, False),
    ("/webhooks/stripe/", 405, False),
    ("/nowhere", 404, False),
    ("/admin/bookings/booking/?q=%00", 400, False),
]


@pytest.mark.parametrize(("path", "status", "is_public"), PAGES)
def test_every_answer_has_the_headers(path: str, status: int, is_public: bool) -> None:
    answer: Any = Client().get(path)

    # Its `close` would close the connection of this test, too.
    for close in answer._resource_closers:
        close()
    assert answer.status_code == status
    see_headers(answer, referrer="no-referrer" if "unsub" in path else "same-origin")
    assert ("no-store" in answer.get("Cache-Control", "")) is not is_public


def see_headers(answer: Any, referrer: str = "same-origin") -> None:
    said = {name: answer.get(name) for name in STRICT}
    assert said == {**STRICT, "Referrer-Policy": referrer}
    policy = answer["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_pages_of_staff_and_answers_to_customers_have_them(client: Client) -> None:
    alice = make_customer()
    booking = make_booking(customer=alice)
    client.force_login(make_staff(is_superuser=True))
    of_staff = [
        reverse("admin:index"),
        reverse("admin:bookings_booking_changelist"),
        reverse("admin:bookings_booking_change", args=[booking.pk]),
        reverse("admin:recovery_auditentry_changelist"),
        reverse("channels"),
    ]
    answers = [client.get(path) for path in of_staff]
    answers.append(client_of(alice).get(f"/api/v1/bookings/{booking.pk}/"))

    for answer in answers:
        assert answer.status_code == 200
        see_headers(answer)
        assert "no-store" in answer["Cache-Control"]


def test_what_is_refused_before_any_view_has_them() -> None:
    too_large = Client().post(
        "/api/v1/holds/", b"x" * (product.MAX_BODY_BYTES + 1), "application/json"
    )

    assert too_large.status_code == 413
    see_headers(too_large)
    assert too_large["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/v1/venues/", "/admin/", "/"])
def test_an_evil_host_is_a_bad_request(path: str) -> None:
    answer = Client().get(path, headers={"Host": "evil.example"})

    assert answer.status_code == 400
    see_headers(answer)
    assert b"evil.example" not in answer.content


def test_an_evil_host_is_told_as_a_problem() -> None:
    answer = Client().get("/api/v1/venues/", headers={"Host": "evil.example"})

    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "validation_error"


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT"])
@pytest.mark.parametrize("path", ["/", "/api/v1/venues/", "/admin/login/", "/health"])
def test_no_request_is_shown_to_its_sender(method: str, path: str) -> None:
    answer = Client().generic(method, path, headers={"Cookie": "a=canary"})

    assert answer.status_code == 405
    assert answer["Allow"]
    assert b"canary" not in answer.content


PROBE_PATHS = """
/.git/HEAD /.git/config /.env /.env.local /.aws/credentials /.ssh/id_rsa /.htpasswd
/.svn/entries /.DS_Store /.well-known/security.txt /__debug__/ /silk/ /metrics /debug
/debug/pprof/ /actuator /actuator/env /actuator/health /server-status /server-info
/phpinfo.php /index.php /wp-login.php /wp-admin/ /xmlrpc.php /phpmyadmin/ /adminer.php
/console /manager/html /jmx-console /solr/ /jenkins/ /cgi-bin/test.cgi /backup.zip
/backup.sql /dump.sql /db.sqlite3 /config.json /config.yml /settings.py /manage.py
/Dockerfile /docker-compose.yml /package.json /requirements.txt /pyproject.toml
/graphql /api/ /api/v1/ /api/v2/holds/ /api/swagger.json /swagger-ui/ /openapi.json
/api/v1/users/ /api/v1/refunds/ /api/auth/ /flower/ /celery/ /sandbox/ /_sandbox/reset
/static/ /static/../manage.py /static/%2e%2e/manage.py /media/ /robots.txt /telescope
/admin/doc/ /admin/auth/ /admin/jsi18n/x /trace.axd /elmah.axd /.vscode/settings.json
"""
PROBES = PROBE_PATHS.split()


def test_there_are_enough_probes() -> None:
    assert len(PROBES) >= 60


@pytest.mark.parametrize("path", PROBES)
def test_a_probe_finds_nothing(path: str) -> None:
    answer = Client().get(path)

    if path.startswith("/admin/"):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")
    else:
        if answer.status_code == 308:
            answer = Client().get(answer["Location"])
        assert answer.status_code == 404


# --- With the settings of an installation -------------------------------------------

SHOW = """
from django.conf import settings
for name in ("SESSION", "CSRF"):
    print(*(getattr(settings, f"{name}_COOKIE_{part}") for part in
        ("NAME", "SECURE", "HTTPONLY", "SAMESITE", "PATH", "DOMAIN")))
print(settings.SESSION_SERIALIZER, settings.SECURE_HSTS_SECONDS >= 31_536_000)
print(settings.SECURE_HSTS_INCLUDE_SUBDOMAINS, settings.SECURE_HSTS_PRELOAD)
"""


def in_production(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **SAFE, "PUBLIC_URL": "https://b.example"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_cookies_go_to_this_host_alone_and_hold_json() -> None:
    shown = in_production(["shell", "--no-imports", "-c", SHOW])

    assert shown.stdout.splitlines()[-4:] == [
        "__Host-sessionid True True Lax / None",
        "__Host-csrftoken True True Lax / None",
        "django.contrib.sessions.serializers.JSONSerializer True",
        "True False",
    ]


def test_djangos_own_check_of_a_deployment_has_nothing_to_say() -> None:
    done = in_production(["check", "--deploy", "--fail-level", "WARNING"])

    assert done.returncode == 0, done.stderr


def test_a_header_that_is_left_out_would_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(SECURITY_HEADERS, "Permissions-Policy")

    with pytest.raises(AssertionError):
        see_headers(Client().get("/api/docs/"))
