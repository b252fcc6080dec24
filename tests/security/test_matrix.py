"""Every address x role x method answers as the table says (S1, S2, S14)."""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLResolver

from slotbase.accounts.models import RevokedSession, User, Venue
from slotbase.accounts.services import signing_keys
from tests.bookings.routes import shortest_body
from tests.conftest import Sandbox
from tests.factories import make_booking, make_customer, make_staff, make_venue
from tests.security import matrix
from tests.security.rows import first_of, make_rows, values_at, values_of_api

PUBLIC = re.compile(
    r"$|health|api/(schema|docs)/|api/v1/(venues|resources)/|webhooks|\^webhooks"
    r"|unsubscribe/|favicon|admin/login/|admin/logout/"
)
#: Pages of people that customers do not have.
OF_STAFF = re.compile(r"admin/accounts/user/.*/(rights|reset-factor|password)/")
_PLACE = re.compile(r"<(?:\w+:)?(\w+)>")


# --- Addresses ----------------------------------------------------------------------


def list_routes(resolver: Any = None, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every route with the name of its view, in the order of the URL conf."""
    for each in (resolver or get_resolver()).url_patterns:
        path = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from list_routes(each, path)
        else:
            yield path, each.name or ""


def addresses(alice: User) -> dict[str, str]:
    """An address for each route, filled in with a row of Alice's."""
    values = values_of_api(alice)
    return {route: _fill(route, values, alice) for route, _ in list_routes()}


def _fill(route: str, values: dict[str, Any], alice: User) -> str:
    if route.startswith("^webhooks"):
        return "/webhooks/stripe/"
    if "<app_label>" in route:
        return "/admin/bookings/"
    if "<url>" in route:
        return "/admin/nowhere/"
    named = {"name": "webhook_failure", "language": "en"}
    values = {**values_at(route, values), **named}
    if route.startswith("admin/texts"):
        values["name"] = "booking_confirmed"
    if route.startswith("admin/runbooks"):
        values["name"] = "webhook-failure"
    if page := re.match(r"admin/([a-z_]+)/([a-z]+)/.*<", route):
        others = User.objects.filter(is_staff=True).order_by("pk")  # before who asks
        staff = OF_STAFF.match(route) and others[:1]
        pk = staff[0].pk if staff else first_of(*page.groups(), alice)
        values |= dict.fromkeys(("id", "object_id", "pk", "payment_id"), pk)
    if route.startswith("admin/r/"):
        type_ = ContentType.objects.get_for_model(User)
        values |= {"content_type_id": type_.pk, "object_id": alice.pk}
    return "/" + _PLACE.sub(lambda place: str(values[place[1]]), route)


# --- People -------------------------------------------------------------------------


def with_token(sandbox: Sandbox, customer: User) -> Client:
    """A customer as Clerk's session tokens say it; nothing of it is faked."""
    assert customer.clerk_id is not None
    token = sandbox.token(customer.clerk_id, ttl=3600)
    return _client(headers={"Authorization": f"Bearer {token}"})


def _client(**more: Any) -> Client:
    return Client(raise_request_exception=False, **more)


def _revoked(sandbox: Sandbox, customer: User) -> Client:
    minted = sandbox.post("/_sandbox/tokens", {"sub": customer.clerk_id, "ttl": 3600})
    RevokedSession.objects.create(session_id=minted["sid"])
    return _client(headers={"Authorization": f"Bearer {minted['token']}"})


def _staff(**over: Any) -> tuple[Client, User]:
    user = make_staff(**over)
    client = _client()
    client.force_login(user)
    return client, user


Person = tuple[Client, User | None]


def make_people(sandbox: Sandbox, venue: Venue, alice: User) -> dict[str, Person]:
    """Somebody of each role, signed in; whose row it is comes after all others."""
    elsewhere = make_venue()
    charlie = make_customer("Charlie Carter")
    make_booking(customer=charlie)  # or they would be erased on the way
    people: dict[str, Person] = {
        "anonymous": (_client(), None),
        "stranger": (with_token(sandbox, charlie), None),
        "revoked": (_revoked(sandbox, alice), None),
    }
    for group in matrix.GROUPS:
        people[group] = _staff(group=group, venues=[venue])
        people[f"{group} elsewhere"] = _staff(group=group, venues=[elsewhere])
    people["no group"] = _staff(venues=[venue])
    people["superuser"] = _staff(is_superuser=True)
    people["owner"] = (with_token(sandbox, alice), None)
    assert {*people} == {*matrix.ROLES}
    return people


# --- Answers ------------------------------------------------------------------------


def ask(person: Person, method: str, address: str) -> str:
    """The answer in one word, as the table has it."""
    client, user = person
    if user is not None and address == "/admin/logout/":
        client.force_login(user)
    more = {"X-HTTP-Method-Override": "DELETE"} if method == "POST*" else {}
    answer = client.generic(
        method.rstrip("*"),
        address,
        json.dumps(shortest_body(address)) if address.startswith("/api/") else "",
        "application/json"
        if address.startswith("/api/")
        else "application/x-www-form-urlencoded",
        headers={"Idempotency-Key": "matrix-key-1", **more},
    )
    if user is not None and address == "/admin/logout/":
        client.force_login(user)
    # How we are is told with 200 or 503: either way they got it.
    is_health = address == "/health" and answer.status_code == 503
    return "ok" if is_health else _word(answer)


def _word(answer: Any) -> str:
    status = answer.status_code
    if status < 300:
        return "ok"
    if status >= 400:
        return str(status)
    where = answer["Location"]
    if where.startswith("/admin/login/"):
        return "login"
    return "away" if where == "/admin/" else "goes"


def measure(sandbox: Sandbox, settings: Any, area: str) -> matrix.Table:
    """What the product really answers, at the addresses of an area."""
    signing_keys.forget_cached_keys()
    venue, alice = make_rows(settings)
    people = make_people(sandbox, venue, alice)
    table: matrix.Table = {}
    for route, address in addresses(alice).items():
        for method in methods_of(route) if area_of(route) == area else ():
            cells = {role: ask(who, method, address) for role, who in people.items()}
            table[route, method] = tuple(cells[role] for role in matrix.ROLES)
    return table


def methods_of(route: str) -> tuple[str, ...]:
    """Pages are asked to GET and POST; the other methods have a test of their own.

    HEAD and an override are the same code as GET and POST there, and what is left is
    refused before anybody looks who asks: all of it is asked of one role.
    """
    return ("GET", "POST") if route.startswith("admin/") else matrix.METHODS


def area_of(route: str) -> str:
    """A part of the product that is asked in one test."""
    parts = route.split("/")
    if parts[0] != "admin":
        return "api" if parts[0] == "api" else "the rest"
    return parts[1] if parts[1] in APPS else "admin"


APPS = {model._meta.app_label for model in admin.site._registry}
AREAS = sorted({area_of(route) for route, _ in list_routes()})


@pytest.mark.timeout(900)
@pytest.mark.parametrize("area", AREAS)
@pytest.mark.django_db
@pytest.mark.usefixtures("_nothing_is_drawn", "_no_limits")
def test_each_role_and_method_is_answered_as_the_table_says(
    sandbox: Sandbox, settings: Any, area: str
) -> None:
    """S1, S2, S14: BOLA, BFLA, and all that staff must not reach."""
    told = measure(sandbox, settings, area)

    if os.environ.get("WRITE_MATRIX"):
        write({**matrix.read(), **told})
    expected = matrix.read()
    assert [line for key in told for line in differences(key, expected, told)] == []


def differences(
    key: tuple[str, str], expected: matrix.Table, told: matrix.Table
) -> Iterator[str]:
    """`anonymous GET admin/: 302 became 200`, one for each role."""
    route, method = key
    cells = expected.get(key, ("no line",) * len(matrix.ROLES))
    for role, should, is_ in zip(matrix.ROLES, cells, told[key], strict=True):
        if should != is_:
            yield f"{role} {method} {route}: {should} became {is_}"


def write(table: matrix.Table) -> None:
    """Table and page anew, in the order of the URL conf and without what is gone."""
    order = [(route, method) for route, _ in list_routes() for method in matrix.METHODS]
    table = {key: table[key] for key in order if key in table}
    matrix.TABLE.write_text(matrix.say(table))
    matrix.PAGE.write_text(matrix.say_page(table))


@pytest.mark.timeout(600)
@pytest.mark.django_db
@pytest.mark.usefixtures("_nothing_is_drawn", "_no_limits")
def test_other_methods_of_pages_are_refused_or_the_same(settings: Any) -> None:
    """S2: of the superuser, who gets furthest; no header makes a POST a DELETE."""
    _, alice = make_rows(settings)
    root = _staff(is_superuser=True)
    table = matrix.read()
    pages = {r: a for r, a in addresses(alice).items() if r.startswith("admin/")}

    for route, address in pages.items():
        # Django sends whoever is signed in on from a GET of the sign-in page alone.
        if route == "admin/login/":
            continue
        same = {"HEAD": table[route, "GET"][-1], "POST*": table[route, "POST"][-1]}
        for method in {*matrix.METHODS} - {"GET", "POST"}:
            told = ask(root, method, address)
            assert told == same.get(method, "405"), (route, method)


def test_no_view_of_a_page_sees_another_method(client: Client) -> None:
    """The other roles: the answer is there before anybody looks who asks."""
    names = settings.MIDDLEWARE
    refuses = names.index("slotbase.lib.middleware.known_methods")

    assert refuses < names.index("slotbase.lib.back_office_only.Sessions")
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"):
        answer = client.generic(method, "/admin/")
        assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, POST")


# --- The table itself ---------------------------------------------------------------


def test_every_route_has_its_lines_and_every_line_its_route() -> None:
    wanted = {(route, m) for route, _ in list_routes() for m in methods_of(route)}

    assert set(matrix.read()) == wanted


def test_a_route_without_a_line_is_noticed() -> None:
    """The control of the test above."""
    table = matrix.read()
    table.pop(("api/v1/bookings/", "GET"))
    told = matrix.read()

    lines = list(differences(("api/v1/bookings/", "GET"), table, told))

    assert "owner GET api/v1/bookings/: no line became ok" in lines


def who_may(route: str, method: str) -> set[str]:
    cells = matrix.read()[route, method]
    reached = matrix.REACHED - {"goes"}
    return {r for r, cell in zip(matrix.ROLES, cells, strict=True) if cell in reached}


def test_no_answer_is_a_crash() -> None:
    assert [key for key, cells in matrix.read().items() if "500" in cells] == []


def test_without_a_sign_in_there_is_what_is_public_and_no_more() -> None:
    """S2, S14: a new route is closed unless PUBLIC names it."""
    opened = {
        route
        for route, method in matrix.read()
        if {"anonymous", "revoked"} & who_may(route, method)
    }

    assert {route for route in opened if not PUBLIC.match(route)} == set()


def test_customers_get_into_no_page_and_staff_into_no_api() -> None:
    staff = {*matrix.ROLES[4:]}
    for route, method in matrix.read():
        if PUBLIC.match(route):
            continue
        may = who_may(route, method)
        if route.startswith("admin/"):
            assert not may & {"anonymous", "owner", "stranger", "revoked"}, route
        else:
            assert not may & staff, route


def test_a_stranger_has_nothing_of_somebody_else() -> None:
    """S1: 404 as if it were not there; OPTIONS tells nothing of it."""
    for route, method in matrix.read():
        if "<uuid:" in route and route.startswith("api/") and method != "OPTIONS":
            assert "stranger" not in who_may(route, method), (route, method)


def test_staff_without_a_group_have_their_own_account_only() -> None:
    """S14."""
    theirs = {
        route
        for route, method in matrix.read()
        if "no group" in who_may(route, method)
        and route.startswith("admin/")
        and not PUBLIC.match(route)
    }

    assert theirs == {
        *("admin/", "admin/jsi18n/", "admin/my-sign-in/"),
        *("admin/password_change/", "admin/password_change/done/"),
    }


def test_rows_of_other_venues_are_not_there() -> None:
    """S1: for groups that are bound to venues, of all that belongs to one."""
    bound = ("front_desk", "manager", "support", "support_lead")
    of_venues = re.compile(r"admin/(bookings|payments/(?!reconcil)|accounts/venue).*<")
    for route, method in matrix.read():
        if of_venues.match(route):
            others = {f"{group} elsewhere" for group in bound}
            assert not who_may(route, method) & others, (route, method)


def test_nobody_deletes_but_special_days() -> None:
    """F71: not even the superuser."""
    deletes = [key for key in matrix.read() if "/delete/" in key[0]]
    opened = {route.split("/")[2] for route, m in deletes if who_may(route, m)}

    assert len(deletes) > 50
    assert opened == {"dateexception"}


def test_operations_see_no_sales_and_no_money() -> None:
    for route, method in matrix.read():
        if re.match(r"admin/(bookings/(?!tokenbudget)|payments/(?!reconcil))", route):
            assert "operations" not in who_may(route, method), (route, method)


def test_only_what_is_named_is_for_superusers_alone() -> None:
    """No surprise: what the break-glass account can, and nobody else."""
    assert matrix.only_superusers(matrix.read()) == ONLY_SUPERUSERS


def test_the_page_for_people_says_the_same() -> None:
    assert matrix.PAGE.read_text() == matrix.say_page(matrix.read())


ONLY_SUPERUSERS: list[tuple[str, str]] = []
