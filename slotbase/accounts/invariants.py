"""What must always hold for people."""

from recovery.invariants import Invariant, overdue, register

register(
    Invariant(
        "I11.profile",
        "Clerk has been asked within five minutes of when it was due.",
        overdue("accounts_profilefetch"),
        is_safety=False,
    ),
)
