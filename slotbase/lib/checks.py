"""Start-up check: with DEBUG off, unsafe settings stop every process at once."""

import re
from collections.abc import Iterator
from itertools import pairwise

import structlog
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from slotbase.lib import egress, failpoints, pem
from slotbase.lib.models_that_end import ENDS
from slotbase.lib.redaction import SECRETS

log = structlog.get_logger(__name__)

DAY = 86_400
# The least and the most of each number that is safe; see docs/reference/settings.md.
RANGES: dict[str, tuple[float, float]] = {
    "HOLD_TTL_SECONDS": (1, DAY),
    "HOLD_EXPIRING_SECONDS": (15, DAY),
    "MAX_ACTIVE_HOLDS": (1, 1000),
    "MAX_UNUSED_HOLDS": (1, 1000),
    "UNUSED_HOLDS_SECONDS": (0, DAY),
    "WAITLIST_OFFER_SECONDS": (1, DAY),
    "OFFER_EXPIRING_SECONDS": (15, DAY),
    "MAX_WAITLIST_ENTRIES": (1, 1000),
    "MAX_AVAILABILITY_DAYS": (1, 366),
    "PAYMENT_GRACE_SECONDS": (0, DAY),
    "LATE_RECLAIM_SECONDS": (0, DAY),
    "REMINDER_HOURS_BEFORE": (1, 24 * 30),
    "REFUND_ALERT_MAJOR": (0, 1_000_000_000),
    "FOUR_EYES_MAJOR": (0, 1_000_000_000),
    "APPROVAL_SECONDS": (60, 7 * DAY),
    "OFFLINE_PAYMENT_MAX_MAJOR": (1, 1_000_000_000),
    # Whoever waits for a webhook that was lost waits so long.
    "RECONCILE_AFTER_SECONDS": (10, 3600),
    "STRIPE_RECONCILE_SECONDS": (60, DAY),
    "STRIPE_COMPARE_DAYS": (2, 400),
    "RESEND_REQUESTS_PER_SECOND": (1, 10_000),
    "RESEND_BURST": (1, 1000),
    # django-celery-beat counts whole seconds.
    "SWEEP_INTERVAL_SECONDS": (1, 60),
    "SWEEP_BATCH_SIZE": (1, 100_000),
    "IDEMPOTENCY_RETENTION_HOURS": (24, 24 * 365),
    "WORKFLOW_RETENTION_DAYS": (1, 36_500),
    "DEAD_LETTER_RETENTION_DAYS": (1, 36_500),
    "HOLD_RETENTION_DAYS": (1, 36_500),
    "NOTIFICATION_RETENTION_DAYS": (2, 36_500),
    "INBOX_RETENTION_DAYS": (1, 36_500),
    "ERASE_AFTER_REFUND_DAYS": (0, 3650),
    "PUSH_TTL_SECONDS": (60, 28 * DAY),
    "MAX_DEVICES": (1, 1000),
    "ALERT_RETENTION_DAYS": (1, 36_500),
    "AI_DAILY_TOKENS": (0, 1_000_000_000),
    "MAX_BODY_BYTES": (1024, 10 * 1024 * 1024),
    "THROTTLE_USER_PER_MINUTE": (1, 10_000_000),
    "THROTTLE_ADDRESS_PER_MINUTE": (1, 10_000_000),
    "THROTTLE_EXPORTS_PER_MINUTE": (1, 10_000_000),
    "THROTTLE_HOLDS_PER_MINUTE": (1, 10_000_000),
    "THROTTLE_SHARED_ADDRESS_PER_MINUTE": (1, 10_000_000),
    # What Stripe sends after an outage of ours must pass.
    "THROTTLE_WEBHOOKS_PER_MINUTE": (600, 10_000_000),
    "THROTTLE_GLOBAL_PER_MINUTE": (1, 100_000_000),
    "NUM_PROXIES": (0, 10),
    "CLERK_KEYS_REFRESH_SECONDS": (10, 300),
    "CLERK_KEYS_MAX_AGE_SECONDS": (300, 7 * DAY),
    "CLERK_MAX_TOKEN_SECONDS": (60, DAY),
    "STAFF_SESSION_SECONDS": (300, DAY),
    "STAFF_IDLE_SECONDS": (60, 12 * 3600),
    "STEP_UP_SECONDS": (60, 3600),
    "SIGN_IN_GUESSES": (2, 10),
    "SIGN_IN_GUESSES_PER_ADDRESS": (10, 1000),
    "SIGN_IN_GUESSES_PER_LOGIN": (10, 1000),
    "SIGN_IN_CODES_PER_LOGIN": (5, 100),
    # Counters are kept for a day.
    "SIGN_IN_BLOCK_SECONDS": (60, 6 * 3600),
    "CLERK_GRACE_SECONDS": (0, 900),
    "PROVIDER_CONNECT_SECONDS": (0.1, 10),
    # A request is answered within ten seconds.
    "PROVIDER_TIMEOUT_SECONDS": (0.1, 10),
    # Well below CELERY_TASK_TIME_LIMIT.
    "PROVIDER_WORKER_TIMEOUT_SECONDS": (0.1, 60),
    "WEB_THREADS": (1, 1000),
}
# Of secrets that everybody can read in the repository: of the demo, and of tests.
PUBLISHED = re.compile(
    r"_sandbox|slotbase-sandbox|c2FuZGJveC|only-for-tests|of-the-demo"
)
ADDRESS = re.compile(r"[^\s@,<>]+@[^\s@,<>]+")
MOST_KEYS = 4  # each is tried with a token whose key nobody knows
LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}


def refuse_unsafe_settings() -> None:
    """Stop the start and name every unsafe value at once, with what would be right.

    Raises:
        ImproperlyConfigured: DEBUG is off and a value is unsafe.
    """
    if settings.DEBUG:
        return
    problems = [
        *_unsafe_web(),
        *_unsafe_secrets(),
        *_unsafe_failpoints(),
        *_unsafe_sign_in(),
        *_unsafe_addresses(),
        *_unsafe_payments(),
        *_unsafe_push(),
        *_unsafe_enhancing(),
        *_unsafe_operations(),
        *_unsafe_alerts(),
        *_unsafe_dead_letters(),
        *_unsafe_numbers(),
    ]
    if problems:
        raise ImproperlyConfigured("Unsafe settings. " + " ".join(problems))


def warn_if_nobody_is_told() -> None:
    """Say so if trouble stands in the back office alone, where nobody may look."""
    is_told = settings.ALERT_WEBHOOK_URL or settings.ALERT_EMAIL_TO
    if not settings.DEBUG and not is_told:
        log.warning(
            "alerts_are_told_to_nobody", set="ALERT_WEBHOOK_URL, ALERT_EMAIL_TO"
        )


@checks.register(deploy=True)
def warn_if_mails_have_no_link(**_: object) -> list[checks.CheckMessage]:
    """Mails are sent, and nobody can unsubscribe from those that they may refuse."""
    is_sending = settings.RESEND_API_KEY and not settings.DEMO
    if not is_sending or settings.PUBLIC_URL:
        return []
    return [
        checks.Warning(
            "PUBLIC_URL is not set: reminders and offers go out without a link to"
            " unsubscribe, and mail programs show no button for it.",
            hint="Set it to where customers reach SlotBase, such as"
            " https://booking.example.com (docs/howto/connect-resend.md).",
            id="slotbase.W001",
        )
    ]


@checks.register
def warn_of_the_model(**_: object) -> list[checks.CheckMessage]:
    """Notes would be sent to no model, or to one that ends."""
    if not (settings.AI_ENABLED and settings.OPENAI_API_KEY):
        return []
    if not (model := settings.OPENAI_MODEL):
        text = "OPENAI_API_KEY is set and OPENAI_MODEL is not: notes wait."
    elif end := ENDS.get(model):
        text = f"OPENAI_MODEL: OpenAI ends {model} on {end}; notes fail from then on."
    else:
        return []
    hint = "Set one that stays, such as gpt-5.4-mini (docs/reference/settings.md)."
    return [checks.Warning(text, hint=hint, id="slotbase.W002")]


def warn_of_the_model_at_start() -> None:
    """The same in the log of each process, most of which run no checks."""
    for warning in warn_of_the_model():
        log.warning("model_of_openai", says=warning.msg)


def _unsafe_web() -> Iterator[str]:
    hosts = set(settings.ALLOWED_HOSTS)
    only_this_computer = bool(hosts) and hosts <= LOOPBACK
    if not _is_secret(settings.SECRET_KEY):
        yield "SECRET_KEY: set 50 or more random characters."
    if not all(map(_is_secret, settings.SECRET_KEY_FALLBACKS)):
        yield "SECRET_KEY_FALLBACKS: only keys that were good enough as SECRET_KEY."
    if "postgresql" not in settings.DATABASES["default"]["ENGINE"]:
        yield "DATABASE_URL: must be a PostgreSQL, postgres://..."
    if not hosts or any("*" in host or host[:1] == "." for host in hosts):
        yield "ALLOWED_HOSTS: name the hosts, without '*' or '.' before them."
    if any("*" in origin for origin in settings.CSRF_TRUSTED_ORIGINS):
        yield "CSRF_TRUSTED_ORIGINS: name the origins, without '*'."
    if settings.DEMO and not only_this_computer:
        yield "DEMO: only with ALLOWED_HOSTS of this computer."
    if not settings.HTTPS_ONLY and not only_this_computer:
        yield "HTTPS_ONLY: may be off with ALLOWED_HOSTS of this computer only."


def _unsafe_secrets() -> Iterator[str]:
    for name in () if settings.DEMO else SECRETS:
        value = getattr(settings, name)
        if PUBLISHED.search(value if isinstance(value, str) else " ".join(value)):
            yield f"{name}: the one of the demo, which everybody knows."
    if settings.STRIPE_LIVEMODE and settings.DEMO:
        yield "STRIPE_SECRET_KEY: a live one, and this is a DEMO."
    if settings.STRIPE_LIVEMODE and settings.CLERK_SECRET_KEY.startswith("sk_test_"):
        yield "STRIPE_SECRET_KEY: a live one, while CLERK_SECRET_KEY is of tests."


def _unsafe_failpoints() -> Iterator[str]:
    if settings.FAILPOINTS and not settings.DEMO:
        yield "FAILPOINTS: only with DEMO."
    try:
        failpoints.parse(settings.FAILPOINTS)
    except failpoints.UnreadableFailpoint as error:
        yield f"FAILPOINTS: {error}"


def _unsafe_sign_in() -> Iterator[str]:
    for name in ("CLERK_ISSUER", "CLERK_AUTHORIZED_PARTIES"):
        if not getattr(settings, name):
            yield f"{name}: set it, or no customer can sign in."
    if not settings.CLERK_JWKS_URL and not settings.CLERK_JWT_KEYS:
        yield "CLERK_JWKS_URL: set it or CLERK_JWT_KEYS, or no customer can sign in."
    if not _are_public_keys(settings.CLERK_JWT_KEYS):
        yield "CLERK_JWT_KEYS: up to 4 RSA keys in PEM, of 2048 bits or more."
    yield from _unsafe_names_in_tokens()


def _unsafe_names_in_tokens() -> Iterator[str]:
    """What is compared with tokens as it is: nothing else in it would ever be found."""
    apps, issuer = settings.CLERK_AUTHORIZED_PARTIES, settings.CLERK_ISSUER
    if any("*" in app for app in apps):
        yield "CLERK_AUTHORIZED_PARTIES: name the origins of your apps, without '*'."
    if not settings.DEMO and any(app.startswith("http://") for app in apps):
        yield "CLERK_AUTHORIZED_PARTIES: must be https."
    if issuer and not settings.DEMO and not issuer.startswith("https://"):
        yield "CLERK_ISSUER: must be https."
    if re.search(r"[\s,]|/\Z", issuer):
        yield "CLERK_ISSUER: one address, without '/' at its end."


def _unsafe_addresses() -> Iterator[str]:
    if settings.DEMO:
        return
    for name, address in egress.read_addresses():
        # That it is missing was told: nobody could sign in.
        is_told = name == "CLERK_JWKS_URL" and not address
        if not is_told and (fault := egress.find_fault(address)):
            yield f"{name}: {fault}"


def _are_public_keys(texts: list[str]) -> bool:
    try:
        return len([pem.read_public_key(text) for text in texts]) <= MOST_KEYS
    except ValueError:
        return False


def _unsafe_payments() -> Iterator[str]:
    if not re.fullmatch(r"[\w.-]{1,40}", settings.SLOTBASE_ENV, re.ASCII):
        yield "SLOTBASE_ENV: 1 to 40 letters, digits, '.', '_' or '-'."
    moments = settings.REFUND_RETRY_SECONDS
    if moments[:1] != [0] or any(b <= a for a, b in pairwise(moments)):
        yield "REFUND_RETRY_SECONDS: from 0 on, each more than the one before."


def _unsafe_push() -> Iterator[str]:
    waits = settings.PUSH_RETRY_SECONDS
    if not waits or min(waits) < 1:
        yield "PUSH_RETRY_SECONDS: one wait or more, each of a second or more."


def _unsafe_enhancing() -> Iterator[str]:
    waits = settings.AI_RETRY_SECONDS
    if not waits or min(waits) < 1:
        yield "AI_RETRY_SECONDS: one wait or more, each of a second or more."


def _unsafe_operations() -> Iterator[str]:
    for name in () if settings.DEMO else ("PUBLIC_URL", "BACK_OFFICE_URL"):
        url = getattr(settings, name)
        if url and not url.startswith("https://"):
            yield f"{name}: must be https."
    token = settings.OPS_TOKEN
    if token and (len(token) < 24 or len(set(token)) < 8):
        yield "OPS_TOKEN: 24 or more random characters, or none."


def _unsafe_alerts() -> Iterator[str]:
    if not all(ADDRESS.fullmatch(each) for each in settings.ALERT_EMAIL_TO):
        yield "ALERT_EMAIL_TO: addresses like a@example.com, comma-separated."
    if not settings.ALERT_RETRY_SECONDS or min(settings.ALERT_RETRY_SECONDS) < 1:
        yield "ALERT_RETRY_SECONDS: one wait or more, each of a second or more."


def _unsafe_dead_letters() -> Iterator[str]:
    waits = settings.DEAD_LETTER_RETRY_SECONDS
    # Jitter makes each wait up to a fifth longer.
    if not waits or min(waits) < 1 or sum(waits) * 1.2 > DAY:
        yield "DEAD_LETTER_RETRY_SECONDS: 1 or more each, 72000 at most in all."


def _unsafe_numbers() -> Iterator[str]:
    for name, (least, most) in RANGES.items():
        if not least <= getattr(settings, name) <= most:
            yield f"{name}: must be from {least:g} to {most:g}."


def _is_secret(key: str) -> bool:
    is_varied = len(key) >= 50 and len(set(key)) >= 5
    return is_varied and not key.startswith("django-insecure-")
