"""What identifies a person is not kept longer than it is of use."""

from datetime import timedelta

from django.conf import settings

from notifications.models import Notification
from notifications.states import OPEN
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict


@retry_on_conflict
def empty_old_mails(*, limit: int) -> int:
    """Drop text, address and typed reason after NOTIFICATION_RETENTION_DAYS; how many.

    What became of the mail stays. One that is still to be sent keeps all it has.
    """
    age = timedelta(days=settings.NOTIFICATION_RETENTION_DAYS)
    old = Notification.objects.filter(
        rendered__isnull=False, created_at__lte=Now() - age
    ).exclude(status__in=OPEN)
    ids = list(old.order_by("created_at").values_list("pk", flat=True)[:limit])
    return old.filter(pk__in=ids).update(rendered=None, address_snapshot="", because="")
