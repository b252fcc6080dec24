"""S10: nothing is fetched but what the settings name, and no answer leads elsewhere."""

import ast
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured

from slotbase.devstack.google import make_service_account
from slotbase.lib import egress
from slotbase.lib.checks import refuse_unsafe_settings
from slotbase.lib.redaction import SECRETS
from slotbase.providers.alerts.client import post_notice
from slotbase.providers.clerk import client as clerk
from slotbase.providers.errors import ProviderError
from slotbase.providers.fcm import transport as fcm
from slotbase.providers.http import MAX_ANSWER_BYTES as OF_OTHERS
from slotbase.providers.http import DirectSession, request
from slotbase.providers.openai import wire as openai
from slotbase.providers.resend import client as resend
from slotbase.providers.stripe import transport as stripe
from tests.architecture.source import Source, breaches, dotted, planted
from tests.lib.test_unsafe_settings import SAFE
from tests.providers.conftest import OddServer, odd_server

__all__ = ["odd_server"]
MEBIBYTE = 1024 * 1024
Start = Callable[..., OddServer]


@pytest.fixture
def secret_place() -> Iterator[Any]:
    """A server on this computer that nobody should reach; it tells who did."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.setblocking(False)
        yield listener


def was_reached(listener: socket.socket) -> bool:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True


def redirect_to(listener: socket.socket) -> Callable[[socket.socket], None]:
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data"

    def script(connection: socket.socket) -> None:
        head = f"HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Length: 0\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())

    return script


@pytest.mark.parametrize("follows", [True, False, None])
def test_a_redirect_into_the_house_is_not_followed(
    odd_server: Start, secret_place: socket.socket, follows: bool | None
) -> None:
    server = odd_server(redirect_to(secret_place))
    options = {} if follows is None else {"allow_redirects": follows}

    answer = DirectSession().get(server.url, timeout=5, **options)

    assert answer.status_code == 302
    assert not was_reached(secret_place)


def test_a_plain_session_would_have_followed_it(
    odd_server: Start, secret_place: socket.socket
) -> None:
    server = odd_server(redirect_to(secret_place))

    with pytest.raises(requests.RequestException):
        requests.get(server.url, timeout=0.5)

    assert was_reached(secret_place)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_gets_nothing(
    odd_server: Start,
    secret_place: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    port = secret_place.getsockname()[1]
    monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
    server = odd_server(lambda it: it.sendall(b"HTTP/1.0 204 No Content\r\n\r\n"))

    assert request("GET", server.url, timeout=5).status_code == 204
    assert not was_reached(secret_place)


def test_a_proxy_of_the_settings_is_used(odd_server: Start, settings: Any) -> None:
    proxy = odd_server(lambda it: it.sendall(b"HTTP/1.0 204 No Content\r\n\r\n"))
    settings.PROVIDER_PROXY_URL = proxy.url

    assert request("GET", "http://nowhere.invalid/x", timeout=5).status_code == 204
    assert proxy.request.startswith(b"GET http://nowhere.invalid/x ")


def test_the_sdk_of_firebase_is_confined_as_well(settings: Any) -> None:
    settings.FCM_CREDENTIALS = make_service_account("http://127.0.0.1:9/token")
    session = fcm.line().service._client.session

    assert not session.trust_env
    assert session.get_redirect_target(requests.Response()) is None


def test_no_client_reads_more_than_a_mebibyte() -> None:
    caps = [each.MAX_ANSWER_BYTES for each in (clerk, fcm, openai, resend, stripe)]

    assert max([OF_OTHERS, *caps]) <= MEBIBYTE


# --- Where clients are made ------------------------------------------------------

FACTORY = "slotbase/providers/http.py"
# An SDK wants its client in this form; what it makes goes through the factory.
OF_AN_SDK = "slotbase/providers/openai/wire.py"
# These speak to our own product or play the providers, and are in no image.
OF_DEVELOPERS = ("slotbase/devstack/", "slotbase/sandbox/")
MAKERS = {
    *("requests.Session", "requests.session", "requests.sessions.Session"),
    *(f"requests.{verb}" for verb in ("request", "get", "post", "put", "patch")),
    *("requests.delete", "requests.head", "requests.options"),
    *("urllib3.PoolManager", "urllib3.ProxyManager", "urllib3.request"),
    *("http.client.HTTPConnection", "http.client.HTTPSConnection"),
    *("urllib.request.urlopen", "urllib.request.build_opener", "socket.socket"),
    "socket.create_connection",
}
MODULES = {"httpx", "httpx2", "aiohttp", "urllib.request", "ftplib", "smtplib"}
MADE_FROM = {"requests": {"Session", "get", "post"}, "http.client": {"HTTPConnection"}}


def clients_of_their_own(source: Source) -> Iterator[str]:
    if source.path in {FACTORY, OF_AN_SDK} or source.path.startswith(OF_DEVELOPERS):
        return
    for node in source.nodes(ast.Call):
        assert isinstance(node, ast.Call)
        if dotted(node.func) in MAKERS:
            yield source.at(node, dotted(node.func))
    for node in source.nodes(ast.Import, ast.ImportFrom):
        yield from (source.at(node, name) for name in _foreign(node))


def _foreign(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names if each.name in MODULES]
    assert isinstance(node, ast.ImportFrom)
    names = {each.name for each in node.names}
    taken = names & MADE_FROM.get(node.module or "", set())
    return [*taken, *({node.module or ""} & MODULES)]


def test_one_factory_makes_all_clients() -> None:
    assert breaches(clients_of_their_own) == []


@pytest.mark.parametrize(
    "fault",
    [
        "import requests\nrequests.get('https://x')",
        "import requests\nwith requests.Session() as s: pass",
        "from requests import Session",
        "import httpx",
        "from urllib.request import urlopen",
        "import http.client\nhttp.client.HTTPConnection('x')",
        "import urllib3\nurllib3.PoolManager()",
    ],
)
def test_a_client_of_its_own_would_be_seen(fault: str) -> None:
    assert [*clients_of_their_own(planted(fault, "slotbase/providers/x.py"))]


# --- Which addresses may stand in the settings -------------------------------------

INSIDE = [
    "https://169.254.169.254/latest/meta-data",
    "https://[fd00:ec2::254]/",
    "https://metadata.google.internal/",
    "https://127.0.0.1/",
    "https://localhost/",
    "https://localhost./",
    "https://10.0.0.7/",
    "https://192.168.1.1/",
    "https://172.16.3.4:8443/hook",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[fe80::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://224.0.0.1/",
    "https://[ff0e::1]/",
    "https://[::ffff:224.0.0.1]/",
    "https://\u246027.0.0.1/",
    "https://169\u3002254\u3002169\u3002254/",
    "https://2852039166/",
    "https://0xA9FEA9FE/",
    "https://127.1/",
    "https://0251.0376.0251.0376/",
    "https://redis/",
    "https://api.stripe.com@169.254.169.254/",
]


def start_with(settings: Any, **over: Any) -> None:
    settings.DEMO, settings.HTTPS_ONLY = False, True
    settings.ALLOWED_HOSTS = ["slotbase.example"]
    settings.CLERK_ISSUER = "https://clerk.slotbase.example"
    settings.CLERK_AUTHORIZED_PARTIES = ["https://app.slotbase.example"]
    settings.BACK_OFFICE_URL = ""
    for name in egress.CALLED:
        setattr(settings, name, "https://api.example.com/x")
    settings.FCM_CREDENTIALS = ""
    for name in SECRETS[2:]:
        setattr(settings, name, type(getattr(settings, name))())
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = SAFE["SECRET_KEY"], []
    for name, value in over.items():
        setattr(settings, name, value)
    refuse_unsafe_settings()


@pytest.mark.parametrize("address", INSIDE)
@pytest.mark.parametrize("name", ["ALERT_WEBHOOK_URL", "CLERK_JWKS_URL"])
def test_no_process_starts_with_an_address_inside(
    settings: Any, name: str, address: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{name}: must not "):
        start_with(settings, **{name: address})


@pytest.mark.parametrize("name", egress.CALLED)
def test_every_address_that_is_called_is_looked_at(settings: Any, name: str) -> None:
    for address in ("http://169.254.169.254", "http://api.example.com", "https://["):
        with pytest.raises(ImproperlyConfigured, match=f"{name}: must be "):
            start_with(settings, **{name: address})


def test_the_address_in_the_account_of_firebase_is_looked_at(settings: Any) -> None:
    account = make_service_account("https://169.254.169.254/token")

    with pytest.raises(ImproperlyConfigured, match="FCM_CREDENTIALS: must not "):
        start_with(settings, FCM_CREDENTIALS=account)


@pytest.mark.parametrize(
    "address", ["https://api.stripe.com", "https://8.8.8.8/", "https://[2600::1]:8443/"]
)
def test_an_address_outside_is_taken(settings: Any, address: str) -> None:
    start_with(settings, ANALYTICS_URL=address)


def test_a_host_inside_is_called_if_it_is_named(settings: Any) -> None:
    own = {"ANALYTICS_URL": "https://collector.internal/events"}

    with pytest.raises(ImproperlyConfigured):
        start_with(settings, **own)
    start_with(settings, **own, EGRESS_ALLOWED_HOSTS=["collector.internal"])


def test_all_settings_with_an_address_are_called_or_only_shown() -> None:
    """One that is added must be put where it belongs."""
    from slotbase import settings as ours

    of_addresses = {n for n in dir(ours) if n.endswith(("_URL", "_BASE"))}
    only_shown = {"BACK_OFFICE_URL", "PUBLIC_URL", "STATIC_URL"}
    of_servers = {"REDIS_URL", "CELERY_BROKER_URL", "PROVIDER_PROXY_URL"}
    assert of_addresses - only_shown - of_servers == {*egress.CALLED}


def test_a_notice_of_an_alert_goes_to_no_redirect(
    odd_server: Start, secret_place: socket.socket, settings: Any
) -> None:
    settings.ALERT_WEBHOOK_URL = odd_server(redirect_to(secret_place)).url

    with pytest.raises(ProviderError):
        post_notice({"id": "0192f0c1-0000-7000-8000-000000000001"})
    assert not was_reached(secret_place)
