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
        """`--json` for machines, `--safety` without what heals by itself."""
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--safety", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Run the checks."""
        broken = invariants.find_violations(safety_only=options["safety"])
        if options["json"]:
            self.stdout.write(json.dumps([asdict(each) for each in broken]))
        else:
            for each in broken:
                self.stdout.write(f"{each.id}: {each.says} Broken by {each.rows}")
        if broken:
            raise SystemExit(1)
        if not options["json"]:
            self.stdout.write(f"{len(invariants.registered())} invariants hold.")
