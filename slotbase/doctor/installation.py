"""Settings, keys, people and disk: what whoever installs it has to see to."""

import shutil
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import redis
from django.conf import settings
from django.core import checks
from redis.backoff import NoBackoff
from redis.retry import Retry

from recovery import health
from slotbase.accounts.models import User
from slotbase.accounts.services.groups import find_groups_that_differ
from slotbase.accounts.services.signing_keys import age_of_keys
from slotbase.doctor.examining import Examination, Trouble

OLDEST_KEYS = timedelta(hours=1)  # they are fetched every five minutes
LEAST_FREE_BYTES = 500 * 1024**2
FULL = 0.9
SETTINGS = "See docs/reference/settings.md."


def _settings() -> Iterable[Trouble]:
    if settings.DEBUG:
        yield "DEBUG is on: errors show our insides, and nothing is refused.", SETTINGS
    # A demonstration speaks plain HTTP by intent.
    found = checks.run_checks(include_deployment_checks=not settings.DEMO)
    for each in found:
        if each.level >= checks.WARNING and not each.is_silenced():
            yield f"{each.id}: {' '.join(each.msg.split())}", each.hint or SETTINGS


def _secrets() -> Iterable[Trouble]:
    wanted = {
        "STRIPE_WEBHOOK_SECRETS": settings.STRIPE_SECRET_KEY,
        "RESEND_WEBHOOK_SECRETS": settings.RESEND_API_KEY,
        "CLERK_WEBHOOK_SECRETS": settings.CLERK_JWKS_URL,
    }
    for name, is_used in wanted.items():
        if is_used and not getattr(settings, name):
            says = f"{name} is not set: what that provider tells us is refused."
            yield says, "Copy the signing secret of its webhook endpoint. " + SETTINGS
    for name in ("RESEND_API_KEY", "EMAIL_FROM", "CLERK_SECRET_KEY"):
        if not getattr(settings, name):
            yield f"{name} is not set: mails wait.", SETTINGS


def _operators() -> Iterable[Trouble]:
    if not settings.OPS_TOKEN:
        yield "OPS_TOKEN is not set: nobody sees what /health measured.", SETTINGS
    channels = ("ALERT_WEBHOOK_URL", "ALERT_EMAIL_TO")
    if not settings.DEMO and not any(getattr(settings, c, "") for c in channels):
        yield "No channel for alerts is set: nobody is told at night.", SETTINGS


def _keys() -> Iterable[Trouble]:
    age = age_of_keys() or timedelta()
    believed = timedelta(seconds=settings.CLERK_KEYS_MAX_AGE_SECONDS)
    do = "See whether CLERK_JWKS_URL is right and a worker serves the queue default."
    # Without keys that may be used the part "sign in" tells.
    if OLDEST_KEYS < age <= believed:
        yield f"The keys of Clerk are {round(age.total_seconds() / 60)} min old.", do


def _people() -> Iterable[Trouble]:
    if names := find_groups_that_differ():
        says = f"The rights of {', '.join(names)} are not those of this version."
        yield says, "Run as the owner of the tables: manage.py migrate"
    if not User.objects.filter(is_staff=True, is_active=True).exists():
        do = "Make the first login: manage.py createsuperuser"
        yield "Nobody can sign in to the back office.", do


def _broker() -> Iterable[Trouble]:
    broker, cache = health.servers().values()
    if broker == cache:
        do = "Give CACHE_URL another number or another server than REDIS_URL."
        yield "Queues and cache are one: whoever empties the cache drops tasks.", do
    once = Retry(NoBackoff(), 0)
    try:
        with redis.from_url(broker, retry=once, **health.BRIEFLY) as server:
            memory = server.info("memory")
    except redis.RedisError:
        return  # the parts tell whether it answers
    yield from _memory_troubles(memory)


def _memory_troubles(memory: dict[str, int | str]) -> Iterable[Trouble]:
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        do = "Set maxmemory-policy noeviction. Sweeps find what it forgot."
        yield f"The broker may forget tasks: its policy is {policy}.", do
    used, most = int(memory["used_memory"]), int(memory.get("maxmemory", 0))
    if most and used > most * FULL:
        yield "The broker's memory is nearly full.", "Raise its maxmemory."


def _disk() -> Iterable[Trouble]:
    free = shutil.disk_usage(settings.BASE_DIR).free
    if free < LEAST_FREE_BYTES:
        yield f"Only {free // 1024**2} MB are free on this disk.", "Make room."


def _style_sheets() -> Iterable[Trouble]:
    root = settings.STATIC_ROOT
    if root is not None and not (Path(root) / "slotbase").is_dir():
        yield "The back office has no style sheets.", "Run manage.py collectstatic"


EXAMINATIONS = (
    Examination("settings", _settings),
    Examination("secrets of providers", _secrets),
    Examination("whoever watches", _operators),
    Examination("keys of Clerk", _keys, "tables"),
    Examination("people and their rights", _people, "tables"),
    Examination("broker", _broker),
    Examination("disk", _disk),
    Examination("style sheets", _style_sheets),
)
