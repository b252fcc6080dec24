"""What accounts keeps of a person, and what the engines below it do."""

from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.contenttypes.models import ContentType

from recovery.personal import Traces
from slotbase.accounts.models import ProfileFetch, User
from slotbase.accounts.services.personal_data import Part, Sections, register
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required

ERASED_PERSON = "Erased person"


def _export(traces: Traces) -> Sections:
    person = User.objects.filter(pk=traces.user_id)
    fields = ("id", "clerk_id", "name", "email", "phone", "locale", "created_at")
    asked = ProfileFetch.objects.filter(user=traces.user_id)
    return {"person": person.values(*fields), "asked_clerk": asked.values("ended_at")}


@transaction_required
def _erase(traces: Traces) -> None:
    """The row stays, as whose money it was; the Clerk id is free for a new customer.

    An answer of Clerk that comes late finds no fetch, and is refused.
    """
    ProfileFetch.objects.filter(user=traces.user_id).delete()
    _log_of(traces.user_id).update(object_repr=ERASED_PERSON)
    User.objects.filter(pk=traces.user_id).update(
        clerk_id=None,
        name="",
        email="",
        phone="",
        locale="en",
        password=make_password(None),
        is_active=False,
        erased_at=Now(),
    )


def _log_of(user_id: UUID) -> Any:
    """What Django's admin keeps beside the audit, with the name in it."""
    of_people = ContentType.objects.get_for_model(User)
    return LogEntry.objects.filter(content_type=of_people, object_id=str(user_id))


def _former_names(user_id: UUID) -> Any:
    """As they were called when staff changed something, such as the name."""
    return _log_of(user_id).values_list("object_repr", flat=True)


register(
    Part(
        name="accounts",
        holds={
            "accounts.User": frozenset(
                {"clerk_id", "name", "email", "phone", "locale", "password"}
            ),
            "admin.LogEntry": frozenset({"object_repr"}),
        },
        export=_export,
        erase=_erase,
        words=_former_names,
    )
)
