"""Whether FCM refuses devices or what we send: a bug of ours costs nobody a device.

A message that FCM finds wrong, or a service account of another project, fails for each
device. FCM then says in the words for a single device that this one is not known.
"""

from datetime import timedelta

from notifications.models import NotificationAttempt
from notifications.states import Channel
from recovery import conditions
from slotbase.lib.clock import Now
from slotbase.providers.fcm.outcomes import (
    INVALID_ARGUMENT,
    INVALID_TOKEN,
    SENDER_ID_MISMATCH,
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
    if INVALID_ARGUMENT in _codes_lately() or is_our_fault():
        return {"fcm": "FCM refuses what is pushed: devices are left as they are"}
    return {}


def _codes_lately() -> list[str]:
    lately = NotificationAttempt.objects.filter(
        at__gte=Now() - WINDOW, notification__channel=Channel.PUSH
    )
    return list(lately.order_by("-at").values_list("code", flat=True)[:LOOKED_AT])


conditions.register("push_refused", find_refusals)
