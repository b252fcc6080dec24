"""The API of a running product under fire, by Schemathesis: every check, every phase.

As a customer, with a second one who must never see what the first one has, and as
nobody. Afterwards all invariants are checked in full: whatever was sent, money and
slots are right.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests

from security.packages import Found
from slotbase.devstack import environment
from slotbase.devstack.own import own_product
from slotbase.devstack.state import CHECKOUT, State

CUSTOMERS = ("fuzz-alice", "fuzz-charlie")
# Longer than all of it takes; the product takes no token that lives longer.
TOKEN_SECONDS = 3600
DONE = "done.txt"
HOOKS = Path(__file__).with_name("hooks.py")
# How much is sent is what is tried here, not how much may be sent.
PLENTY = {
    "MAX_ACTIVE_HOLDS": "1000",
    "MAX_UNUSED_HOLDS": "1000",
    "MAX_WAITLIST_ENTRIES": "1000",
    "MAX_DEVICES": "1000",
    **{
        f"THROTTLE_{each}_PER_MINUTE": "1000000"
        for each in ("USER", "ADDRESS", "HOLDS", "EXPORTS", "SHARED_ADDRESS", "GLOBAL")
    },
}


def fuzz(options: argparse.Namespace) -> str:
    """Send all that Schemathesis thinks of to a product of our own.

    Raises:
        Found: an answer breaks a check, too little was sent, something was never done,
            or an invariant is broken.
    """
    with (
        tempfile.TemporaryDirectory(prefix="slotbase-fuzz-") as reports,
        own_product("slotbase-security-", **PLENTY) as product,
    ):
        runs = [
            _run(who, product, Path(reports), options)
            for who in ("customer", "anonymous")
        ]
        wrong = [*_never_done(product, Path(reports)), *_violations(product)]
    return judge(runs, wrong, options)


def judge(
    runs: list[dict[str, Any]], wrong: list[str], options: argparse.Namespace
) -> str:
    """What the reports of all runs come to, in words.

    Raises:
        Found: as above.
    """
    counts = [run["test_cases"] for run in runs]
    cases = sum(each["generated"] for each in counts)
    findings = sum(each["unique_failures"] + each["errored"] for each in counts)
    told = f"{cases} cases, {findings} findings, seed {options.seed}"
    if findings or not all(run["complete"] for run in runs):
        raise Found("; ".join([told, *wrong]))
    if cases < options.cases:
        raise Found(f"{told}; at least {options.cases} cases are wanted")
    if wrong:
        raise Found(f"{told}; {'; '.join(wrong)}")
    return f"{told}, no invariant broken"


def _run(
    who: str, product: dict[str, str], reports: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """One run of Schemathesis; its report."""
    folder = reports / who
    folder.mkdir()
    report = folder / "report.json"
    (folder / "schemathesis.toml").write_text(_configuration(who, product, folder))
    # For each operation, in the random phases; edges of the schema come on top.
    share = str(max(20, options.cases // 50))
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", "schemathesis.toml", "run"]
    command += [f"{product['SLOTBASE_URL']}/api/schema/", "--checks", "all"]
    command += ["--phases", "examples,coverage,fuzzing,stateful"]
    command += ["--seed", str(options.seed), "--max-examples", share]
    command += ["--generation-database", "none", "--continue-on-failure"]
    command += ["--report", "json", "--report-json-path", str(report), "--no-color"]
    print(f"\n-- as {who}", flush=True)
    env = os.environ | {"NO_PROXY": "localhost,127.0.0.1", "FUZZ_AS": who}
    env |= {"FUZZ_SITE": product["SLOTBASE_URL"], "FUZZ_SEED": str(options.seed)}
    env |= {"FUZZ_SANDBOX": product["SANDBOX_URL"], "FUZZ_DONE": str(folder / DONE)}
    env |= {"FUZZ_DEMO": str(Path(product["STATE_DIR"]) / "demo.json")}
    subprocess.run(command, cwd=folder, env=env, check=False)
    if not report.exists():
        raise Found(f"Schemathesis did not run as {who}")
    result: dict[str, Any] = json.loads(report.read_text())
    return result


# What a request that is right may be answered: Schemathesis expects these, but for 402
# and 410, which tell of a hold's state as 409 does (it costs money, it has run out).
MAY_BE = ["2xx", "3xx", "402", "404", "409", "410", "429"]
# Of a customer it would mean that they are signed out: then nothing more was tried.
OF_NOBODY = ["401", "403"]


def _configuration(who: str, product: dict[str, str], folder: Path) -> str:
    """Who is signed in; without a customer, nobody is."""
    lines = [f'hooks = "{HOOKS}"', "[checks.positive_data_acceptance]"]
    may_be = MAY_BE if who == "customer" else [*MAY_BE, *OF_NOBODY]
    lines += [f"expected-statuses = {json.dumps(may_be)}"]
    if who == "customer":
        users = folder / "users.json"
        users.write_text(json.dumps(_users(product)))
        alice, charlie = CUSTOMERS
        lines += ["[auth.wfc]", f'path = "{users}"', f'user = "{alice}"']
        lines += [f'peers = ["{alice}", "{charlie}"]']
    return "\n".join(lines) + "\n"


def _users(product: dict[str, str]) -> dict[str, Any]:
    """Customers and their tokens, in the form of Web Fuzzing Commons."""
    answer = requests.post(
        f"{product['SANDBOX_URL']}/_sandbox/tokens",
        json={"subs": CUSTOMERS, "ttl": TOKEN_SECONDS},
        timeout=30,
    )
    answer.raise_for_status()
    users = [
        {
            "name": name,
            "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}],
        }
        for name, token in answer.json()["tokens"].items()
    ]
    return {"schemaVersion": "0.2.0", "auth": users}


def _never_done(product: dict[str, str], reports: Path) -> list[str]:
    """Operations that no run was answered well: what is behind them was not tried."""
    answer = requests.get(
        f"{product['SLOTBASE_URL']}/api/schema/",
        headers={"Accept": "application/json"},
        timeout=30,
    )
    answer.raise_for_status()
    done = [each.read_text() for each in reports.glob(f"*/{DONE}")]
    return not_among(answer.json(), "".join(done).splitlines())


def not_among(schema: dict[str, Any], done: list[str]) -> list[str]:
    """The operations of a schema that are not among these, such as `GET /me/`."""
    operations = {
        f"{method.upper()} {path}"
        for path, methods in schema["paths"].items()
        for method in methods
        if method in {"get", "put", "post", "delete", "patch"}
    }
    return [f"never done: {each}" for each in sorted(operations - {*done})]


def _violations(product: dict[str, str]) -> list[str]:
    """The invariants that are broken now."""
    state = State(Path(product["STATE_DIR"]))
    key = state.recall_secret("secret_key")
    done = subprocess.run(
        [sys.executable, "manage.py", "check_invariants", "--full", "--json"],
        env=environment.settings(os.environ, product, key),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        violations = json.loads(done.stdout)
    except ValueError as error:
        raise Found("check_invariants did not run") from error
    return [f"invariant broken: {each['id']}" for each in violations]
