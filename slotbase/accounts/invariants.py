"""What must always hold for people."""

from recovery.invariants import Invariant, register

register(
    Invariant(
        "I11.profile",
        "Clerk has been asked within five minutes of when it was due.",
        "SELECT id FROM accounts_profilefetch WHERE greatest(next_run_at, lease_until)"
        " < slotbase_now() - interval '5 minutes'",
        is_safety=False,
    ),
)
