"""Back office pages whose rows have a history: it is shown, and changes add to it.

Contact data is masked until somebody asks for it, for one view of one page, and who did
is on record. An `ActingAdmin` has buttons as well: each says what it will do, then a
service does it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, TypeVar, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from recovery import audit, step_up
from recovery.models import AuditEntry
from recovery.proposals import do_or_propose
from recovery.typed import Typed
from slotbase.lib.backoffice import SEE_CONTACT_DATA, BackOfficeAdmin
from slotbase.lib.columns import format_moment, format_state
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import DomainError
from slotbase.lib.masking import mask

Row = TypeVar("Row", bound=Model)

SHOWN_ENTRIES = 100
#: What the button sends that shows contact data.
SHOW_CONTACT_DATA = "show_contact_data"
HISTORY: Any = ("History", {"fields": ("history",), "classes": ("history",)})
#: For pages that have `payload_shown`.
PAYLOAD: Any = (
    "Payload",
    {"fields": ("payload_shown",), "classes": ("bare", "wide", "below")},
)

_pages: dict[str, "AuditedAdmin[Any]"] = {}  # by `audit_subject`
_finders: list["AuditedAdmin[Any]"] = []


@dataclass(frozen=True)
class Step:
    """A line of a history: what happened when, by whom, and why."""

    at: datetime
    words: str
    by: str
    state: SafeString | str = ""
    request: SafeString | str = ""
    reason: str = ""


class AuditedAdmin(BackOfficeAdmin[Row]):
    """Put the card `HISTORY` into `fieldsets` to show the history.

    Django calls `log_addition` and its sisters once for each saved form, inside the
    transaction that saves it: there the change gets its audit entry.
    """

    #: The `subject_type` of these rows in the audit.
    audit_subject: ClassVar[str]
    #: Whether its search finds what a reference is about.
    finds_references: ClassVar[bool] = False

    def __init__(self, model: type[Row], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        # Of several pages of the same rows the first is the one to link to.
        _pages.setdefault(self.audit_subject, self)
        if self.finds_references:
            _finders.append(self)

    def log_addition(self, request: HttpRequest, obj: Row, message: Any) -> Any:
        """A row was added."""
        self._record(request, [obj], "added")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Row, message: Any) -> Any:
        """A form was saved; without a difference there is nothing to tell."""
        if message:
            self._record(request, [obj], "changed", summarise_change(message))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Rows are about to be deleted."""
        self._record(request, queryset, "deleted")
        return super().log_deletions(request, queryset)

    def _record(
        self, request: HttpRequest, rows: Iterable[Row], verb: str, reason: str = ""
    ) -> None:
        audit.record(
            actor=audit.Actor.staff(request.user.pk),
            action=f"{self.audit_subject}.{verb}",
            subject=self.audit_subject,
            ids=[row.pk for row in rows],
            reason=reason,
        )

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """With what this person may see beside it: the audit, personal data."""
        row: Any = super().get_object(request, object_id, from_field)
        if row is not None:
            row.seen_by = request.user
            row.sees_audit = request.user.has_perm("recovery.view_auditentry")
            row.sees_contact_data = getattr(request, SHOW_CONTACT_DATA, False)
        return row

    # --- Contact data -------------------------------------------------------------

    def whose_contact_data(self, row: Row) -> tuple[str, Any] | None:  # noqa: ARG002 - for subclasses
        """Type and id of whom the page of a row can show how to reach; None: nobody."""
        return None

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """The page, with contact data if its button was pressed."""
        is_asked = request.POST.get("do") == SHOW_CONTACT_DATA
        if request.method == "POST" and is_asked:
            self._note_who_looks(request, object_id)
            # From here on it is a page to look at, not a form to save.
            request.method = "GET"
        return super().change_view(request, object_id, form_url, extra_context)

    def _note_who_looks(self, request: HttpRequest, object_id: str) -> None:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return  # the page says so itself
        whose = self.whose_contact_data(row)
        may_look = self.has_view_permission(request, row)
        if not (whose and may_look and request.user.has_perm(SEE_CONTACT_DATA)):
            raise PermissionDenied
        page = f"On the page of {self.audit_subject} {row.pk}"
        _record_look(staff_id_of(request), *whose, reason=page)
        setattr(request, SHOW_CONTACT_DATA, True)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """With the button that shows contact data, if there is any and they may."""
        row = context["original"]
        context["offers_contact_data"] = (
            row is not None
            and not getattr(row, "sees_contact_data", False)
            and request.user.has_perm(SEE_CONTACT_DATA)
            and self.whose_contact_data(row) is not None
        )
        return super().render_change_form(request, context, *args, **kwargs)

    # --- History ------------------------------------------------------------------

    def history_of(self, row: Row) -> QuerySet[AuditEntry]:
        """The entries that tell the story of a row."""
        return AuditEntry.objects.filter(
            subject_type=self.audit_subject, subject_id=str(row.pk)
        )

    @admin.display(description="history")
    def history(self, row: Row) -> SafeString:
        """The newest entries, in the order in which things happened."""
        newest = list(self.history_of(row).order_by("-id")[:SHOWN_ENTRIES])
        names = names_of_actors(newest)
        sees_audit = getattr(row, "sees_audit", False)
        steps = [_step(e, names, sees_audit=sees_audit) for e in reversed(newest)]
        # Stable: of one moment, the entries stay in their order.
        steps = sorted([*steps, *self.more_steps(row)], key=lambda step: step.at)
        zone = self.zone_of(row)
        shown = [(step, format_moment(step.at, zone)) for step in steps]
        is_cut = len(newest) == SHOWN_ENTRIES
        return render_to_string("admin/timeline.html", {"steps": shown, "cut": is_cut})

    def more_steps(self, row: Row) -> list[Step]:  # noqa: ARG002 - for subclasses
        """What belongs into the history and has no entry in the audit."""
        return []


@retry_on_conflict
def _record_look(staff_id: UUID, subject: str, pk: Any, *, reason: str) -> None:
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="person.contact_seen",
        subject=subject,
        ids=[pk],
        reason=reason,
    )


def _step(entry: AuditEntry, names: Mapping[str, str], *, sees_audit: bool) -> Step:
    name = names.get(entry.actor_id, entry.actor_id)
    return Step(
        at=entry.at,
        words=say_action(entry.action),
        by=f"{name} ({entry.actor_kind})",
        state=format_move(entry) if entry.to_state else "",
        request=format_request(entry.request_id, is_link=sees_audit),
        reason=entry.reason,
    )


# --- Buttons ------------------------------------------------------------------


@dataclass(frozen=True)
class Wish:
    """Who pressed a button, at which version of the row, and what they typed."""

    staff_id: UUID
    version: int
    reason: str
    evidence: str
    reference: str = ""

    @property
    def actor(self) -> audit.Actor:
        """Who, for the history."""
        return audit.Actor.staff(self.staff_id)


@dataclass(frozen=True)
class RowAction(Generic[Row]):
    """A button: what it will do, in words, and the service that does it.

    `run` may raise a DomainError, which is shown as a message. The button is shown
    where `is_offered(row, staff_id)`; whether it may be done is for the service to say.
    Where it is not, `why_not` stands in its place, unless that is empty.
    Where more must be asked first, it `leads_to` a page that does it. What moves money,
    rights or personal data `needs_step_up`: a code of the second factor, shown lately.
    """

    label: str
    says: str
    done: str
    permission: str
    run: Callable[[Row, Wish], None]
    is_offered: Callable[[Row, UUID], bool] = lambda _row, _staff_id: True
    needs_reason: bool = False
    #: Where it may take a second person, who reads why.
    takes_reason: bool = False
    takes_evidence: bool = False
    needs_evidence: bool = False
    needs_reference: bool = False
    needs_step_up: bool = False
    leads_to: Callable[[Row], str] | None = None
    why_not: Callable[[Row, UUID], str] = lambda _row, _staff_id: ""

    @property
    def needs(self) -> dict[str, bool]:
        """What must be typed for it."""
        return {
            "reason": self.needs_reason,
            "evidence": self.needs_evidence,
            "reference": self.needs_reference,
        }

    @property
    def takes(self) -> set[str]:
        """What may be typed for it."""
        needed = {name for name, is_needed in self.needs.items() if is_needed}
        may = {"reason": self.takes_reason, "evidence": self.takes_evidence}
        return needed | {name for name, is_taken in may.items() if is_taken}


class ActingAdmin(AuditedAdmin[Row]):
    """A page with buttons. What they refuse is a message; what was typed stays."""

    change_form_template = "admin/acting_form.html"

    def row_actions(self, row: Row) -> Mapping[str, RowAction[Any]]:
        """What may be done with this row in some state, by name."""
        raise NotImplementedError

    def explain(self, error: DomainError, row: Row) -> str:  # noqa: ARG002 - for subclasses
        """Why it was refused, in words for staff."""
        return str(error)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the page, or do what a button of it says."""
        if object_id is None or request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._show_again(request, object_id, {})
        return self._act(request, object_id, row)

    def _act(self, request: HttpRequest, object_id: str, row: Row) -> HttpResponse:
        action = self.row_actions(row).get(request.POST.get("do", ""))
        may_look = self.has_view_permission(request, row)
        if action is None or not may_look or not _may_do(request, action):
            raise PermissionDenied
        if action.needs_step_up and (asked := step_up.ask_first(request)):
            return asked
        typed = Typed(request.POST)
        status = self._run(request, action, row, typed)
        if status is None and action.leads_to is not None:
            return HttpResponseRedirect(action.leads_to(row))
        if status is None:
            return HttpResponseRedirect(request.get_full_path())
        response: HttpResponse = self._show_again(request, object_id, {"typed": typed})
        response.status_code = status
        return response

    def _run(
        self, request: HttpRequest, action: RowAction[Any], row: Row, typed: Typed
    ) -> int | None:
        """Do it; returns the status of the answer if it was refused."""
        for name, is_needed in action.needs.items():
            typed.fields[name].required = is_needed
        if not typed.is_valid():
            messages.error(request, "Nothing was done: see below what is missing.")
            return 400
        version = typed.cleaned_data.pop("version") or 0
        wish = Wish(staff_id_of(request), version, **typed.cleaned_data)
        try:
            proposed = do_or_propose(
                lambda: action.run(row, wish),
                staff_id=wish.staff_id,
                reason=wish.reason,
            )
        except DomainError as error:
            typed.point_out(error)
            messages.error(request, self.explain(error, row))
            return error.status
        if action.leads_to is None:
            messages.success(request, proposed or action.done)
        return None

    def _show_again(
        self, request: HttpRequest, object_id: str, context: dict[str, Any]
    ) -> Any:
        # For Django a POST would be a form to save, and nobody may change these rows.
        request.method = "GET"
        return super().changeform_view(request, object_id, "", context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """With the buttons that this person may press now."""
        row, staff_id = context["original"], staff_id_of(request)
        actions = self.row_actions(row).items()
        allowed = {name: each for name, each in actions if _may_do(request, each)}
        offered = {
            name: action
            for name, action in allowed.items()
            if action.is_offered(row, staff_id)
        }
        refused = {
            action.label: why
            for name, action in allowed.items()
            if name not in offered and (why := action.why_not(row, staff_id))
        }
        typed = context.get("typed") or Typed()
        asked = {name for each in offered.values() for name in each.takes}
        # What was typed stays, even where there is no button for it any more.
        shown = [
            name
            for name in ("reference", "reason", "evidence")
            if name in asked or typed.data.get(name)
        ]
        context |= {
            "row_actions": offered,
            "refused": refused,
            "typed": [typed[name] for name in shown],
        }
        return super().render_change_form(request, context, *args, **kwargs)


def staff_id_of(request: HttpRequest) -> UUID:
    """Who is signed in: pages are shown to nobody else."""
    return cast("UUID", request.user.pk)


def _may_do(request: HttpRequest, action: RowAction[Any]) -> bool:
    return request.user.has_perm(action.permission)


def summarise_change(message: list[dict[str, Any]]) -> str:
    """Django's change message without values: `changed name; added opening hours`.

    Values stay out of the audit: what people type must remain erasable.
    """
    parts = []
    for verb, what in (each for part in message for each in part.items()):
        words = [", ".join(what.get("fields", [])), what.get("name", "")]
        parts.append(f"{verb} {' of '.join(filter(None, words))}")
    return "; ".join(parts).replace("_", " ").lower()[:200]


def names_of_actors(entries: Iterable[AuditEntry]) -> dict[str, str]:
    """Names of the people among the actors, by id; one query."""
    kinds = {"customer", "staff"}
    ids = {entry.actor_id for entry in entries if entry.actor_kind in kinds}
    people = get_user_model().objects.filter(pk__in=ids)
    return {str(person.pk): str(person) for person in people}


def subjects_with_a_page() -> list[str]:
    """The types of subject that can be looked at."""
    return sorted(_pages)


def format_subject(row: Any) -> SafeString | str:
    """The subject of an audit entry, a case or an event, as a link if it has a page."""
    page = _pages.get(row.subject_type)
    name = page.opts.verbose_name if page else row.subject_type
    words = f"{say_action(str(name))} {shorten(row.subject_id)}"
    if page is None or not row.subject_id:
        return words
    address = f"admin:{page.opts.app_label}_{page.opts.model_name}_change"
    url = reverse(address, args=[row.subject_id])
    return format_html('<a href="{}">{}</a>', url, words)


def format_reference(reference: str) -> SafeString | str:
    """A reference as a link to what it is about, if a page finds that."""
    if not reference or not _finders:
        return reference
    opts = _finders[0].opts
    url = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    query = urlencode({"q": reference})
    return format_html('<a href="{}?{}">{}</a>', url, query, reference)


def format_move(entry: AuditEntry) -> SafeString:
    """From one state to another, or the first one."""
    to = format_state(entry.to_state)
    if not entry.from_state:
        return to
    return format_html("{} → {}", format_state(entry.from_state), to)


def format_request(request_id: str, *, is_link: bool) -> SafeString | str:
    """The end of a request's id, as a link to all that came of it."""
    if not request_id or not is_link:
        return shorten(request_id)
    url = reverse("admin:recovery_auditentry_changelist")
    query = urlencode({"q": request_id})
    return format_html('<a href="{}?{}">{}</a>', url, query, shorten(request_id))


def format_received(payload: Any, row: Any) -> SafeString | str:
    """What others sent, whole only on a page that was asked to show it."""
    if payload is None:
        return "It is gone: it was kept long enough."
    sees_it_all = getattr(row, "sees_contact_data", False)
    return format_payload(payload if sees_it_all else mask(payload))


def format_payload(payload: Any) -> SafeString:
    """JSON as it can be read."""
    text = json.dumps(payload, indent=2, ensure_ascii=False)
    return format_html('<pre class="payload">{}</pre>', text)


def shorten(id: str) -> str:  # noqa: A002 - it is one
    """The end of an id: its beginning is the time, which many have in common."""
    return id if len(id) < 12 else f"\N{HORIZONTAL ELLIPSIS}{id[-6:]}"


def say_action(action: str) -> str:
    """`booking.checked_in` for people: Booking checked in."""
    return action.replace(".", " ").replace("_", " ").capitalize()


UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def say_duration(duration: timedelta) -> str:
    """How long, in its greatest unit: `3 d`, `5 min`."""
    seconds = max(int(duration.total_seconds()), 0)
    unit, size = next((each for each in UNITS if seconds >= each[1]), UNITS[-1])
    return f"{seconds // size}\N{NO-BREAK SPACE}{unit}"
