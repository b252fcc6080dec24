"""S31: card numbers are refused in whatever people type, and stand nowhere."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.test import Client, RequestFactory
from django.urls import reverse
from rest_framework import serializers
from rest_framework.test import APIClient

from bookings.admin.forms import RecordForm, RefundForm
from bookings.admin.moving import MoveForm
from notifications.models import PushDevice
from payments.admin.export import ExportForm
from payments.models import OfflinePayment
from recovery.models import AuditEntry, Case
from recovery.typed import Typed
from slotbase.accounts.admin.people import GivenPasswordForm, RightsForm, WhyForm
from slotbase.accounts.models import Venue
from slotbase.accounts.services.rights import rights_of
from slotbase.accounts.sign_in_pages import CodeForm, OwnPasswordForm, PasswordForm
from slotbase.lib.api.inputs import StrictSerializer
from slotbase.lib.card_numbers import (
    REFUSAL,
    mask_card_numbers,
    refuse_card_numbers,
)
from slotbase.lib.typed import TypedForm
from tests.bookings.routes import client_of
from tests.factories import make_booking, make_customer, make_staff, make_venue
from tests.payments.trouble import make_owing_booking
from tests.recovery.trouble import fail_webhook

CARDS = {
    "plain": "4242424242424242",
    "blanks": "4242 4242 4242 4242",
    "dashes": "4242-4242-4242-4242",
    "dots": "4242.4242.4242.4242",
    "each digit alone": "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
    "lines": "4242\n4242\n4242\n4242",
    "unseen": "4242\u200b4242\u00a04242\u20134242",
    "arabic digits": "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
    "wide digits": "".join(chr(0xFF10 + int(each)) for each in "378282246310005"),
    "amex": "378282246310005",
    "diners": "36227206271667",
    "nineteen digits": "6205500000000000004",
    "after a number": "court 2 4242 4242 4242 4242 12/27",
    "between letters": "pan:4242424242424242cvc",
    "with a plus": "+4242 4242 4242 4242",
    "amex after a plus": "+3782 822463 10005",
    "diners after a plus": "+3056 9309 0259 04",
    "after a country": "+44242424242424242",
    "many dashes": "4242----4242----4242----4242",
    "many underscores": "4242____4242____4242____4242",
}
HARMLESS = {
    "a wrong check digit": "4242424242424241",
    "a phone": "+49 1512 3456789",
    "a phone at home": "0151 2345 678901",
    "a phone in Greece": "+30 210 123 4567",
    "a phone in Spain": "+34 912 34 56 78",
    "a phone in Hungary": "+36 20 123 4567",
    "a phone in Moldova": "+373 22 123456",
    "a phone in San Marino": "+378 0549 882345",
    "a phone in Ukraine": "+380 44 123 4567",
    "a long phone in Italy": "+39 0471 1234567",
    "the longest phone in Austria": "+43 5 0100 12345678",
    "a phone with 15 digits that could be one": "+424242424242424",
    "a uuid without dashes": "4242424242424242a000000000000000",
    "an iban": "DE89 3704 0044 0532 0130 00",
    "dates": "30.11.2026 - 31.12.2026, 2026-05-01 2026-05-02",
    "our ids": "019abc12-3456-7890-8123-456789012345 B-7F3K-22",
    "zeros": "0000 0000 0000 0000",
    "amounts": "12.50 and 13.00",
}


@pytest.mark.parametrize("text", CARDS.values(), ids=CARDS)
def test_a_card_number_is_seen_however_it_is_written(text: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        refuse_card_numbers(text)

    assert text not in str(refusal.value)
    assert mask_card_numbers(text) != text


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_what_only_looks_so_is_taken(text: str) -> None:
    refuse_card_numbers(text)

    assert mask_card_numbers(text) == text


def test_a_mask_leaves_what_stands_around() -> None:
    assert mask_card_numbers("my 4242 4242 4242 4242 is lost") == "my •••• is lost"


# --- Where people type ---------------------------------------------------------


def all_below(kind: Any) -> Iterator[Any]:
    for below in kind.__subclasses__():
        yield below
        yield from all_below(below)


def unguarded(fields: dict[str, Any], texts: type, *, but: tuple[type, ...]) -> list:
    return [
        name
        for name, field in fields.items()
        if isinstance(field, texts)
        and not isinstance(field, but)
        and not isinstance(getattr(field, "widget", None), forms.PasswordInput)
        and refuse_card_numbers not in field.validators
    ]


def inputs_of_the_api() -> list[Any]:
    import_module("bookings.api.serializers")
    import_module("slotbase.accounts.api.serializers")
    import_module("notifications.api.serializers")
    return [each for each in all_below(StrictSerializer) if "Input" in each.__name__]


def test_every_text_of_the_api_is_guarded() -> None:
    assert len(inputs_of_the_api()) >= 7
    for shape in inputs_of_the_api():
        left = unguarded(
            shape().fields, serializers.CharField, but=(serializers.RegexField,)
        )
        assert left == [], shape


def test_every_input_of_the_api_is_a_strict_one() -> None:
    inputs = {
        each
        for each in all_below(serializers.Serializer)
        if each.__name__.endswith("Input")
        and each.__module__.split(".")[0] in {"bookings", "notifications", "slotbase"}
    }
    assert inputs == {*inputs_of_the_api()}


@pytest.mark.django_db
def test_every_text_of_our_own_forms_is_guarded() -> None:
    ours = {each for each in all_below(forms.Form) if is_ours(each)}
    # The steps of a sign-in keep nothing, and a password is kept as a hash.
    ours -= {TypedForm, PasswordForm, CodeForm, GivenPasswordForm, OwnPasswordForm}
    payable, booking = make_owing_booking(make_venue()).payable, make_booking()
    made = [
        ExportForm(Venue.objects.all()),
        Typed(),
        RecordForm(payable),
        RefundForm(payable),
        MoveForm(booking),
        WhyForm(),
        RightsForm(None, rights_of(make_staff())),
    ]

    assert ours == {type(each) for each in made}
    for form in made:
        assert unguarded(form.fields, forms.CharField, but=()) == [], form


def is_ours(form: type) -> bool:
    return form.__module__.split(".")[0] in {
        *("bookings", "notifications", "payments", "recovery", "slotbase")
    }


@pytest.mark.django_db
def test_every_text_of_the_back_office_is_guarded() -> None:
    request = RequestFactory().get("/")
    request.user = make_staff(is_superuser=True)
    seen = 0
    for page in admin.site._registry.values():
        shapes = [page.get_form(request, change=False)]
        shapes += [
            inline.get_formset(request).form
            for inline in page.get_inline_instances(request)
        ]
        for shape in shapes:
            seen += len(shape.base_fields)
            assert unguarded(shape.base_fields, forms.CharField, but=()) == [], shape
    assert seen > 30


def test_a_text_that_nobody_guards_would_be_seen() -> None:
    class Bare(forms.Form):
        note = forms.CharField()

    assert unguarded(Bare().fields, forms.CharField, but=()) == ["note"]


# --- What becomes of it ---------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("card", ["4242 4242 4242 4242", "4242-4242-4242-4242"])
def test_the_api_names_the_field_and_keeps_nothing(
    card: str, caplog: pytest.LogCaptureFixture
) -> None:
    alice = make_customer()
    booking = make_booking(customer=alice)
    api: APIClient = client_of(alice)
    device = {"token": "t", "platform": "IOS", "app_version": card}

    cancelled = api.post(
        f"/api/v1/bookings/{booking.pk}/cancel/", {"reason": f"use {card}"}, "json"
    )
    registered = api.post("/api/v1/devices/", device, "json")

    assert (cancelled.status_code, registered.status_code) == (400, 400)
    assert cancelled.json()["errors"] == {"reason": [REFUSAL]}
    assert registered.json()["errors"] == {"app_version": [REFUSAL]}
    booking.refresh_from_db()
    assert booking.status == "CONFIRMED"
    assert not PushDevice.objects.exists()
    assert "4242" not in caplog.text
    assert not AuditEntry.objects.filter(reason__contains="4242").exists()


@pytest.mark.django_db
def test_a_reason_without_a_card_number_is_taken() -> None:
    alice = make_customer()
    booking = make_booking(customer=alice)

    answer = client_of(alice).post(
        f"/api/v1/bookings/{booking.pk}/cancel/", {"reason": "ill"}, "json"
    )

    assert answer.status_code == 200


@pytest.mark.django_db
def test_a_note_about_money_is_refused_at_its_field(client: Client) -> None:
    venue = make_venue()
    booking = make_owing_booking(venue)
    client.force_login(make_staff("front_desk", [venue]))
    page = reverse("admin:bookings_booking_record_payment", args=[booking.pk])
    shown = client.get(page).context["form"]
    sent = {**shown.initial, "amount": "24.00", "method": "CARD_TERMINAL"}

    answer = client.post(page, {**sent, "note": CARDS["blanks"]})

    assert answer.context["form"].errors == {"note": [REFUSAL]}
    assert not OfflinePayment.objects.exists()


@pytest.mark.django_db
def test_a_reason_beside_a_button_is_refused(client: Client) -> None:
    fail_webhook()
    case = Case.objects.get()
    client.force_login(make_staff("support", [], is_superuser=True))
    page = reverse("admin:recovery_case_change", args=[case.pk])

    answer = client.post(
        page, {"do": "claim", "version": case.version, "reason": CARDS["dots"]}
    )

    assert answer.status_code == 400
    case.refresh_from_db()
    assert case.status == "OPEN"


@pytest.mark.django_db
def test_a_name_with_a_card_number_is_not_saved(client: Client) -> None:
    venue = make_venue(name="Parkside")
    client.force_login(make_staff(is_superuser=True))
    page = reverse("admin:accounts_venue_change", args=[venue.pk])
    sent = {**client.get(page).context["adminform"].form.initial}
    sent = {name: "" if value is None else value for name, value in sent.items()}

    answer = client.post(page, {**sent, "name": f"Pay to {CARDS['plain']}"})

    assert answer.context["adminform"].form.errors["name"] == [REFUSAL]
    venue.refresh_from_db()
    assert venue.name == "Parkside"


def test_a_name_that_clerk_tells_is_kept_without_it() -> None:
    from slotbase.providers.clerk.client import _read_profile

    profile = _read_profile({"first_name": "Ann", "last_name": CARDS["blanks"]})

    assert profile.name == "Ann ••••"
