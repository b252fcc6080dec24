"""The commands of pages do what these say, on a running product."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.architecture.source import ROOT
from tests.product import Product

pytestmark = pytest.mark.stack


def commands(page: str) -> str:
    """Everything in code blocks but the command that starts the product."""
    blocks = re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return "".join(blocks).replace("make run\n", "", 1)


def run(product: Product, script: str) -> subprocess.CompletedProcess[str]:
    """In the folder of the product; all of it succeeds."""
    done = subprocess.run(
        ["bash", "-euc", script.replace(".slotbase/", f"{product.folder}/")],
        cwd=ROOT,
        env=product.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def read_objects(text: str) -> Iterator[Any]:
    """The answers of an API, one after the other."""
    decoder, left = json.JSONDecoder(), text.strip()
    while left:
        answer, end = decoder.raw_decode(left)
        yield answer
        left = left[end:].strip()


def test_the_commands_of_the_quickstart_hold_pay_confirm_cancel_and_expire(
    product: Product,
) -> None:
    script = commands((ROOT / "docs" / "quickstart.md").read_text())

    # A busy computer sweeps late.
    done = run(product, script.replace("sleep 2", "sleep 5"))

    states = re.findall(r'"status":\s*"(\w+)"', done.stdout)
    assert states == [*["CONFIRMED", "CANCELLED"] * 2, "EXPIRED"]
    assert '"payment_status":"PAID","refund_status":"NONE"' in done.stdout
    assert '"payment_status":"REFUNDED","refund_status":"COMPLETE"' in done.stdout
    assert done.stdout.count('"kind": "paid"') == 1


def test_the_commands_of_coaches_write_wait_accept_and_ask_again(
    product: Product,
) -> None:
    script = commands((ROOT / "docs" / "howto" / "coach-notes.md").read_text())

    answers = read_objects(run(product, script).stdout)

    refused, waiting, accepted, read, again = answers
    assert refused["code"] == "invalid_state"
    assert waiting["enhancement"]["status"]
    text = "Great session, Cleo. Your backhand comes early now."
    assert accepted["accepted"]["text"] == text
    assert read == {name: accepted[name] for name in ("id", "booking", "accepted")}
    assert again["accepted"] == accepted["accepted"]
