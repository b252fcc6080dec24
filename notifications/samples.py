"""Each kind of message with data that nobody has: for previews, pictures and tests."""

from typing import Any

from notifications.kinds import KINDS, Kind

PERSON = "Alice Adler"
UNSUBSCRIBE_URL = "https://slotbase.example/unsubscribe/sample"
_ALWAYS = frozenset({"venue_address"})
_OF_CALENDARS = frozenset({"booking_id", "sequence"})
_ALL: dict[str, Any] = {
    "title": "Court 1",
    "venue_name": "Tennis am Park",
    "venue_address": "Parkstraße 1\n10115 Berlin",
    "time_zone": "Europe/Berlin",
    "start_time": "2030-07-01T10:00:00+00:00",
    "end_time": "2030-07-01T11:00:00+00:00",
    "reference": "7K3QF-9XW2M",
    "booking_id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "sequence": 1,
    "currency": "EUR",
    "price_minor": 2500,
    "due_minor": 2500,
    "paid_minor": 2500,
    "tax_minor": 399,
    "tax_rate": "19.00",
    "method": "CARD_TERMINAL",
    "number": "2030-000123",
    "paid_at": "2030-06-24T08:30:00+00:00",
    "refund_minor": 2000,
    "payout_minor": 0,
    "fee_kept_minor": 500,
    "fee_due_minor": 0,
    "in_dispute_minor": 0,
    "is_all": False,
    "expires_at": "2030-06-30T20:15:00+00:00",
    "offered_until": "2030-06-30T20:15:00+00:00",
    "was_local": "2030-06-30T09:30",
}
# Where what is usual is something else.
_USUAL: dict[str, dict[str, Any]] = {
    "late_payment_refunded": {"refund_minor": 2500, "fee_kept_minor": 0, "is_all": True}
}
_NOTHING_BACK = {"refund_minor": 0, "fee_kept_minor": 0}
#: What else a kind may say, by what is different then.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "booking_cancelled": {
        "by_venue": {"by_venue": True, "refund_minor": 2500, "fee_kept_minor": 0},
        "paid_out_at_venue": {"refund_minor": 0, "payout_minor": 2000},
        "fee_due": {**_NOTHING_BACK, "fee_due_minor": 500},
        "in_dispute": {**_NOTHING_BACK, "in_dispute_minor": 2500},
    },
    "refund_elsewhere": {"settled": {"is_settled": True}},
    "waitlist_lapsed": {"by_closure": {"was_closed": True}},
}


def sample_of(name: str, variant: str = "") -> dict[str, Any]:
    """A context for this kind: what it needs, and what it may have."""
    usual = {**_ALL, **_USUAL.get(name, {})}
    sample = {key: usual[key] for key in sorted(_keys_of(KINDS[name]))}
    return {**sample, **(VARIANTS[name][variant] if variant else {})}


def _keys_of(kind: Kind) -> frozenset[str]:
    return kind.needs | _ALWAYS | (_OF_CALENDARS if kind.calendar else frozenset())
