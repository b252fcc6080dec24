"""The commands of docs/quickstart.md do what the page says, on a running product."""

import re
import subprocess

import pytest

from tests.architecture.source import ROOT
from tests.product import Product

pytestmark = pytest.mark.stack


def commands(page: str) -> str:
    """Everything in code blocks but the command that starts the product."""
    blocks = re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return "".join(blocks).replace("make run\n", "", 1)


def test_the_commands_of_the_quickstart_hold_pay_confirm_cancel_and_expire(
    product: Product,
) -> None:
    script = commands((ROOT / "docs" / "quickstart.md").read_text())
    script = script.replace(".slotbase/run.env", str(product.folder / "run.env"))
    script = script.replace("sleep 2", "sleep 5")  # a busy computer sweeps late

    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=ROOT,
        env=product.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    states = re.findall(r'"status":\s*"(\w+)"', done.stdout)
    assert states == [*["CONFIRMED", "CANCELLED"] * 2, "EXPIRED"]
    assert '"payment_status":"PAID","refund_status":"NONE"' in done.stdout
    assert '"payment_status":"REFUNDED","refund_status":"COMPLETE"' in done.stdout
    assert done.stdout.count('"kind": "paid"') == 1
