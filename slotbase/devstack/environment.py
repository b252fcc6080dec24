"""Which settings the programs of the stack get."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from slotbase.devstack.errors import StackError
from slotbase.devstack.google import make_service_account
from slotbase.devstack.postgres import Postgres
from slotbase.devstack.valkey import BROKER, CACHE, Valkey

Given = Mapping[str, str]

# No secrets: the sandbox signs with them, and it is on this computer only.
WEBHOOK_SECRETS = {
    "STRIPE_WEBHOOK_SECRETS": "whsec_sandbox_stripe_webhooks",
    "RESEND_WEBHOOK_SECRETS": "whsec_c2FuZGJveCByZXNlbmQgd2ViaG9va3Mu",
    "CLERK_WEBHOOK_SECRETS": "whsec_c2FuZGJveCBjbGVyayB3ZWJob29rcy4u",
}
# What `/health` measured is no secret there either.
OPS_TOKEN = "operator-of-the-demo-on-this-computer"  # noqa: S105 - see above


def database_addresses(given: Given, postgres: Postgres | None) -> dict[str, str]:
    """The database as the product sees it and as its owner does, who may migrate it."""
    if postgres is not None:
        app, owner = postgres.url("slotbase_app"), postgres.url("slotbase_owner")
    else:
        app = given["DATABASE_URL"]
        owner = given.get("DATABASE_OWNER_URL") or app
    return {"DATABASE_URL": app, "DATABASE_OWNER_URL": owner}


def redis_addresses(given: Given, valkey: Valkey | None) -> dict[str, str]:
    """The broker and, unless CACHE_URL is given, the cache beside it."""
    if valkey is not None:
        broker, cache = valkey.url(BROKER), valkey.url(CACHE)
    else:
        broker = given["REDIS_URL"]
        cache = urlsplit(broker)._replace(path=f"/{CACHE}").geturl()
    return {"REDIS_URL": broker, "CACHE_URL": given.get("CACHE_URL") or cache}


def settings(given: Given, addresses: Given, secret_key: str) -> dict[str, str]:
    """The environment of the programs: what is given wins over what is made here.

    The owner's address is not in it: a web process could otherwise drop a table.
    """
    sandbox = addresses["SANDBOX_URL"]
    defaults = {
        "DEMO": "true",
        "DEBUG": "false",
        "SECRET_KEY": secret_key,
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "CLERK_API_URL": f"{sandbox}/clerk",
        "CLERK_JWKS_URL": f"{sandbox}/clerk/.well-known/jwks.json",
        "CLERK_ISSUER": f"{sandbox}/clerk",
        "CLERK_AUTHORIZED_PARTIES": addresses["SLOTBASE_URL"],
        "CLERK_SECRET_KEY": "sk_test_sandbox",
        "ANALYTICS_URL": f"{sandbox}/analytics/events",
        "ALERT_WEBHOOK_URL": f"{sandbox}/alerts/notices",
        "BACK_OFFICE_URL": addresses["SLOTBASE_URL"],
        "PUBLIC_URL": addresses["SLOTBASE_URL"],
        "STRIPE_API_BASE": f"{sandbox}/stripe",
        "STRIPE_SECRET_KEY": "sk_test_sandbox",
        "RESEND_API_URL": f"{sandbox}/resend",
        "RESEND_API_KEY": "re_sandbox",
        "FCM_API_URL": f"{sandbox}/fcm",
        "FCM_CREDENTIALS": make_service_account(f"{sandbox}/fcm/token"),
        "OPENAI_BASE_URL": f"{sandbox}/openai/v1",
        "OPENAI_API_KEY": "sk-slotbase-sandbox",
        "OPENAI_MODEL": "gpt-5.4-mini",
        "EMAIL_FROM": "SlotBase <noreply@slotbase.example>",
        **WEBHOOK_SECRETS,
        "OPS_TOKEN": OPS_TOKEN,
        # A proxy cannot reach the sandbox on this computer.
        "NO_PROXY": "localhost,127.0.0.1",
        # Celery refuses pickle as root and warns about all else; ours is JSON only.
        "C_FORCE_ROOT": "1",
    }
    chosen = {name: given.get(name) or value for name, value in defaults.items()}
    environment = {**given, **chosen, **addresses}
    del environment["DATABASE_OWNER_URL"]
    return environment


def count(given: Given, name: str, usual: int) -> int:
    """How many of something the environment asks for.

    Raises:
        StackError: it does not give a number above zero.
    """
    text = given.get(name) or str(usual)
    if not text.isdecimal() or int(text) == 0:
        raise StackError(f"{name}={text} is not a number above zero.")
    return int(text)
