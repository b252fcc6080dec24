"""S29, S30, S33, S39: secrets can be changed, and none is in the repository."""

import re
import subprocess
from io import StringIO
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from notifications.models import PushDevice
from slotbase.accounts.models import SecondFactor
from slotbase.lib import sealing
from slotbase.lib.management.commands.reseal import sealed_columns
from slotbase.lib.redaction import SECRETS, WITH_PASSWORD
from tests.architecture.source import ROOT
from tests.factories import make_customer, make_staff
from tests.notifications.conftest import make_device

FORMER, NEW, OTHER = (letter * 10 + "0123456789" * 5 for letter in "abc")
PAGE = (ROOT / "docs" / "howto" / "rotate-secrets.md").read_text()


# --- What is sealed ----------------------------------------------------------------


def seal_some(settings: Any) -> tuple[SecondFactor, PushDevice]:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = FORMER, []
    factor = SecondFactor.objects.create(
        user=make_staff(), sealed_secret=sealing.seal("JBSWY3DPEHPK3PXP")
    )
    device = make_device(make_customer())
    PushDevice.objects.update(sealed_token=sealing.seal("token-of-a-phone"))
    return factor, device


def change_key(settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [FORMER]


def run() -> str:
    said = StringIO()
    call_command("reseal", stdout=said)
    return said.getvalue()


@pytest.mark.django_db
def test_a_former_key_can_be_taken_away_after_resealing(settings: Any) -> None:
    factor, device = seal_some(settings)
    change_key(settings)

    assert run() == "2 sealed anew, 0 were already.\n"
    assert run() == "0 sealed anew, 2 were already.\n"

    settings.SECRET_KEY_FALLBACKS = []
    factor.refresh_from_db()
    device.refresh_from_db()
    assert sealing.unseal(factor.sealed_secret) == "JBSWY3DPEHPK3PXP"
    assert sealing.unseal(device.sealed_token) == "token-of-a-phone"


@pytest.mark.django_db
def test_without_resealing_it_could_not(settings: Any) -> None:
    factor, _ = seal_some(settings)
    change_key(settings)
    settings.SECRET_KEY_FALLBACKS = []

    with pytest.raises(sealing.Unreadable):
        sealing.unseal(factor.sealed_secret)


@pytest.mark.django_db
def test_what_no_key_reads_is_told_and_kept(settings: Any) -> None:
    factor, _ = seal_some(settings)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OTHER, [NEW]

    with pytest.raises(CommandError, match="2 cannot be read"):
        run()
    sealed = factor.sealed_secret
    factor.refresh_from_db()
    assert factor.sealed_secret == sealed


@pytest.mark.django_db
def test_a_device_that_ended_has_nothing_to_be_sealed(settings: Any) -> None:
    seal_some(settings)
    PushDevice.objects.update(sealed_token="")
    change_key(settings)

    assert run() == "1 sealed anew, 0 were already.\n"


def test_every_sealed_column_is_known() -> None:
    found = {(model.__name__, name) for model, name in sealed_columns()}

    assert found >= {("SecondFactor", "sealed_secret"), ("PushDevice", "sealed_token")}


# --- The page ------------------------------------------------------------------------


def test_the_page_has_a_row_for_every_secret() -> None:
    rows = {
        name
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([A-Z_]+)`", line.split("|")[1])
    }
    assert rows == {*SECRETS, *WITH_PASSWORD, "ALERT_WEBHOOK_URL"}


def test_every_setting_that_sounds_like_a_secret_is_one() -> None:
    names = re.findall(
        r'env\.\w+\("(\w+)"', (ROOT / "slotbase/settings.py").read_text()
    )
    sounding = {n for n in names if re.search("SECRET|_KEY|TOKEN|CREDENTIAL|PASSW", n)}
    no_secrets = {"CLERK_MAX_TOKEN_SECONDS", "CLERK_KEYS_REFRESH_SECONDS"}
    # Keys that only check are public.
    no_secrets |= {"CLERK_KEYS_MAX_AGE_SECONDS", "CLERK_JWT_KEYS"}
    no_secrets |= {"AI_DAILY_TOKENS"}
    assert sounding - no_secrets == {*SECRETS}


# --- The repository -------------------------------------------------------------------

KEYS = re.compile(
    rb"\b(?:sk|rk)_live_[0-9A-Za-z]{10,}"
    rb"|\bsk_test_[0-9A-Za-z]{24,}"
    rb"|\bwhsec_[0-9A-Za-z+/]{32,}"
    rb"|\bre_[0-9A-Za-z]{8}_[0-9A-Za-z]{20,}"
    rb"|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[0-9A-Za-z]{36}\b|\bAIza[0-9A-Za-z_-]{35}\b"
    rb"|\bxox[abpr]-[0-9A-Za-z-]{10,}|hooks\.slack\.com/services/T[0-9A-Z]{8,}"
    rb"|-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----\s*[0-9A-Za-z+/=]{40,}"
)
# Base64 of words that say what they are: of the demo, and of tests.
KNOWN = re.compile(
    rb"whsec_(?:c2FuZGJveC|Y2xlcm|cmVzZW5k|dGVzd|b2xk|cHJldm|bmV3|c29tZWJvZHkg)"
)


def find_keys(data: bytes) -> list[bytes]:
    return [m[0] for m in KEYS.finditer(data) if not KNOWN.match(m[0])]


def test_no_secret_is_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    paths = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    files = [path for path in paths if path.is_file()]

    assert len(files) > 500
    assert {
        p.name: find_keys(p.read_bytes()) for p in files if find_keys(p.read_bytes())
    } == {}
    assert not [path for path in files if path.name in {".env", "id_rsa"}]


@pytest.mark.parametrize(
    "secret",
    [
        "sk_live_" + "4eC39HqLyjWDarjtT1",
        "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp_" + "a" * 36,
        "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj",
    ],
)
def test_a_secret_that_was_left_in_a_file_would_be_found(secret: str) -> None:
    assert find_keys(f"key = '{secret}'".encode())


# --- What runs it -------------------------------------------------------------------

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = ("migrate", "web", "worker", "beat")


def test_the_image_runs_as_nobody_in_particular() -> None:
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    user = re.findall(r"^USER (\w+)$", last, re.MULTILINE)

    assert user == ["slotbase"]
    assert "useradd --system --uid 10001 --no-create-home slotbase" in last
    assert last.index("\nUSER ") < last.index("\nCMD ")
    assert "HEALTHCHECK" in last
    assert "ADD " not in DOCKERFILE


def test_the_image_can_be_built_on_a_digest() -> None:
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON}"] * 2
    assert "ARG PYTHON=python:3.13-slim\n" in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE
    page = (ROOT / "docs/howto/deploy-with-compose.md").read_text()
    assert "@sha256:" in page


@pytest.mark.parametrize("name", OURS)
def test_a_process_can_write_nothing_and_gain_nothing(name: str) -> None:
    service = COMPOSE[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert "volumes" not in service


@pytest.mark.parametrize("name", ["broker", "cache", "postgres"])
def test_servers_are_inside_and_ask_for_a_password(name: str) -> None:
    service = COMPOSE[name]

    assert "ports" not in service
    wanted = "POSTGRES_PASSWORD" if name == "postgres" else "REDIS_PASSWORD:?"
    assert wanted in str(service)
    if name != "postgres":
        assert "--requirepass ${REDIS_PASSWORD:?" in service["command"]


def test_only_web_is_reached_and_from_this_computer_alone() -> None:
    ports = {name: it["ports"] for name, it in COMPOSE.items() if "ports" in it}

    assert ports == {"web": ["${BIND_ADDRESS:-127.0.0.1}:8000:8000"]}


def test_no_word_of_the_product_is_unpickled() -> None:
    """What is refused at the broker: tests/crashes/test_messages.py."""
    from django.conf import settings

    assert settings.CELERY_ACCEPT_CONTENT == ["json"]
    assert settings.CELERY_TASK_SERIALIZER == "json"
    assert settings.SESSION_SERIALIZER.endswith(".JSONSerializer")
    folders = ("slotbase", "recovery", "payments", "bookings", "notifications")
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            assert not re.search(
                r"\b(import|from) (pickle|marshal|shelve)", path.read_text()
            )
