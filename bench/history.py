"""A history of millions: what it costs staff to look, and a customer to write."""

import time
from statistics import median

import psycopg
import requests

from slotbase.devstack.demo.people import BackOffice

ENTRIES = 3_000_000
BATCH = 250_000
STAFF = "auditor"
LOGIN = {"username": STAFF, "password": "slotbase-demo"}
# As a year of bookings leaves it: some entries for each subject, request and person.
FILL = """
INSERT INTO recovery_auditentry (actor_kind, actor_id, action, subject_type, subject_id,
    from_state, to_state, reason, request_id)
SELECT CASE WHEN n %% 4 = 0 THEN 'staff' ELSE 'system' END,
    CASE WHEN n %% 4 = 0 THEN md5((n %% 40)::text)::uuid::text ELSE 'sweep' END,
    'hold.expired', 'hold', md5((n / 3)::text)::uuid::text, 'ACTIVE', 'EXPIRED', '',
    md5((n / 5)::text)
FROM generate_series(%s::int, %s::int) n
"""


def fill(url: str) -> None:
    """Make the history great."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        for first in range(1, ENTRIES, BATCH):
            connection.execute(FILL, [first, first + BATCH - 1])
        connection.execute("VACUUM ANALYZE recovery_auditentry")


def look(site: str) -> dict[str, float]:
    """Milliseconds for the list of the audit, a filter and searches."""
    staff = BackOffice({"SLOTBASE_URL": site}, STAFF, LOGIN)
    questions = {
        "list": "",
        "last page": "p=20",
        "rare filter": "action=no.such",
        "search, a request": "q=c4ca4238a0b923820dcc509a6f75849b",
        "search, somebody busy": "q=c4ca4238-a0b9-2382-0dcc-509a6f75849b",
        "search, nothing": "q=no-such-thing",
    }
    page = f"{site}/admin/recovery/auditentry/"
    return {
        name: _milliseconds(staff.session, f"{page}?{query}")
        for name, query in questions.items()
    }


def _milliseconds(session: requests.Session, address: str, times: int = 5) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        page = session.get(address, timeout=60)
        took.append((time.perf_counter() - began) * 1000)
        assert page.status_code == 200, page.status_code
        assert "audit entr" in page.text, "signed in"
    return median(took)
