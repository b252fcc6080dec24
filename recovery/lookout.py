"""Who looks after alerts: a worker when beat asks, and each web process by itself.

Web processes live when beat and the workers do not: they notice, write notices and
deliver them. Rows are leased and one alert stands for each trouble, so twice does no
harm.
"""

from recovery import alerting, alerts, conditions, notices
from slotbase.lib import tally, watch

WATCH_SECONDS = 10
MOST_ROUNDS = 40  # of a batch of cases each; the next turn goes on

TELL = {
    notices.WEBHOOK: notices.deliver_by_webhook,
    notices.MAIL: notices.deliver_by_mail,
}


def look() -> None:
    """Find out of what somebody should know, and write what they are told."""
    for _ in range(MOST_ROUNDS):
        if alerts.follow_cases() < alerts.BATCH:
            break
    conditions.check()
    notices.write_notices()


def look_and_tell() -> None:
    """The same, and deliver it by every channel."""
    look()
    for tell in TELL.values():
        tell()


watch.register(watch.Job("alerts", WATCH_SECONDS, look_and_tell))
tally.listen(alerting.count)
