"""No column that can hold words is forgotten when somebody is exported or erased."""

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import models

from slotbase.accounts.services.personal_data import parts

#: What the engines keep goes by `recovery.personal`.
OF_THE_ENGINES = {
    "recovery.InboxEvent": {"payload", "ignored_because"},
    "recovery.Case": {"title", "cause", "details", "close_reason", "evidence"},
    "recovery.Approval": {"title", "reason", "decision_reason", "terms"},
    "recovery.IdempotencyRecord": {"principal", "key", "route", "body_hash"},
    "recovery.WorkflowRun": {"title", "abandoned_because"},
    "recovery.DeadLetter": {"ended_because"},
}
#: Made by us of words and ids of ours, in every table that has them.
ALWAYS_OURS = {
    *("last_error", "request_id", "subject_type", "subject_id", "fingerprint"),
    *("currency", "received_currency", "reference", "slug", "queue", "kind", "key"),
    *("provider_id", "provider", "subscriber", "category", "audience", "channel"),
}
#: Why the others name nobody who can be erased.
OTHERS = {
    "it names a member of staff, or a login": {
        *("accounts.User.username", "accounts.SecondFactor.sealed_secret"),
        *("accounts.RecoveryCode.code_hash", "recovery.Case.closed_by"),
    },
    "of what was sent, without people; it goes with its row": {
        "bookings.SessionFeedback.made_from"
    },
    "a keyed hash, or an id of a session, which ends": {
        *("accounts.SignInGuard.name", "accounts.RevokedSession.session_id"),
        "notifications.Suppression.address_hash",
        *("sessions.Session.session_key", "sessions.Session.session_data"),
    },
    "public keys": {"accounts.SigningKeySet.jwks"},
    "the catalogue, which is public": {
        *("accounts.Venue.name", "accounts.Venue.time_zone", "accounts.Venue.address"),
        *("bookings.CancellationPolicy.name", "bookings.Resource.name"),
        "bookings.DateException.note",
        *("bookings.Skill.name", "bookings.Drill.name", "bookings.Drill.description"),
        *("bookings.SessionFeedback.skills", "bookings.SessionFeedback.drills"),
        "bookings.SessionFeedback.accepted_skills",
        "bookings.SessionFeedback.accepted_drills",
    },
    "history is of ids, states and words of ours": {
        *("recovery.AuditEntry.actor_kind", "recovery.AuditEntry.actor_id"),
        *("recovery.AuditEntry.action", "recovery.AuditEntry.from_state"),
        *("recovery.AuditEntry.to_state", "recovery.AuditEntry.reason"),
        *("recovery.OutboxEvent.type", "recovery.OutboxEvent.data"),
    },
    "alerts are made of titles of kinds, and of counts": {
        *("recovery.Alert.title", "recovery.AlertNotice.title"),
        *("recovery.AlertNotice.body", "recovery.Count.name"),
    },
    "names of engines, machines and tasks, and words of providers' lists": {
        *("recovery.ProviderStatus.last_code", "recovery.RuleCheck.rule"),
        *("recovery.Heartbeat.name", "recovery.WorkflowRun.name"),
        *("recovery.WorkflowStep.name", "recovery.WorkflowStep.error"),
        *("recovery.WorkflowStep.output", "recovery.DeadLetter.task"),
        # `recovery.work` masks whatever is no id.
        "recovery.DeadLetter.kwargs",
        *("recovery.InboxEvent.account", "recovery.InboxEvent.event_id"),
        *("recovery.InboxEvent.type", "recovery.InboxEvent.api_version"),
        "notifications.PushDevice.why",
        *(
            "notifications.Notification.template",
            "notifications.Notification.dedupe_key",
        ),
        "notifications.NotificationAttempt.outcome",
        "notifications.NotificationAttempt.code",
        *("payments.Reconciliation.name", "payments.Reconciliation.cursor"),
        "payments.ReconciledDay.name",
        *("payments.CardPayment.provider_status", "payments.CardPayment.decline_code"),
        "payments.CardPayment.client_secret",
        *("payments.Refund.failure_reason", "payments.Refund.pending_reason"),
        "payments.Dispute.reason",
    },
    "what was sold, and on which terms": {
        "payments.Payable.title",
        *("recovery.WorkflowRun.input", "notifications.Notification.context"),
        *("bookings.BookingHold.units", "bookings.Booking.units"),
        *("bookings.Booking.cancellation_terms", "bookings.Booking.local_start"),
    },
    "Django's own, without people": {
        *("admin.LogEntry.object_id", "admin.LogEntry.change_message"),
        *("auth.Permission.name", "auth.Permission.codename", "auth.Group.name"),
        *("contenttypes.ContentType.app_label", "contenttypes.ContentType.model"),
    },
}
TEXT = (models.CharField, models.TextField, models.JSONField, models.BinaryField)


def columns() -> Iterator[str]:
    """Every column of every table that can hold words."""
    for model in apps.get_models(include_auto_created=True):
        label = model._meta.label
        if model._meta.proxy or label.startswith("django_celery_beat."):
            continue
        for field in model._meta.local_concrete_fields:
            is_text = isinstance(field, (*TEXT, ArrayField))
            if is_text and not field.choices and not field.is_relation:
                yield f"{label}.{field.name}"


def held() -> set[str]:
    """What some part exports and erases."""
    of_the_parts = [part.holds for part in parts()]
    return {
        f"{label}.{name}"
        for holds in (*of_the_parts, OF_THE_ENGINES)
        for label, names in holds.items()
        for name in names
    }


def unknown() -> set[str]:
    known = held().union(*OTHERS.values())
    return {
        column
        for column in columns()
        if column not in known and column.rpartition(".")[2] not in ALWAYS_OURS
    }


def test_every_column_with_words_is_erased_or_names_nobody() -> None:
    """S32: whoever adds a column says here what becomes of it."""
    assert unknown() == set()


def test_nothing_is_said_of_columns_that_are_not_there() -> None:
    listed = held().union(*OTHERS.values())

    assert listed - set(columns()) == set()


def test_nothing_is_said_twice() -> None:
    named = [column for columns in OTHERS.values() for column in columns]

    assert len(named) == len(set(named))
    assert not held() & set(named)


def test_a_column_that_nobody_knows_would_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: without its part, what payments keeps is unknown."""
    others = [part for part in parts() if part.name != "payments"]
    monkeypatch.setattr(
        "slotbase.accounts.services.personal_data._parts",
        {part.name: part for part in others},
    )

    assert unknown() == {"payments.OfflinePayment.note", "payments.Refund.evidence"}
