"""Whether FCM refuses devices or what we send: a bug of ours costs nobody a device.

A message that FCM finds wrong, or a service account of another project, fails for each
device. FCM then says in the words for a single device that this one is not known.
"""

from datetime import timedelta

from django.db.models import QuerySet

from notifications.models import NotificationAttempt
from notifications.states import Channel
from recovery import conditions
from slotbase.lib.clock import Now
from slotbase.providers.fcm.outcomes import (
    INVALID_ARGUMENT,
    INVALID_TOKEN,
    SENDER_ID_MISMATCH,
    THIRD_PARTY_AUTH_ERROR,
)

WINDOW = timedelta(minutes=10)
LOOKED_AT = 200  # the last ones, however many there were
FEWEST, MOST_PERCENT = 20, 20
#: What FCM says of one device as it does of every one if the fault is ours. Not
#: UNREGISTERED: that it says of a device that it has known.
SUSPICIOUS = frozenset({INVALID_TOKEN, SENDER_ID_MISMATCH, INVALID_ARGUMENT})


def is_our_fault() -> bool:
    """Whether so many pushes were refused lately that it cannot be their devices."""
    codes = _codes_lately()
    refused = sum(code in SUSPICIOUS for code in codes)
    return len(codes) >= FEWEST and refused * 100 > len(codes) * MOST_PERCENT


def find_refusals() -> conditions.Found:
    """The alert of messages that FCM refuses whatever the device."""
    if _was_met_lately(INVALID_ARGUMENT) or is_our_fault():
        return {"fcm": "FCM refuses what is pushed: devices are left as they are"}
    return {}


def find_refused_keys() -> conditions.Found:
    """The alert of a key at Firebase that Apple or a web push service does not take."""
    if _was_met_lately(THIRD_PARTY_AUTH_ERROR):
        return {"fcm": "Apple's or the web push key at Firebase is missing or wrong"}
    return {}


def _was_met_lately(code: str) -> bool:
    return _lately().filter(code=code).exists()


def _codes_lately() -> list[str]:
    newest = _lately().order_by("-at")
    return list(newest.values_list("code", flat=True)[:LOOKED_AT])


def _lately() -> QuerySet[NotificationAttempt]:
    return NotificationAttempt.objects.filter(
        at__gte=Now() - WINDOW, notification__channel=Channel.PUSH
    )


conditions.register("push_refused", find_refusals)
conditions.register("push_key_refused", find_refused_keys)
