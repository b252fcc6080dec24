"""How often something happened, per minute and in all processes together."""

from collections.abc import Mapping
from datetime import timedelta

from django.db import connection

from recovery.models import Count
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required

KEPT = timedelta(days=1)
_ADD = """
INSERT INTO recovery_count (name, minute, number)
SELECT name, date_trunc('minute', slotbase_now(), 'UTC'), number
FROM unnest(%s::text[], %s::int[]) AS given (name, number) ORDER BY name
ON CONFLICT (name, minute) DO UPDATE SET number = recovery_count.number
    + EXCLUDED.number
"""


@transaction_required
def add(numbers: Mapping[str, int]) -> None:
    """Count these on in the present minute."""
    if not numbers:
        return
    names = [name[:64] for name in numbers]
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [names, list(numbers.values())])


def forget_old_counts() -> None:
    """Nobody looks at the counts of yesterday."""
    Count.objects.filter(minute__lte=Now() - KEPT).delete()
