"""Back office: how mails and pushes go, on one page."""

from datetime import UTC, datetime

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from notifications import queries
from notifications.models import SendBudget
from notifications.services import budget
from notifications.states import Channel
from recovery.admin.health import BREAKERS
from recovery.backoffice import say_action, say_duration, staff_id_of
from recovery.provider_status import Status, list_statuses
from slotbase.lib.clock import read_clock
from slotbase.lib.columns import format_moment
from slotbase.lib.errors import InvalidState

MAY_SEE = "recovery.view_providerstatus"
MAY_END_PAUSE = "notifications.change_sendbudget"
PROVIDERS = {Channel.EMAIL: "resend", Channel.PUSH: "fcm"}
BUDGETED = frozenset({Channel.EMAIL})
NAMES = {Channel.EMAIL: "Mails", Channel.PUSH: "Pushes"}


def show_channels(request: HttpRequest) -> HttpResponse:
    """What waits, what went out, and what holds it back; a POST ends a pause."""
    if not request.user.has_perm(MAY_SEE):
        raise PermissionDenied
    if request.method == "POST":
        return _end_pause(request)
    now, budgets = read_clock(), queries.list_budgets()
    providers = {status.provider: status for status in list_statuses()}
    channels = [
        {
            "name": NAMES[channel],
            "facts": [
                *_queue(state, now),
                *_provider(providers.get(PROVIDERS[channel])),
                # Pushes have none: Google takes more than there will ever be.
                *(_budget(budgets.get("resend"), now) if channel in BUDGETED else ()),
                *_addressees(channel, state),
            ],
            "lately": [(say_action(name), *n) for name, n in state.lately.items()],
        }
        for channel, state in queries.read_channels().items()
    ]
    context = {
        **admin.site.each_context(request),
        "title": "Channels",
        "channels": channels,
        "can_end_pause": request.user.has_perm(MAY_END_PAUSE)
        and any(is_paused(each, now) for each in budgets.values()),
        "seen_at": format_moment(now, UTC),
    }
    return TemplateResponse(request, "admin/channels.html", context)


def _end_pause(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(MAY_END_PAUSE):
        raise PermissionDenied
    if request.POST.get("is_sure") != "yes":
        messages.error(request, "Nothing was done: tick that Resend takes mails again.")
        return HttpResponseRedirect(request.path)
    try:
        budget.end_pause(staff_id=staff_id_of(request))
    except InvalidState as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Mails go out again within seconds.")
    return HttpResponseRedirect(request.path)


def is_paused(row: SendBudget, now: datetime) -> bool:
    """Whether its provider said that a quota is used up, and it is not full again."""
    return row.paused_until is not None and row.paused_until > now


Fact = tuple[str, SafeString | str | int]


def _queue(state: queries.ChannelState, now: datetime) -> list[Fact]:
    oldest = "none"
    if state.oldest_due is not None:
        oldest = f"for {say_duration(now - state.oldest_due)}"
    return [
        ("Waiting", state.waiting),
        ("Planned for later", state.planned),
        ("Due", state.due),
        ("Longest due", oldest),
    ]


def _provider(status: Status | None) -> list[Fact]:
    if status is None or not status.is_configured:
        return [("Provider", "Not set up")]
    refuses = " It refuses our credentials." if status.refuses_us else ""
    return [("Provider", f"{status.provider}: {BREAKERS[status.breaker]}.{refuses}")]


def _budget(row: SendBudget | None, now: datetime) -> list[Fact]:
    if row is None:
        return [("Budget", "Nothing was sent yet")]
    if row.paused_until is not None and is_paused(row, now):
        until = format_moment(row.paused_until, UTC)
        return [("Budget", format_html("Used up: nothing goes out before {}", until))]
    ahead = say_duration(row.next_at - now)
    is_ahead = row.next_at > now
    return [("Budget", f"Next call in {ahead}" if is_ahead else "Free")]


def _addressees(channel: Channel, state: queries.ChannelState) -> list[Fact]:
    if channel is Channel.EMAIL:
        return [
            ("Address not known yet", state.unaddressed),
            ("Addresses that take no mail", queries.count_suppressed()),
        ]
    devices = queries.count_devices_by_state()
    return [
        (f"Devices {name.lower()}", number) for name, number in sorted(devices.items())
    ] or [("Devices", 0)]
