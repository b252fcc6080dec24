"""Moves the one clock of a local installation, for tests and drills."""

import ipaddress
import re
from datetime import timedelta

import psycopg

from slotbase.devstack.errors import StackError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def move_clock(database_url: str, change: str) -> None:
    """Let `slotbase_now()` differ from the real time by `change`, for every process.

    `+1d`, `-30m`, `+2h` and `+300s` count from the real time and not from an earlier
    change; `reset` goes back to the real time.

    Raises:
        StackError: the change is not of that form, or the database is not on this
            computer.
    """
    body = f"SELECT {_expression(change)}"
    with psycopg.connect(database_url) as connection:
        _require_loopback(connection.info)
        connection.execute(
            "CREATE OR REPLACE FUNCTION slotbase_now() RETURNS timestamptz "
            f"LANGUAGE sql VOLATILE PARALLEL SAFE AS $${body}$$".encode()
        )


def _expression(change: str) -> str:
    if change == "reset":
        return "clock_timestamp()"
    seconds = int(_parse(change).total_seconds())
    return f"clock_timestamp() + interval '{seconds} seconds'"


def _parse(change: str) -> timedelta:
    match = re.fullmatch(r"([+-]\d{1,9})([smhd])", change)
    if match is None:
        raise StackError(f"{change!r} is not a change like +1d, -30m, +300s or reset.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def _require_loopback(server: psycopg.ConnectionInfo) -> None:
    is_socket_file = server.host.startswith("/")
    if not is_socket_file and not ipaddress.ip_address(server.hostaddr).is_loopback:
        raise StackError(f"The clock of {server.host} stays: it is not this computer.")
