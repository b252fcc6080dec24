"""A whole running product for tests that need one: web, two workers, beat, sandbox.

Started by the first test that asks for it, in a folder of its own, and shared.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests

from slotbase.devstack import environment
from slotbase.devstack.codes import current_code
from slotbase.devstack.loopback import answers
from slotbase.devstack.ports import any_free_port
from slotbase.devstack.run_env import read_run_env
from slotbase.devstack.stack import QUEUES
from slotbase.devstack.state import CHECKOUT, State

# The tests' own services must not be taken for ones that the product should use.
OWN_SETTINGS = ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "DJANGO_SETTINGS_MODULE")
PARTS = ("SUPERVISOR_PID", "WEB_PID", "WORKER_PIDS", "BEAT_PID", "VALKEY_PID")
PREFIXES = (
    "CLERK_",
    "SANDBOX_",
    "APP_",
    "STRIPE_API_",
    "RESEND_API_",
    "FCM_",
    "OPENAI_",
)


@dataclass
class Running:
    """A program beside those of the supervisor."""

    process: subprocess.Popen[str]
    log: Path
    site: str = ""

    def said(self, text: str) -> bool:
        """Whether it has logged these words."""
        return text in self.log.read_text(errors="replace")


class Product:
    """The running product, as a customer, an operator and a saboteur see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        given = {
            name: value
            for name, value in os.environ.items()
            if name not in OWN_SETTINGS and not name.startswith(PREFIXES)
        }
        self.environment = given | {
            "SLOTBASE_STATE_DIR": str(folder),
            "PORT": "0",
            "WORKERS": "2",
            # Or the mails of one test would wait for those of the tests before it.
            "RESEND_REQUESTS_PER_SECOND": "100",
            "RESEND_BURST": "100",
        }

    def devstack(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m slotbase.devstack ...` for this product."""
        return subprocess.run(
            [sys.executable, "-m", "slotbase.devstack", *command],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def env(self) -> dict[str, str]:
        """Addresses and process ids at this moment."""
        return read_run_env(State(self.folder))

    def pids(self, name: str) -> list[int]:
        """Process ids of a part, such as WEB_PID or WORKER_PIDS."""
        return [int(pid) for pid in self.env[name].split()]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to every process in the group of a part."""
        for pid in self.pids(name):
            os.killpg(os.getpgid(pid), number)

    def go_on(self) -> None:
        """Whatever was stopped works again."""
        for name in PARTS:
            self.signal(name, signal.SIGCONT)

    def move_clock(self, change: str) -> None:
        """Move the clock of every process at once."""
        done = self.devstack("clock", change)
        assert done.returncode == 0, done.stderr

    def program(
        self,
        *command: str,
        folder: Path | None = None,
        output: IO[str] | int = subprocess.PIPE,
        **settings: str,
    ) -> subprocess.Popen[str]:
        """Start `python ...` with the settings of the product's own programs.

        But for some of them; `folder` may hold another version of the code.
        """
        key = State(self.folder).recall_secret("secret_key")
        return subprocess.Popen(
            [sys.executable, *command],
            env=environment.settings(self.environment, self.env, key) | settings,
            cwd=folder or CHECKOUT,
            stdout=output,
            stderr=subprocess.DEVNULL if output == subprocess.PIPE else output,
            text=True,
            start_new_session=True,
        )

    @contextmanager
    def running(
        self, *command: str, folder: Path | None = None, **settings: str
    ) -> Iterator[Running]:
        """One more program of the product, which is killed in the end."""
        log = self.folder / f"{uuid.uuid4().hex}.log"
        with log.open("w") as output:
            process = self.program(*command, folder=folder, output=output, **settings)
        try:
            yield Running(process, log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextmanager
    def another_web(
        self, *, port: int = 0, folder: Path | None = None, **settings: str
    ) -> Iterator[Running]:
        """One more web server, when it serves."""
        port = port or any_free_port()
        listen = ["--port", str(port), "--no-ws", "--workers-kill-timeout", "30"]
        what = ["--interface", "wsgi", "--blocking-threads", "8"]
        command = ["-m", "granian", *listen, *what, "slotbase.wsgi:application"]
        with self.running(*command, folder=folder, **settings) as web:
            web.site = f"http://127.0.0.1:{port}"
            eventually(lambda: web.said("Started worker"), seconds=60)
            eventually(lambda: answers(f"{web.site}/health/ready"), seconds=60)
            yield web

    @contextmanager
    def another_worker(
        self, name: str = "another", *, folder: Path | None = None, **settings: str
    ) -> Iterator[Running]:
        """One more worker, when it is ready."""
        command = ["-m", "celery", "-A", "slotbase.celery", "worker", "--queues"]
        node = ["--hostname", f"{name}@%h", "--without-gossip", "--without-mingle"]
        size = ["--concurrency", "2", "--loglevel", "INFO"]
        command += [QUEUES, *node, *size]
        with self.running(*command, folder=folder, **settings) as worker:
            eventually(lambda: worker.said(" ready."), seconds=60)
            yield worker

    @property
    def superuser_address(self) -> str:
        """Of the product's database, for the administrator of its server."""
        owner = urlsplit(self.env["DATABASE_OWNER_URL"])
        password = State(self.folder).recall_secret("postgres_password")
        who = f"postgres:{password}@{owner.hostname}:{owner.port}"
        return owner._replace(netloc=who).geturl()

    def superuser(self, *statements: str) -> list[tuple[Any, ...]]:
        """What only an administrator of the server may do, even if it only reads.

        Returns the rows of the last statement.
        """
        writes = "-c default_transaction_read_only=off"
        with psycopg.connect(
            self.superuser_address, autocommit=True, options=writes
        ) as connection:
            done = [connection.execute(statement.encode()) for statement in statements]
            return done[-1].fetchall() if done[-1].description else []

    def violations(self) -> Any:
        """What `manage.py check_invariants` has to say: an empty list."""
        output, _ = self.program(
            "manage.py", "check_invariants", "--full", "--json"
        ).communicate()
        return json.loads(output)

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the database answers to its owner."""
        with psycopg.connect(self.env["DATABASE_OWNER_URL"], autocommit=True) as owner:
            return owner.execute(sql, parameters).fetchall()

    def code(self, login: str) -> str:
        """The code with which a member of the demo's staff signs in, used or not."""
        self.rows(
            "UPDATE accounts_secondfactor SET last_step = 0 FROM accounts_user"
            " WHERE id = user_id AND username = %s RETURNING last_step",
            login,
        )
        return current_code()

    def sandbox(self, path: str, **query: str) -> Any:
        """What the control API of the sandbox answers."""
        address = f"{self.env['SANDBOX_URL']}/_sandbox/{path}"
        return requests.get(address, params=query, timeout=30).json()

    def token(self, sub: str) -> str:
        """A customer's session token that lasts an hour."""
        return self.tokens([sub])[sub]

    def tokens(self, subs: list[str]) -> dict[str, str]:
        """Session tokens of many customers."""
        answer = requests.post(
            f"{self.env['SANDBOX_URL']}/_sandbox/tokens",
            json={"subs": subs, "ttl": 3600},
            timeout=30,
        )
        tokens: dict[str, str] = answer.json()["tokens"]
        return tokens

    def call(
        self, method: str, path: str, sub: str | None = None, **body: Any
    ) -> requests.Response:
        """A request of a customer, or of nobody."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        if sub is not None:
            headers["Authorization"] = f"Bearer {self.token(sub)}"
        return requests.request(
            method,
            f"{self.env['SLOTBASE_URL']}{path}",
            headers=headers,
            json=body if method == "POST" else None,
            timeout=30,
        )

    def resource(self, slug: str) -> int:
        """The id of a resource of the demo."""
        answer = self.call("GET", "/api/v1/resources/?page_size=100")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        return next(each["id"] for each in page["results"] if each["slug"] == slug)

    def free_slot(self, resource: int, *, days: int = 3) -> dict[str, Any]:
        """The body that would hold a free slot some days from now."""
        return self.free_slots(resource, days=days)[0]

    def free_slots(
        self, resource: int, *, days: int, length: int = 2
    ) -> list[dict[str, Any]]:
        """All free slots from so many days from now, and for `length` days on."""
        [(now,)] = self.rows("SELECT slotbase_now()")
        start = now.astimezone(UTC) + timedelta(days=days)
        window = f"from={_stamp(start)}&to={_stamp(start + timedelta(days=length))}"
        address = f"/api/v1/resources/{resource}/availability/?{window}"
        return [
            {
                "resource": resource,
                "start_time": slot["start_time"],
                "end_time": slot["end_time"],
            }
            for slot in self.call("GET", address).json()["slots"]
        ]


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def eventually(condition: Callable[[], Any], *, seconds: float = 30) -> Any:
    """Wait until the condition gives something true, and return it."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return result


@contextmanager
def started() -> Iterator[Product]:
    """A product of one's own, in which no other test has left anything to tell."""
    with tempfile.TemporaryDirectory(prefix="slotbase-product-") as folder:
        product = Product(Path(folder))
        done = product.devstack("up")
        assert done.returncode == 0, done.stdout + done.stderr
        try:
            yield product
        finally:
            product.go_on()  # or its end would be waited for
            product.devstack("clean")


@pytest.fixture(scope="session")
def _started_product() -> Iterator[Product]:
    with started() as product:
        yield product


@pytest.fixture
def product(_started_product: Product) -> Iterator[Product]:
    """The running product, healthy and with the right clock before and after."""
    yield _started_product
    _started_product.go_on()
    _started_product.move_clock("reset")
    broken = _started_product.rows(
        "SELECT x.hold_id, y.hold_id FROM bookings_slotclaim x"
        " JOIN bookings_slotclaim y ON x.unit_id = y.unit_id AND x.id < y.id"
        " AND x.during && y.during"
    )
    assert broken == []
