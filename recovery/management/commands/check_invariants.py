"""`manage.py check_invariants`: exit 1 and a list if anything does not hold."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from recovery import invariants


class Command(BaseCommand):
    help = "Check what must always hold; exit 1 if something does not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to check and how to say it; what is new or open if nothing is said."""
        parser.add_argument(
            "--full", action="store_true", help="over all rows, however old"
        )
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--safety", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Run the checks."""
        broken = invariants.find_violations(
            safety_only=options["safety"], full=options["full"]
        )
        if options["json"]:
            self.stdout.write(json.dumps([asdict(each) for each in broken]))
        else:
            for each in broken:
                why = each.not_checked and f"Could not be checked: {each.not_checked}"
                broken_by = why or f"Broken by {each.rows}"
                self.stdout.write(f"{each.id}: {each.says} {broken_by}")
        if broken:
            raise SystemExit(1)
        if not options["json"]:
            self.stdout.write(f"{len(invariants.registered())} invariants hold.")
