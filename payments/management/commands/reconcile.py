"""`manage.py reconcile`: our money beside Stripe's; exit 1 if something is wrong."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from payments.queries import Standing, get_standing
from payments.services import reconcile_desk
from recovery import audit
from slotbase.lib.money import format_money

OPERATOR = audit.Actor.system("manage.py")


class Command(BaseCommand):
    help = "Say how our money compares with Stripe's; exit 1 if something is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--now` compares first, `--restored` stops senders, `--json` for machines."""
        parser.add_argument("--now", action="store_true")
        parser.add_argument("--restored", action="store_true")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Do what was asked for, then say how things stand."""
        if options["restored"]:
            reconcile_desk.declare_restored(actor=OPERATOR)
        if options["now"]:
            reconcile_desk.reconcile_now(actor=OPERATOR)
        standing = get_standing()
        if options["json"]:
            self.stdout.write(json.dumps(standing.as_json()))
        else:
            self._say(standing)
        if standing.is_wrong:
            raise SystemExit(1)

    def _say(self, standing: Standing) -> None:
        for row in standing.rows:
            self.stdout.write(f"{row.name}: {row.says}")
        for day in standing.days:
            ours, theirs = (
                format_money(minor, day.currency)
                for minor in (day.ours_minor, day.stripe_minor)
            )
            verdict = "DIFFERS" if day.difference_minor else "agrees"
            self.stdout.write(
                f"{day.day} {day.name}: ours {ours}, Stripe's {theirs}: {verdict}"
            )
        if standing.stopped_since:
            self.stdout.write("Senders are stopped: see the case restore_detected.")
