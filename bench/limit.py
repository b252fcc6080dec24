"""The limit: one statement that inserts a hold and an outbox row, driven by pgbench.

A table as bare as it can be: the exclusion constraint, 100,000 rows, 16 clients. No
product passes it; the ratio to it says what the rest of the product costs.
"""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

ROWS, RESOURCES, SLOTS = 100_000, 1000, 200_000

TABLES = """
CREATE TABLE bench_hold (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), resource_id bigint NOT NULL,
    customer_id bigint NOT NULL, during tstzrange NOT NULL, status text NOT NULL,
    expires_at timestamptz NOT NULL,
    EXCLUDE USING gist (int8range(resource_id, resource_id, '[]') WITH &&,
                        during WITH &&));
CREATE TABLE bench_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hold_id uuid NOT NULL,
    type text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
"""
INSERT = """
INSERT INTO bench_hold (resource_id, customer_id, during, status, expires_at)
SELECT {resource}, 1, tstzrange(start, start + interval '30 minutes'), 'ACTIVE',
    now() + interval '5 minutes'
FROM (SELECT timestamptz '2030-01-01' + {slot} * interval '30 minutes' AS start {more})
ON CONFLICT DO NOTHING RETURNING id
"""
FILL = INSERT.format(
    resource=f"(random() * {RESOURCES - 1})::int + 1",
    slot=f"(random() * {SLOTS})::int",
    more=f"FROM generate_series(1, {ROWS})",
)
ONE = INSERT.format(resource=":resource", slot=":slot", more="")
SCRIPT = f"""
\\set resource random(1, {RESOURCES})
\\set slot random(0, {SLOTS})
WITH hold AS ({ONE.strip()})
INSERT INTO bench_outbox (hold_id, type) SELECT id, 'hold.created' FROM hold;
"""


def prepare(url: str) -> None:
    """Make the tables anew and fill them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_hold, bench_outbox")
        connection.execute(TABLES)
        connection.execute(FILL)
        connection.execute("VACUUM ANALYZE bench_hold")


def measure(
    url: str, programs: Path, folder: Path, *, clients: int, seconds: int
) -> tuple[float, float]:
    """Transactions per second and mean latency in milliseconds."""
    script = folder / "limit.sql"
    script.write_text(SCRIPT)
    parts = urlsplit(url)
    done = subprocess.run(
        [
            *(programs / "pgbench", "-n", "-f", script, "-T", str(seconds)),
            *("-c", str(clients), "-j", "2" if clients > 1 else "1"),
        ],
        env=os.environ
        | {
            "PGHOST": str(parts.hostname),
            "PGPORT": str(parts.port),
            "PGUSER": str(parts.username),
            "PGPASSWORD": str(parts.password),
            "PGDATABASE": parts.path[1:],
        },
        check=True,
        capture_output=True,
        text=True,
    )
    found = re.findall(r"(?:tps|latency average) = ([\d.]+)", done.stdout)
    return float(found[1]), float(found[0])
