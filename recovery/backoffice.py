"""Back office pages whose rows have a history: it is shown, and changes add to it."""

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from recovery import audit
from recovery.models import AuditEntry
from slotbase.lib.backoffice import BackOfficeAdmin
from slotbase.lib.columns import format_moment, format_state

Row = TypeVar("Row", bound=Model)

SHOWN_ENTRIES = 100
HISTORY: Any = ("History", {"fields": ("history",), "classes": ("history",)})

_pages: dict[str, "AuditedAdmin[Any]"] = {}  # by `audit_subject`


class AuditedAdmin(BackOfficeAdmin[Row]):
    """Put the card `HISTORY` into `fieldsets` to show the history.

    Django calls `log_addition` and its sisters once for each saved form, inside the
    transaction that saves it: there the change gets its audit entry.
    """

    #: The `subject_type` of these rows in the audit.
    audit_subject: ClassVar[str]

    def __init__(self, model: type[Row], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        _pages[self.audit_subject] = self

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
        zone = self.zone_of(row)
        steps = [
            {
                "entry": entry,
                "at": format_moment(entry.at, zone),
                "words": say_action(entry.action),
                "state": entry.to_state and format_state(entry.to_state),
                "actor": names.get(entry.actor_id, entry.actor_id),
            }
            for entry in reversed(newest)
        ]
        is_cut = len(newest) == SHOWN_ENTRIES
        return render_to_string("admin/timeline.html", {"steps": steps, "cut": is_cut})


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


def find_page(entry: AuditEntry) -> str | None:
    """Where the subject of an entry can be looked at, if it has a page."""
    page = _pages.get(entry.subject_type)
    if page is None:
        return None
    name = f"admin:{page.opts.app_label}_{page.opts.model_name}_change"
    return reverse(name, args=[entry.subject_id])


def say_action(action: str) -> str:
    """`booking.checked_in` for people: Booking checked in."""
    return action.replace(".", " ").replace("_", " ").capitalize()
