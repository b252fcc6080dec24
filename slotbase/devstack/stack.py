"""The whole product: its programs, in order, and where they can be reached."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

from slotbase.devstack import environment
from slotbase.devstack.child import Child, Program
from slotbase.devstack.loopback import answers
from slotbase.devstack.ports import (
    LOOPBACK,
    choose_web_port,
    reserve,
    same_port_as_before,
)
from slotbase.devstack.postgres import Postgres
from slotbase.devstack.state import CHECKOUT, State
from slotbase.devstack.valkey import Valkey

#: Whose webhooks the sandbox sends to the product.
HOOKS = ("stripe", "resend", "clerk")
QUEUES = "money,inbox,bookings,email,push,ai,default"


class ProductStack:
    """PostgreSQL and Valkey unless they are given, and SlotBase on top of them.

    Making it prepares the servers and takes the web port, but starts nothing.

    Raises:
        StackError: a port is taken or a server is missing.
    """

    def __init__(self, state: State, given: Mapping[str, str] = os.environ) -> None:
        self._state, self._given = state, given
        self._web_port = choose_web_port(state, given.get("PORT"))
        reserve(self._web_port)
        self._sandbox_port = same_port_as_before(state, "sandbox")
        postgres = None if given.get("DATABASE_URL") else Postgres(state.root)
        valkey = None if given.get("REDIS_URL") else Valkey(state.root)
        self._servers = [each for each in (postgres, valkey) if each is not None]
        for server in self._servers:
            server.prepare()
        self._addresses = {
            "SLOTBASE_URL": f"http://{LOOPBACK}:{self._web_port}",
            "SANDBOX_URL": f"http://{LOOPBACK}:{self._sandbox_port}",
            **environment.database_addresses(given, postgres),
            **environment.redis_addresses(given, valkey),
        }
        self._settings = environment.settings(
            given, self._addresses, state.recall_secret("secret_key")
        )
        self.programs = list(self._programs())

    def run_env(self, children: Mapping[str, Child]) -> dict[str, str]:
        """The content of `run.env`."""
        pids = {name: str(child.pid) for name, child in children.items()}
        workers = [pid for name, pid in pids.items() if name.startswith("worker")]
        return {
            **self._addresses,
            "STATE_DIR": str(self._state.root),
            "SUPERVISOR_PID": str(os.getpid()),
            "POSTGRES_PID": pids.get("postgres", ""),
            "VALKEY_PID": pids.get("valkey", ""),
            "SANDBOX_PID": pids.get("sandbox", ""),
            "WEB_PID": pids.get("web", ""),
            "WORKER_PIDS": " ".join(workers),
            "BEAT_PID": pids.get("beat", ""),
        }

    def _programs(self) -> Iterator[Program]:
        yield from (server.program() for server in self._servers)
        yield self._sandbox()
        yield self._migrate()
        yield self._seed()
        yield self._web()
        yield from self._workers()
        yield self._beat()

    def _sandbox(self) -> Program:
        folder = self._state.root / "sandbox"
        where = ["--port", str(self._sandbox_port), "--state-dir", str(folder)]
        health = f"{self._addresses['SANDBOX_URL']}/_sandbox/health"
        hooks = [part for name in HOOKS for part in ("--webhook", self._hook(name))]
        return replace(
            self._python("sandbox", "-m", "slotbase.sandbox", *where, *hooks),
            is_ready=lambda _: answers(health),
        )

    def _hook(self, provider: str) -> str:
        """Where the sandbox sends a provider's webhooks, and how it signs them."""
        secrets = self._settings[f"{provider.upper()}_WEBHOOK_SECRETS"]
        url = f"{self._addresses['SLOTBASE_URL']}/webhooks/{provider}/"
        return f"{provider}={url},{secrets.split(',')[0].strip()}"

    def _migrate(self) -> Program:
        owner = {"DATABASE_URL": self._addresses["DATABASE_OWNER_URL"]}
        return replace(
            self._python("migrate", "manage.py", "migrate", "--no-input"),
            env=self._settings | owner,
            after=self._server_names(),
            once=True,
        )

    def _seed(self) -> Program:
        return replace(
            self._python("seed", "manage.py", "seed_demo", "--json"),
            output=self._state.root / "demo.json",
            after=("migrate",),
            once=True,
        )

    def _web(self) -> Program:
        workers = environment.count(self._given, "WEB_WORKERS", 2)
        threads = environment.count(self._given, "WEB_THREADS", 8)
        listen = ["--host", LOOPBACK, "--port", str(self._web_port), "--no-ws"]
        size = ["--workers", str(workers), "--blocking-threads", str(threads)]
        # SIGHUP starts a new process and ends the old one so many seconds later, when
        # the new one serves: else nobody would, for a moment.
        care = ["--respawn-failed-workers", "--respawn-interval", "5"]
        care += ["--workers-kill-timeout", "10"]
        application = ["--interface", "wsgi", "slotbase.wsgi:application"]
        health = f"{self._addresses['SLOTBASE_URL']}/health/ready"
        return replace(
            self._python("web", "-m", "granian", *listen, *size, *care, *application),
            is_ready=lambda _: answers(health),
            after=("migrate",),
        )

    def _workers(self) -> Iterator[Program]:
        options = ["--queues", QUEUES, "--concurrency", "2"]
        options += ["--without-gossip", "--without-mingle"]
        for number in range(1, environment.count(self._given, "WORKERS", 1) + 1):
            name = "worker" if number == 1 else f"worker-{number}"
            node = ["--hostname", f"{name}@%h"]
            yield replace(
                self._celery(name, "worker", *options, *node),
                is_ready=lambda child: child.said(" ready."),
            )

    def _beat(self) -> Program:
        return replace(
            self._celery("beat", "beat", "--pidfile="),
            is_ready=lambda child: child.said("beat: Starting"),
        )

    def _celery(self, name: str, *arguments: str) -> Program:
        command = ("-m", "celery", "-A", "slotbase.celery", *arguments)
        program = self._python(name, *command, "--loglevel", "INFO")
        return replace(program, after=("migrate",))

    def _python(self, name: str, *arguments: str) -> Program:
        return Program(
            name=name,
            command=[sys.executable, *arguments],
            env=self._settings,
            folder=CHECKOUT,
        )

    def _server_names(self) -> tuple[str, ...]:
        return tuple(server.program().name for server in self._servers)
