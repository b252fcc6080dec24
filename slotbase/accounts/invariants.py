"""What must always hold for people."""

from recovery import rowqueue
from recovery.invariants import Invariant, overdue, register

register(
    Invariant(
        "I11.profile",
        "Clerk has been asked within five minutes of when it was due.",
        overdue("accounts_profilefetch", waits_for=(rowqueue.fingerprint_of("clerk"),)),
        is_safety=False,
    ),
)

register(
    Invariant(
        "I11.erasure",
        "Whoever asked for it is erased within five minutes of when it was due.",
        overdue("accounts_erasure"),
        is_safety=False,
    ),
)
