"""Forged and stale tokens: all are refused with the same words."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from structlog.testing import capture_logs

from recovery.models import AuditEntry
from slotbase.accounts.models import User
from slotbase.sandbox.keys import KeyRing, base64url
from tests.accounts.conftest import WhoAmI
from tests.sandbox.client import SandboxClient
from tests.services import STATE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keys")]

Forge = Callable[[SandboxClient], str]
SUB = "user_mallory"
MINUTE = 60


def bearer(**changes: Any) -> Forge:
    """A token with these overrides, of this age in `ttl`."""
    return lambda sandbox: f"Bearer {sandbox.token(SUB, **changes)}"


def claims(**values: Any) -> Forge:
    return bearer(claims=values)


def headers(**values: Any) -> Forge:
    return bearer(headers=values)


def now() -> int:
    return int(time.time())


def signed_by_another_key_with_our_kid(sandbox: SandboxClient) -> str:
    forged = sandbox.token(SUB, key="foreign", headers={"kid": sandbox.kid()})
    return f"Bearer {forged}"


def brings_its_own_key(sandbox: SandboxClient) -> str:
    jwks = sandbox.get("/clerk/.well-known/jwks.json").json()
    return f"Bearer {sandbox.token(SUB, headers={'jwk': jwks['keys'][0]})}"


def claims_were_changed_after_signing(sandbox: SandboxClient) -> str:
    head, body, signature = sandbox.token(SUB).split(".")
    content = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = json.dumps({**content, "sub": "user_victim"}).encode()
    body = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
    return f"Bearer {head}.{body}.{signature}"


def header_is_nested_too_deeply(_: SandboxClient) -> str:
    deep = base64.urlsafe_b64encode(b"[" * 4000).rstrip(b"=").decode()
    return f"Bearer {deep}.e30.AAAA"


def signed_by_clerk(header: str, body: str) -> Forge:
    """Texts that Clerk's own key has signed, though Clerk would not."""

    def forge(sandbox: SandboxClient) -> str:
        kid, claims = (
            sandbox.kid(),
            jwt.decode(sandbox.token(SUB), options={"verify_signature": False}),
        )
        inner = json.dumps(claims)[1:-1]
        parts = [
            base64url((header % kid).encode()),
            base64url((body % inner).encode()),
        ]
        signed = ".".join(parts)
        signature = KeyRing(STATE / "sandbox").current.sign("RS256", signed.encode())
        return f"Bearer {signed}.{base64url(signature)}"

    return forge


HEADER = '{"alg": "RS256", "typ": "JWT", "kid": "%s"}'


def tail(text: str) -> Forge:
    return lambda sandbox: f"Bearer {sandbox.token(SUB)}{text}"


def signed_by_nobody(sandbox: SandboxClient) -> str:
    return f"Bearer {sandbox.token(SUB).rpartition('.')[0]}."


FORGERIES: dict[str, Forge] = {
    "sub twice": signed_by_clerk(HEADER, '{"sub": "user_victim", %s}'),
    "sub twice, the wrong one last": signed_by_clerk(HEADER, '{%s, "sub": "victim"}'),
    "exp twice": signed_by_clerk(HEADER, '{%s, "exp": 99999999999}'),
    "algorithm twice": signed_by_clerk(
        '{"alg": "none", "alg": "RS256", "kid": "%s"}', "{%s}"
    ),
    "claims are a list": signed_by_clerk(HEADER, "[{%s}]"),
    "text after the claims": signed_by_clerk(HEADER, "{%s} {}"),
    "RS384": bearer(alg="RS384"),
    "algorithm in small letters": headers(alg="rs256"),
    "type of an ID token": headers(typ="id+jwt"),
    "bytes after the signature": tail("AAAA"),
    "signs after the signature": tail("!!"),
    "padding after the signature": tail("=="),
    "a fourth part": tail(".AAAA"),
    "no signature": signed_by_nobody,
    "kid is empty": headers(kid=""),
    "kid is a list": headers(kid=["a"]),
    "kid is SQL": headers(kid="' OR 1=1 --"),
    "kid is 4 KB": headers(kid="k" * 4096),
    "exp is true": claims(exp=True),
    "exp is text of a number": claims(exp="99999999999"),
    "exp is a huge number": claims(exp=10**30),
    "exp is no number": claims(exp=float("nan")),
    "expired, and from another issuer": bearer(ttl=-60, claims={"iss": "https://x.y"}),
    "expired, and signed by another key": bearer(ttl=-60, key="foreign"),
    "algorithm none": bearer(alg="none"),
    "algorithm None in capitals": bearer(alg="none", headers={"alg": "NONE"}),
    "HS256 with the public key as secret": bearer(alg="HS256"),
    "another RSA algorithm": bearer(alg="RS512"),
    "no algorithm named": bearer(remove=["alg"]),
    "header jku": headers(jku="https://mallory.example/jwks.json"),
    "header x5u": headers(x5u="https://mallory.example/cert.pem"),
    "header x5c": headers(x5c=["MIIB"]),
    "header jwk": brings_its_own_key,
    "an unknown critical header": headers(crit=["exp2"], exp2=1),
    "another type of token": headers(typ="at+jwt"),
    "signed by another key with our kid": signed_by_another_key_with_our_kid,
    "signed by another key": bearer(key="foreign"),
    "no kid": bearer(remove=["kid"]),
    "kid is a number": headers(kid=7),
    "kid is null": headers(kid=None),
    "kid is a path": headers(kid="../../dev/null"),
    "kid has a NUL": headers(kid="ins_\x00"),
    "changed after signing": claims_were_changed_after_signing,
    "somebody acts for the customer": claims(act={"sub": "user_support"}),
    "an odd claim of who acts": claims(act=False),
    "wrong issuer": claims(iss="https://clerk.mallory.example"),
    "issuer with a slash more": claims(iss="http://127.0.0.1/clerk/"),
    "issuer is a list": claims(iss=["http://localhost"]),
    "wrong authorized party": claims(azp="https://mallory.example"),
    "authorized party is a list": claims(azp=["http://localhost"]),
    "for another audience": claims(aud="another-service"),
    **{
        f"without {claim}": bearer(remove=[claim])
        for claim in ("exp", "iat", "nbf", "iss", "sub", "sid", "azp")
    },
    "not valid yet": claims(nbf=now() + 9000),
    "issued in the future": claims(iat=now() + 9000, exp=now() + 9060),
    "lives too long": bearer(ttl=3601),
    "exp is text": claims(exp="tomorrow"),
    "exp is a list": claims(exp=[now() + 60]),
    "exp is endless": claims(exp=float("inf")),
    "iat is null": claims(iat=None),
    "empty sub": claims(sub=""),
    "sub is a number": claims(sub=1234567),
    "sub is an object": claims(sub={"$ne": None}),
    "sub has a NUL": claims(sub="user_\x00mallory"),
    "sub has half a surrogate pair": claims(sub="user_\ud800"),
    "sub is longer than the column": claims(sub="u" * 65),
    "sid is longer than the column": claims(sid="s" * 65),
    "empty sid": claims(sid=""),
    "sid is a list": claims(sid=["sess_1"]),
    "session is pending": claims(sts="pending"),
    "100 KB": claims(ballast="x" * 100_000),
    "just over 8 KiB": claims(ballast="x" * 6_200),
    "not a token": lambda _: "Bearer abc",
    "two dots and nothing else": lambda _: "Bearer ..",
    "not ASCII": lambda _: "Bearer äöü.äöü.äöü",
    "header nested too deeply": header_is_nested_too_deeply,
    "a scheme without a token": lambda _: "Bearer",
    "an empty token": lambda _: "Bearer ",
    "Basic": lambda _: "Basic bWFsbG9yeTpzZWNyZXQ=",
    "the token alone": lambda sandbox: sandbox.token(SUB),
    "two tokens": lambda s: f"Bearer {s.token(SUB)} {s.token(SUB)}",
    "two headers": lambda s: f"Bearer {s.token(SUB)},Bearer {s.token(SUB)}",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_401_with_the_same_words(
    forge: Forge, sandbox: SandboxClient, who_am_i: WhoAmI
) -> None:
    """F85, S7: refused alike, and nothing is stored."""
    answer = who_am_i(forge(sandbox))

    body = answer.json()
    assert answer.status_code == 401
    assert len(body.pop("request_id")) == 32
    assert body == {
        "type": "/api/docs/errors/#token_invalid",
        "title": "The token is not valid",
        "status": 401,
        "detail": "The token is not valid.",
        "code": "token_invalid",
        "retryable": False,
    }
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert not User.objects.exists()
    assert not AuditEntry.objects.exists()


def test_what_is_signed_so_by_hand_is_accepted_without_the_trick(
    sandbox: SandboxClient, who_am_i: WhoAmI
) -> None:
    """The positive control of those that Clerk's own key signed."""
    assert who_am_i(signed_by_clerk(HEADER, "{%s}")(sandbox)).status_code == 200


def test_forgeries_are_many() -> None:
    assert len(FORGERIES) >= 25


@pytest.mark.parametrize("fault", ["", "hang"])
@pytest.mark.no_cover  # it does much, often
def test_forgeries_are_refused_as_fast_as_good_tokens_are_accepted(
    sandbox: SandboxClient, who_am_i: WhoAmI, fault: str
) -> None:
    """F85: none makes us work more than a good one does (the best of a few of each).

    Only the first unknown key of a minute asks Clerk, and waits if Clerk hangs.
    """
    good = [f"Bearer {sandbox.token(SUB)}"]
    forged = [forge(sandbox) for forge in FORGERIES.values()]
    if fault:
        sandbox.fault(fault, "*")

    waited = [header for header in forged if seconds_of(who_am_i, header) > 1.5]
    assert len(waited) == (1 if fault else 0)

    slowest = max(fastest_of(who_am_i, header) for header in forged)

    usual = max(fastest_of(who_am_i, header) for header in good)
    assert slowest < 5 * usual + 0.05


def fastest_of(ask: WhoAmI, header: str) -> float:
    return min(seconds_of(ask, header) for _ in range(4))


def seconds_of(ask: WhoAmI, header: str) -> float:
    began = time.perf_counter()
    ask(header)
    return time.perf_counter() - began


def test_why_it_was_refused_stands_in_the_log_alone(
    sandbox: SandboxClient, who_am_i: WhoAmI
) -> None:
    """F85: one word of ours, and nothing of the token."""
    token = sandbox.token(SUB, claims={"azp": "https://mallory.example"})

    with capture_logs() as lines:
        answer = who_am_i(f"Bearer {token}")

    [line] = [each for each in lines if each["event"] == "sign_in_refused"]
    assert (line["code"], line["reason"]) == ("token_invalid", "authorized party")
    assert "authorized" not in answer.content.decode()
    assert "mallory" not in json.dumps(lines)
    assert token not in json.dumps(lines)


@pytest.mark.parametrize("ttl", [-6, -86400])
def test_an_expired_token_is_told_so(
    sandbox: SandboxClient, who_am_i: WhoAmI, ttl: int
) -> None:
    token = sandbox.token(SUB, ttl=ttl, claims={"iat": now() - 2 * 86400 + 60})
    short = sandbox.token(SUB, ttl=ttl)

    for each in (token, short):
        answer = who_am_i(f"Bearer {each}")
        assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")


def test_a_missing_token_is_told_so(sandbox: SandboxClient, who_am_i: WhoAmI) -> None:
    answer = who_am_i("")

    assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "good",
    [
        bearer(),
        bearer(ttl=3600),
        bearer(ttl=-3),  # within the leeway
        claims(iat=now() + 3, nbf=now() + 3),
        claims(sub="u" * 64),
        claims(sts="active", role="whatever", email="a@b.example"),
        claims(ballast="x" * 5_000),
        bearer(remove=["sts", "typ", "v"]),
        headers(cat="cl_B7d4PD111AAA"),
        lambda sandbox: f"bearer {sandbox.token(SUB)}",
    ],
)
def test_what_clerk_makes_is_accepted(
    good: Forge, sandbox: SandboxClient, who_am_i: WhoAmI
) -> None:
    answer = who_am_i(good(sandbox))

    assert answer.status_code == 200, answer.json()
