"""Back office: how mails and pushes go, on one page."""

from datetime import UTC, datetime

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from notifications import queries
from notifications.models import SendBudget
from notifications.states import Channel
from recovery.admin.health import BREAKERS
from recovery.backoffice import say_action, say_duration
from recovery.provider_status import Status, list_statuses
from slotbase.lib.clock import read_clock
from slotbase.lib.columns import format_moment

MAY_SEE = "recovery.view_providerstatus"
PROVIDERS = {Channel.EMAIL: "resend", Channel.PUSH: "fcm"}
BUDGETED = frozenset({Channel.EMAIL})
NAMES = {Channel.EMAIL: "Mails", Channel.PUSH: "Pushes"}


def show_channels(request: HttpRequest) -> HttpResponse:
    """What waits, what went out, and what holds it back."""
    if not request.user.has_perm(MAY_SEE):
        raise PermissionDenied
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
        "seen_at": format_moment(now, UTC),
    }
    return TemplateResponse(request, "admin/channels.html", context)


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


def _budget(budget: SendBudget | None, now: datetime) -> list[Fact]:
    if budget is None:
        return [("Budget", "Nothing was sent yet")]
    if budget.paused_until is not None and budget.paused_until > now:
        until = format_moment(budget.paused_until, UTC)
        return [("Budget", format_html("Used up: nothing goes out before {}", until))]
    ahead = say_duration(budget.next_at - now)
    is_ahead = budget.next_at > now
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
