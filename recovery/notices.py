"""Notices: what is told of alerts, and its way to the webhook and into mails.

`write_notices` turns alerts that are to be told into notices, few however many alerts
there are: one for each at first, then one summary a minute. Each notice is a due row
for each channel (`recovery.rowqueue`), with an id that never changes, by which
receivers know what they were sent before.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db.models import Q

from recovery import rowqueue
from recovery.locks import lock_alerts_to_tell, lock_batch, try_lock_writing
from recovery.models import Alert, AlertNotice, NoticeDelivery
from recovery.severities import TELLINGS
from recovery.states import NOTICE_MOVES, AlertStatus, CaseSeverity, NoticeStatus
from recovery.wording import Wording, word
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.states import require_move
from slotbase.providers.alerts.client import post_notice
from slotbase.providers.resend.client import send_email

# In any five minutes a channel gets at most 20 notices: 15 about one alert or batch,
# then summaries, of which one is written in a minute.
WINDOW = timedelta(minutes=5)
MOST_SINGLE = 15
BETWEEN_SUMMARIES = timedelta(minutes=1)
MOST_AT_ONCE = 20_000
# Less than the day for which Resend knows what it was sent.
KEPT_FOR = timedelta(hours=20)
WEBHOOK, MAIL = "webhook", "mail"
RANKS = list(CaseSeverity)


def channels() -> list[str]:
    """Where alerts are told; none: they stand in the back office alone."""
    wanted = {WEBHOOK: settings.ALERT_WEBHOOK_URL, MAIL: settings.ALERT_EMAIL_TO}
    return [name for name, address in wanted.items() if address]


# --- Which notices --------------------------------------------------------------


@retry_on_conflict
def write_notices() -> int:
    """Write what is to be told now; returns how many notices that took."""
    if not channels():
        _leave_out_what_is_over()
        return 0
    if not try_lock_writing():
        return 0
    due = lock_alerts_to_tell(MOST_AT_ONCE)
    if not due:
        return 0
    groups = _group(due)
    room = MOST_SINGLE - _written_within(WINDOW, is_summary=False)
    single, rest = groups[: max(room, 0)], groups[max(room, 0) :]
    for group in single:
        _write(group, is_summary=False)
    if rest and not _written_within(BETWEEN_SUMMARIES, is_summary=True):
        _write([alert for group in rest for alert in group], is_summary=True)
        rest = []
    return len(groups) - len(rest)


@transaction_required
def _leave_out_what_is_over() -> None:
    """Whoever is to be told from some day on is not told of what was before."""
    waiting = Alert.objects.filter(tell_at__lte=Now())
    waiting.filter(status=AlertStatus.RESOLVED).update(tell_at=None)


def _group(due: Sequence[Alert]) -> list[Sequence[Alert]]:
    """What goes into one notice each, the most severe first."""
    ranked = sorted(due, key=lambda alert: RANKS.index(CaseSeverity(alert.severity)))
    groups: list[Sequence[Alert]] = []
    for severity, alerts in groupby(ranked, key=lambda alert: alert.severity):
        if TELLINGS[CaseSeverity(severity)].is_batched:
            groups.append(lock_batch(severity, MOST_AT_ONCE))
        else:
            groups += [[alert] for alert in alerts]
    return groups


def _written_within(age: timedelta, *, is_summary: bool) -> int:
    recent = AlertNotice.objects.filter(created_at__gt=Now() - age)
    return recent.filter(is_summary=is_summary).count()


@transaction_required
def _write(alerts: Sequence[Alert], *, is_summary: bool) -> None:
    wording = word(alerts, at=read_clock())
    notice = AlertNotice.objects.create(
        severity=_worst(alerts),
        is_summary=is_summary,
        title=wording.title,
        body=wording.body,
    )
    NoticeDelivery.objects.bulk_create(
        NoticeDelivery(notice=notice, channel=channel) for channel in channels()
    )
    _note_as_told(alerts)


def _worst(alerts: Iterable[Alert]) -> CaseSeverity:
    return min((CaseSeverity(each.severity) for each in alerts), key=RANKS.index)


@transaction_required
def _note_as_told(alerts: Iterable[Alert]) -> None:
    """What is still open is told again, if its severity says so."""
    rows = Alert.objects.filter(pk__in=[alert.pk for alert in alerts])
    rows.update(told_at=Now(), tell_at=None)
    for severity, telling in TELLINGS.items():
        if telling.again:
            is_open = Q(status=AlertStatus.OPEN, severity=severity)
            rows.filter(is_open).update(tell_at=Now() + telling.again)


# --- Their way out --------------------------------------------------------------


def deliver_by_webhook() -> int:
    """Post what is due to ALERT_WEBHOOK_URL; returns how many were tried."""
    return rowqueue.run_due(BY_WEBHOOK, channel=WEBHOOK)


def deliver_by_mail() -> int:
    """Mail what is due to ALERT_EMAIL_TO; returns how many were tried."""
    return rowqueue.run_due(BY_MAIL, channel=MAIL)


class _TooOld(rowqueue.NotCalled):
    """Nobody was called: the notice says nothing of today."""


def _post(delivery: NoticeDelivery) -> _TooOld | None:
    notice = delivery.notice
    if not settings.ALERT_WEBHOOK_URL or _is_too_old(notice):
        return _TooOld()
    post_notice({**notice.body, "id": str(notice.pk)})
    return None


def _mail(delivery: NoticeDelivery) -> _TooOld | None:
    notice = delivery.notice
    if not settings.ALERT_EMAIL_TO or _is_too_old(notice):
        return _TooOld()
    wording = Wording(notice.title, notice.body)
    send_email(
        sender=settings.EMAIL_FROM,
        to=settings.ALERT_EMAIL_TO,
        subject=wording.title,
        html=wording.html,
        text=wording.text,
        idempotency_key=f"{settings.SLOTBASE_ENV}:alert:{notice.pk}",
    )
    return None


def _is_too_old(notice: AlertNotice) -> bool:
    return notice.created_at < read_clock() - KEPT_FOR


def _record(delivery: NoticeDelivery, answer: object) -> Mapping[str, Any]:
    is_gone = isinstance(answer, _TooOld)
    return _settle(delivery, NoticeStatus.EXPIRED if is_gone else NoticeStatus.DONE)


def _fail(
    delivery: NoticeDelivery,
    failure: rowqueue.Failure,  # noqa: ARG001 - the queue keeps it in `last_error`
    is_over: bool,  # noqa: FBT001 - the queue's signature
) -> Mapping[str, Any]:
    return _settle(delivery, NoticeStatus.FAILED) if is_over else {}


def _settle(delivery: NoticeDelivery, to: NoticeStatus) -> Mapping[str, Any]:
    require_move(NOTICE_MOVES, delivery.status, to)
    return {"status": to, "settled_at": Now()}


def _waits(_: NoticeDelivery) -> Sequence[int]:
    """The last wait again and again: a notice ends by its age."""
    waits: list[int] = settings.ALERT_RETRY_SECONDS
    return [*waits, *waits[-1:] * 10_000]


BY_WEBHOOK = rowqueue.RowQueue(
    name="alert",
    model=NoticeDelivery,
    call=_post,
    record=_record,
    fail=_fail,
    retry_seconds=_waits,
    provider="alerts",
)
BY_MAIL = rowqueue.RowQueue(
    name="alert",
    model=NoticeDelivery,
    call=_mail,
    record=_record,
    fail=_fail,
    retry_seconds=_waits,
    provider="resend",
)


@retry_on_conflict
def purge_old_notices(*, limit: int) -> int:
    """Forget notices of ALERT_RETENTION_DAYS ago, whatever became of them."""
    age = timedelta(days=settings.ALERT_RETENTION_DAYS)
    old = AlertNotice.objects.filter(created_at__lte=Now() - age)
    ids = list(old.order_by("created_at").values_list("pk", flat=True)[:limit])
    NoticeDelivery.objects.filter(notice__in=ids).delete()
    AlertNotice.objects.filter(pk__in=ids).delete()
    return len(ids)
