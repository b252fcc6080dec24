"""`python -m slotbase.sandbox --port P --state-dir D`: run until told to stop."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from slotbase.sandbox.alerts import Alerts
from slotbase.sandbox.analytics import Analytics
from slotbase.sandbox.clerk import Clerk
from slotbase.sandbox.fcm.provider import Fcm
from slotbase.sandbox.fields import ControlError
from slotbase.sandbox.frame import Sandbox
from slotbase.sandbox.openai.provider import OpenAI
from slotbase.sandbox.resend.provider import Resend
from slotbase.sandbox.server import HOST, SandboxServer
from slotbase.sandbox.stripe.provider import Stripe
from slotbase.sandbox.webhooks import Webhooks


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    options = _read_options()
    try:
        server = SandboxServer(options.port)
    except OSError as error:
        sys.exit(f"sandbox: cannot listen on port {options.port}: {error.strerror}")
    webhooks = Webhooks()
    stripe = Stripe(webhooks=webhooks)
    resend = Resend(webhooks=webhooks)
    clerk = Clerk(url=server.url, state_directory=options.state_dir, webhooks=webhooks)
    others = [Analytics(), Alerts(), Fcm(), OpenAI()]
    server.sandbox = Sandbox([clerk, stripe, resend, *others], webhooks)
    for wish in options.webhook:
        _send_webhooks(webhooks, wish)
    sys.stderr.write(f"sandbox: listening on {server.url}\n")
    server.serve_forever()


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m slotbase.sandbox",
        description="Simulated providers for development and tests; never public.",
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument(
        "--webhook",
        metavar="PROVIDER=URL,SECRET",
        action="append",
        default=[],
        help="where a provider's webhooks go; may be given several times",
    )
    # Whoever reaches the sandbox can mint any customer's token.
    parser.add_argument("--host", choices=[HOST], default=HOST)
    return parser.parse_args()


def _send_webhooks(webhooks: Webhooks, wish: str) -> None:
    provider, _, rest = wish.partition("=")
    url, _, secret = rest.rpartition(",")
    try:
        webhooks.add_endpoint({"provider": provider, "url": url, "secret": secret})
    except ControlError as error:
        sys.exit(f"sandbox: --webhook {provider}: {error}")


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
