"""Moments of our clock as Stripe's stamps: theirs are wall clock, ours can be moved."""

from datetime import UTC, datetime, timedelta

from slotbase.lib.clock import read_clock

SLACK = timedelta(minutes=5)  # clocks differ a little


def now_at_stripe() -> datetime:
    """About what Stripe's clock says."""
    return datetime.now(UTC)


def as_stamp_of_stripe(moment: datetime) -> datetime:
    """Surely not later than what Stripe would have written at this moment of ours."""
    return now_at_stripe() - (read_clock() - moment) - SLACK
