"""The parts that /health knows of, with what to do about each."""

from collections.abc import Iterable

from recovery.health import Snapshot
from recovery.vitals import Check, Health
from slotbase.doctor.examining import Need, Trouble

START = {
    "beat": "Start beat: celery -A slotbase.celery beat. Its log says why it stopped.",
    "worker": "Start workers with every queue: celery -A slotbase.celery worker"
    " --queues money,inbox,bookings,email,push,ai,default. Their log says why they"
    " stopped.",
}
DO = {
    **START,
    "database": "Start PostgreSQL, and see whether DATABASE_URL leads to it.",
    "redis": "Start Redis or Valkey, and see whether REDIS_URL and CACHE_URL lead to"
    " it. Nothing is lost meanwhile: nothing is only there.",
    "outbox": "See whether workers and beat live; then look at Deliveries in the back"
    " office for what the oldest says.",
    "inbox": "See whether workers and beat live; then look at Webhooks in the back"
    " office for what the oldest says.",
    "workflows": "Each has a case: work on it in the back office.",
    "dead_letters": "Look at Dead letters in the back office, and work on their cases"
    " (docs/runbooks/dead-letter.md).",
    "sign_in": "See whether CLERK_JWKS_URL leads to Clerk's keys, and workers and beat"
    " live; docs/explanation/when-clerk-is-down.md says what works meanwhile.",
    "cases": "Work on these cases in the back office; each links to what to do.",
}
OF_A_PROVIDER = (
    "See its status page, and whether this computer reaches it. What is owed is tried"
    " again by itself."
)
OF_CREDENTIALS = (
    "Give it a key that works (docs/runbooks/provider-configuration.md). What is owed"
    " waits until then."
)
MIGRATE = "Run as the owner of the tables: manage.py migrate"


def missing_in(seen: Snapshot) -> set[Need]:
    """What other examinations cannot count on."""
    code = {check.name: check.code for check in seen.checks}["database"]
    missing: dict[str, set[Need]] = {
        "no_answer": {"database", "tables"},
        "migrations": {"tables"},
    }
    return missing.get(code, set())


def troubles_of(seen: Snapshot) -> Iterable[Trouble]:
    """Every part that is not as it should be."""
    for check in seen.checks:
        if check.status in {Health.DEGRADED, Health.UNHEALTHY}:
            name = check.name.replace("_", " ").capitalize()
            yield f"{name}: {check.says}", _what_to_do(check)


def _what_to_do(check: Check) -> str:
    if check.code == "migrations":
        return MIGRATE
    if check.code.startswith("credentials_refused"):
        return OF_CREDENTIALS
    return DO.get(check.name, OF_A_PROVIDER)
