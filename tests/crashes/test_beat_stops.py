"""Beat ends when it is told to, wherever the signal finds it."""

import subprocess
import sys

import pytest
from django.db import connection

from tests.silence import end_sleepers

pytestmark = pytest.mark.django_db(transaction=True)

# Celery's handler of SIGTERM calls `sync`, which writes down what was sent last. Here
# the signal comes while beat waits for a statement.
BEAT = """
import signal, sys
from django import setup
setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
from django_celery_beat.schedulers import DatabaseScheduler
from slotbase import schedule
from slotbase.celery import app

class Unmended(schedule.Scheduler):
    sync = DatabaseScheduler.sync

scheduler = {"mended": schedule.Scheduler, "not": Unmended}[sys.argv[2]](
    app=app, lazy=True
)
scheduler.setup_schedule()
scheduler._schedule = scheduler.all_as_schedule()

def slowly(*_, **__):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")
    return 1

DatabaseScheduler.tick = slowly
name = next(iter(scheduler._schedule))

def stop(*_):
    # As Celery's does.
    scheduler._dirty.add(name)
    scheduler.close()
    raise SystemExit

signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 1)
print("begins", flush=True)
try:
    scheduler.tick()
finally:
    scheduler.close()
    print("ended", flush=True)
"""


def ends(kind: str, *, within: float) -> bool:
    """Whether beat ends in time after the signal; it is killed if it does not."""
    database = str(connection.settings_dict["NAME"])
    process = subprocess.Popen(
        [sys.executable, "-c", BEAT, database, kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    try:
        said, _ = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False
    finally:
        end_sleepers()
    assert said == "ended\n"
    return True


def test_beat_ends_though_the_signal_finds_it_in_a_statement() -> None:
    assert ends("mended", within=60)


def test_without_our_care_it_would_wait_for_the_connection_that_it_holds() -> None:
    assert not ends("not", within=10)
