"""`manage.py check_local_times`: after new rules of time zones were installed."""

from typing import Any

from django.core.management.base import BaseCommand

from bookings.services.moved_clocks import find_moved_bookings


class Command(BaseCommand):
    """Opens a case for each coming booking whose local time has moved."""

    help = (
        "Compare the local times of all coming bookings with those they were sold for."
        " Each one that has moved gets a case; run it after an update of tzdata."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        """Say how many there are."""
        moved = find_moved_bookings()
        self.stdout.write(f"{moved} bookings are at another local time than sold.")
