"""Staff groups are what the matrix says, and nobody may delete history."""

import pytest
from django.contrib.auth.models import Group, Permission

from slotbase.accounts.services.groups import MATRIX, write_groups

pytestmark = pytest.mark.django_db


def stored_matrix() -> dict[str, set[str]]:
    return {
        group.name: {
            f"{each.content_type.app_label}.{each.codename}"
            for each in group.permissions.select_related("content_type")
        }
        for group in Group.objects.all()
    }


def test_after_migrate_the_groups_are_the_matrix() -> None:
    assert stored_matrix() == MATRIX


def test_writing_again_undoes_changes_by_hand() -> None:
    front_desk = Group.objects.get(name="front_desk")
    front_desk.permissions.clear()
    front_desk.permissions.add(Permission.objects.get(codename="add_logentry"))
    Group.objects.filter(name="auditor").delete()

    write_groups()
    write_groups()

    assert stored_matrix() == MATRIX


def test_groups_of_others_are_left_alone() -> None:
    Group.objects.create(name="interns")

    write_groups()

    assert Group.objects.filter(name="interns").exists()


def test_without_permissions_in_the_database_they_are_made() -> None:
    Permission.objects.all().delete()

    write_groups()

    assert stored_matrix() == MATRIX


def test_nothing_may_be_deleted_but_hours_special_days_and_tiers() -> None:
    deletes = {
        (group, each)
        for group, permissions in MATRIX.items()
        for each in permissions
        if ".delete_" in each
    }

    assert deletes == {
        ("manager", "bookings.delete_openinghours"),
        ("manager", "bookings.delete_dateexception"),
        ("manager", "bookings.delete_cancellationtier"),
    }


def test_only_those_who_talk_to_customers_see_contact_data() -> None:
    allowed = {
        name for name, may in MATRIX.items() if "accounts.see_contact_data" in may
    }

    assert allowed == {"front_desk", "manager", "support", "support_lead"}


def test_auditors_change_nothing() -> None:
    assert all(".view_" in permission for permission in MATRIX["auditor"])


def allowed(permission: str) -> set[str]:
    return {name for name, may in MATRIX.items() if permission in may}


def test_support_and_operations_work_on_cases_and_auditors_look() -> None:
    workers = {"support", "support_lead", "operations"}

    # The front desk and managers: those that are for them.
    assert allowed("recovery.change_case") == {*workers, "front_desk", "manager"}
    lookers = {*workers, "front_desk", "manager", "auditor"}
    assert allowed("recovery.view_case") == lookers
    assert allowed("recovery.change_inboxevent") == workers
    for model in ("inboxevent", "webhookfailure"):
        assert allowed(f"recovery.view_{model}") == {*workers, "auditor"}


def test_bookings_are_moved_by_those_who_talk_to_the_customer() -> None:
    talkers = {"front_desk", "manager", "support", "support_lead"}

    for permission in ("move_booking", "cancel_in_full"):
        assert allowed(f"bookings.{permission}") == talkers


def test_money_is_moved_by_those_who_talk_to_the_customer() -> None:
    support = {"support", "support_lead"}

    assert allowed("payments.record_payment") == {"front_desk", "manager"}
    assert allowed("payments.void_payment") == {"manager"}
    assert allowed("payments.refund_payment") == support
    assert allowed("payments.pay_out_refund") == {*support, "front_desk"}


def test_operations_sees_no_money_and_nobody_edits_it() -> None:
    lookers = {"front_desk", "manager", "support", "support_lead", "auditor"}
    models = ("payable", "cardpayment", "offlinepayment", "refund", "dispute")

    for model in models:
        assert allowed(f"payments.view_{model}") == lookers, model
    assert allowed("payments.view_refundfailure") == lookers - {"front_desk", "manager"}
    for model in (*models, "refundfailure"):
        for action in ("add", "change", "delete"):
            assert allowed(f"payments.{action}_{model}") == set()


def test_only_operations_retries_deliveries_and_workflows() -> None:
    assert allowed("recovery.change_eventdelivery") == {"operations"}
    assert allowed("recovery.change_workflowrun") == {"operations"}
    assert allowed("recovery.view_heartbeat") == {"operations", "auditor"}
