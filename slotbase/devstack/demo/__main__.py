"""`python -m slotbase.devstack.demo`: all stories, one after the other.

Starts the product if it does not run (and stops it afterwards).
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from slotbase.devstack.demo import booking, coaching, paying
from slotbase.devstack.demo.people import TIMEOUT_SECONDS, App, BackOffice, World
from slotbase.devstack.demo.promises import PromiseBroken, promise
from slotbase.devstack.run_env import read_run_env
from slotbase.devstack.state import installation, read_json

DEVSTACK = [sys.executable, "-m", "slotbase.devstack"]


@contextmanager
def running_product() -> Iterator[dict[str, str]]:
    """The addresses of the product, which is started and stopped if it did not run."""
    env = read_run_env(installation())
    if env and _is_ready(env["SLOTBASE_URL"]):
        yield env
        return
    subprocess.run([*DEVSTACK, "up"], check=True)
    try:
        yield read_run_env(installation())
    finally:
        subprocess.run([*DEVSTACK, "down"], check=True)


def _is_ready(site: str) -> bool:
    try:
        return requests.get(f"{site}/health/ready", timeout=TIMEOUT_SECONDS).ok
    except requests.ConnectionError:
        return False


def run(env: dict[str, str]) -> None:
    """Every story of the demo."""
    demo = read_json(installation().root / "demo.json")
    logins = {person["group"]: person for person in demo["staff"]}
    ada, ben = (App(env, each["clerk_id"]) for each in demo["customers"][:2])
    payer = paying.Customer(ada, demo["customers"][0]["email"])
    world = World(env)
    at_venue, online = find_court(ada, "AT_VENUE"), find_court(ada, "ONLINE")
    paid_court = paying.Court(online["id"], online["name"])
    desk = BackOffice(env, "the front desk", logins["front_desk"])
    booking.play(ada, ben, desk, at_venue["id"])
    booking.play_cash(ben, desk, at_venue["id"])
    paying.play(world, payer, paid_court)
    support = BackOffice(env, "support", logins["support"])
    paying.play_failure(world, payer, paid_court, support)
    jo, cleo = App(env, demo["coaches"][0]["clerk_id"]), demo["customers"][-1]
    session = demo["sessions"][0]["booking"]
    coaching.play(jo, App(env, cleo["clerk_id"]), session, world, cleo["email"])


def find_court(app: App, payment_mode: str) -> dict[str, Any]:
    """A court that is paid in this way."""
    resources: list[dict[str, Any]] = app.get("/resources/", page_size="100")["results"]
    found = [
        each
        for each in resources
        if each["kind"] == "COURT" and each["payment_mode"] == payment_mode
    ]
    promise(f"the catalogue has a court that is paid {payment_mode}", found, resources)
    return found[0]


def main() -> int:
    """Run the demo; the exit code."""
    try:
        with running_product() as env:
            run(env)
    except PromiseBroken as broken:
        print(f"The demo failed: {broken}", file=sys.stderr)
        return 1
    print("Every promise was kept.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
