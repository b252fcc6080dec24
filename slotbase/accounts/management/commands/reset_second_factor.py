"""`manage.py reset_second_factor USERNAME`: for staff who lost phone and codes."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from slotbase.accounts.models import User
from slotbase.accounts.services import second_factors


class Command(BaseCommand):
    help = (
        "Take a second factor away: the next sign-in with the password makes another."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose."""
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Audited as done by the system; an alert tells of it."""
        user = User.objects.filter(username=username, is_staff=True).first()
        if user is None:
            raise CommandError("There is no member of staff with this username.")
        second_factors.reset(user_id=user.pk)
        self.stdout.write(
            "Done. Set a new password as well if anybody else may know it."
        )
