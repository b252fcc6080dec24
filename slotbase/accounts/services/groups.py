"""Staff groups and what each may do: the one matrix, written after every migrate.

What that comes to, address by address, is in docs/reference/permissions.md.
"""

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

CATALOGUE = (
    "bookings.resource",
    "bookings.resourceunit",
    "bookings.openinghours",
    "bookings.dateexception",
    "bookings.cancellationpolicy",
    "bookings.cancellationtier",
)
SALES = ("bookings.booking", "bookings.bookinghold", "bookings.waitlistentry")
# What coaches write about a person, and the words that they have for it.
FEEDBACK = ("bookings.sessionfeedback",)
TEACHING = ("bookings.skill", "bookings.drill")
TOKENS = ("bookings.tokenbudget",)
CUSTOMERS = ("accounts.user",)
VENUES = ("accounts.venue", "accounts.venuestaff")
HISTORY = ("recovery.auditentry",)
CASES = ("recovery.case", "recovery.webhookfailure", "recovery.inboxevent")
ALERTS = ("recovery.alert", "recovery.alertnotice")
EVENTS = ("recovery.outboxevent", "recovery.eventdelivery")
MESSAGES = ("notifications.notification",)
# What they go to: addresses that take none, and devices.
REACH = ("notifications.suppression", "notifications.pushdevice")
# How fast messages go out, and what holds them back.
BUDGETS = ("notifications.sendbudget",)
WORKFLOWS = ("recovery.workflowrun",)
MONEY = (
    *("payments.payable", "payments.cardpayment", "payments.offlinepayment"),
    *("payments.refund", "payments.dispute"),
)
FAILURES = ("payments.refundfailure",)
# What takes two people: whoever may propose it sees what became of it.
PROPOSALS = ("recovery.approval",)
COMPARISONS = ("payments.reconciliation", "payments.reconciledday")
HEALTH = ("recovery.providerstatus",)
ENGINES = (
    *(*EVENTS, *WORKFLOWS, *HEALTH),
    *("recovery.deadletter", "recovery.heartbeat"),
)
EVERYTHING = (
    *(*CATALOGUE, *SALES, *CUSTOMERS, *VENUES, *HISTORY, *CASES, *ENGINES),
    *ALERTS,
    *(*MESSAGES, *REACH, *BUDGETS, *MONEY, *FAILURES, *COMPARISONS),
    *PROPOSALS,
    *(*FEEDBACK, *TEACHING, *TOKENS),
    *("bookings.slotclaim", "recovery.idempotencyrecord"),
    *("django_celery_beat.periodictask", "auth.group"),
)


def _may(actions: str, *models: str) -> set[str]:
    """Permissions for each action on each model: `bookings.view_booking`."""
    return {
        f"{app_label}.{action}_{model}"
        for action in actions.split()
        for app_label, model in (name.split(".") for name in models)
    }


SEE_CONTACT_DATA = {"accounts.see_contact_data"}
# Claim and close cases, replay and ignore webhooks, acknowledge alerts.
WORK_ON_CASES = _may("view", *CASES, *ALERTS) | _may(
    "change", "recovery.case", "recovery.inboxevent", "recovery.alert"
)
# Bookings that cannot take place as they were sold.
MOVE = {"bookings.move_booking", "bookings.cancel_in_full"}
# Give money back by card and decide about what went wrong; hand out what is owed.
REFUND, PAY_OUT = {"payments.refund_payment"}, {"payments.pay_out_refund"}
# Hand out, or take away, all that is known of a person.
EXPORT, ERASE = {"accounts.export_person"}, {"accounts.erase_person"}
# Record money that was paid by hand.
TAKE_IN = {"payments.record_payment"}
# Take somebody off the waitlist.
KEEP_THE_LIST = {"bookings.change_waitlistentry"}
SUPPORT = (
    _may("view", *SALES, *CUSTOMERS, *CATALOGUE, *HISTORY, *EVENTS)
    | _may("view", *MESSAGES, *WORKFLOWS, *MONEY, *FAILURES, *COMPARISONS, *HEALTH)
    | _may("view", *PROPOSALS)
    # Send mails to an address again, push nothing to a device any more.
    | _may("view change", *REACH)
    # Have notes enhanced again.
    | _may("view change", *FEEDBACK)
    | _may("view", *TEACHING)
    | WORK_ON_CASES
    | REFUND
    | PAY_OUT
    | KEEP_THE_LIST
    | MOVE
    | SEE_CONTACT_DATA
)

# Nothing may be deleted but hours and special days: everything else is history.
MATRIX: dict[str, set[str]] = {
    "front_desk": _may(
        "view", *SALES, *CUSTOMERS, *CATALOGUE, *MESSAGES, "accounts.venue"
    )
    | _may("view", *MONEY)
    | _may("view", *PROPOSALS)
    # Of cases, those that are for the front desk.
    | _may("view change", "recovery.case")
    # Also void what they recorded themselves, on the same day.
    | TAKE_IN
    | PAY_OUT
    | KEEP_THE_LIST
    | MOVE
    | SEE_CONTACT_DATA,
    "manager": _may("view", *SALES, *CUSTOMERS, *VENUES, *MESSAGES, *MONEY)
    | _may("view add change", *CATALOGUE, *TEACHING, "accounts.venue")
    # Have notes enhanced again.
    | _may("view change", *FEEDBACK)
    | _may("delete", "bookings.openinghours", "bookings.dateexception")
    | _may("delete", "bookings.cancellationtier")
    | KEEP_THE_LIST
    | _may("view", *PROPOSALS)
    # The till is theirs: large amounts, and whatever was recorded by mistake.
    | TAKE_IN
    | {"payments.void_payment"}
    # Of cases, those that are for managers.
    | _may("view change", "recovery.case")
    | MOVE
    | SEE_CONTACT_DATA,
    "support": SUPPORT,
    # The second person for what support gives back.
    "support_lead": SUPPORT | {"payments.approve_refund"},
    "operations": _may("view", *HISTORY, *ENGINES, "accounts.venue", "auth.group")
    | _may("view", *MESSAGES)
    # Take addresses off the list, and let mails go out before a quota is full.
    | _may("view change", *REACH, *BUDGETS)
    | _may("view", *TOKENS)
    | WORK_ON_CASES
    # Try dead deliveries, tasks and stuck workflows again, or give them up.
    | _may("change", "recovery.eventdelivery", "recovery.deadletter", *WORKFLOWS)
    # Compare with Stripe, and let senders go on after a restore.
    | _may("view", *COMPARISONS)
    | _may("change", "payments.reconciliation")
    | _may("view add change", "accounts.user", "accounts.venuestaff")
    # Agree to what a colleague wants to give to others, and see what waits for that.
    | {"accounts.approve_rights"}
    | _may("view", *PROPOSALS)
    | _may("change", "auth.group")
    # Also for those who have no app to ask with, such as walk-ins; of all venues, so
    # nobody who is bound to some.
    | EXPORT
    | ERASE
    | _may("view change", "django_celery_beat.periodictask"),
    "auditor": _may("view", *EVERYTHING),
}


def write_groups() -> None:
    """Give each group exactly the permissions of the matrix; again changes nothing.

    Permissions of models that do not exist (yet) are left out.
    """
    _make_permissions()
    by_name = {
        f"{each.content_type.app_label}.{each.codename}": each
        for each in Permission.objects.select_related("content_type")
    }
    for name, wanted in MATRIX.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(by_name[each] for each in wanted if each in by_name)


def find_groups_that_differ() -> list[str]:
    """Groups of the matrix that are missing or have other rights than it says."""
    rights = Permission.objects.select_related("content_type")
    known = {f"{p.content_type.app_label}.{p.codename}" for p in rights}
    written = {
        group.name: {
            f"{p.content_type.app_label}.{p.codename}"
            for p in group.permissions.select_related("content_type")
        }
        for group in Group.objects.filter(name__in=MATRIX)
    }
    return [
        name for name, wanted in MATRIX.items() if written.get(name) != wanted & known
    ]


def _make_permissions() -> None:
    # Django makes them in post_migrate too, for each app later than we are called.
    for label in {name.split(".")[0] for name in EVERYTHING}:
        create_permissions(apps.get_app_config(label), verbosity=0)
