"""`manage.py doctor`: what is wrong with this installation, and what to do about it."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from slotbase.doctor.diagnosing import diagnose
from slotbase.doctor.examining import Diagnosis


class Command(BaseCommand):
    help = "Say in plain words what is wrong with this installation; exit 1 if it is."
    # The doctor must see what these would stop at.
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--json` for machines."""
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Look at everything."""
        found = diagnose()
        if options["json"]:
            is_well = {"is_well": not found.findings}
            self.stdout.write(json.dumps({**is_well, **asdict(found)}, indent=2))
        else:
            self._tell(found)
        if found.findings:
            raise SystemExit(1)

    def _tell(self, found: Diagnosis) -> None:
        for each in found.findings:
            self.stdout.write(self.style.ERROR(f"{each.name}: {each.says}"))
            self.stdout.write(f"    {each.do}")
        if found.skipped:
            later = ", ".join(found.skipped)
            self.stdout.write(f"Not looked at, since the database is away: {later}.")
        if found.findings:
            self.stdout.write(f"Well: {', '.join(found.well) or 'nothing else'}.")
        else:
            self.stdout.write(f"All is well: {', '.join(found.well)}.")
