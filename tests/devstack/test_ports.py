"""Ports: the usual one, the one that was asked for, and nobody else's."""

import socket

import pytest

from slotbase.devstack import ports
from slotbase.devstack.errors import StackError
from slotbase.devstack.ports import (
    LOOPBACK,
    any_free_port,
    choose_web_port,
    is_free,
    reserve,
    same_port_as_before,
)
from slotbase.devstack.state import State


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "state")


@pytest.fixture
def taken():
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def usual(monkeypatch):
    port = any_free_port()
    monkeypatch.setattr(ports, "USUAL_WEB_PORT", port)
    return port


def test_the_usual_web_port_is_taken_first(state, usual):
    assert choose_web_port(state, None) == usual


def test_another_port_is_chosen_when_the_usual_one_is_taken(state, monkeypatch, taken):
    monkeypatch.setattr(ports, "USUAL_WEB_PORT", taken)
    port = choose_web_port(state, "")
    assert port != taken
    assert is_free(port)


def test_the_chosen_port_is_used_again_at_the_next_start(state, usual):
    wanted = any_free_port()
    assert choose_web_port(state, str(wanted)) == wanted
    assert choose_web_port(state, None) == wanted


def test_zero_means_any_free_port(state, usual):
    assert is_free(choose_web_port(state, "0"))


def test_a_taken_port_that_was_asked_for_is_refused(state, taken):
    with pytest.raises(StackError, match=f"Port {taken} is taken"):
        choose_web_port(state, str(taken))


@pytest.mark.parametrize("wanted", ["http", "-1", "65536", "80.5"])
def test_what_is_not_a_port_is_refused(state, wanted):
    with pytest.raises(StackError, match="not a port number"):
        choose_web_port(state, wanted)


def test_a_server_keeps_its_port_until_another_program_takes_it(state):
    port = same_port_as_before(state, "valkey")
    assert same_port_as_before(state, "valkey") == port

    with socket.create_server((LOOPBACK, port)):
        other = same_port_as_before(state, "valkey")

    assert other != port
    assert same_port_as_before(state, "valkey") == other


def test_a_reserved_port_is_taken_for_others_but_not_for_our_web_server():
    port = any_free_port()

    reserve(port)

    assert not is_free(port)
    with socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ours.bind((LOOPBACK, port))
        ours.listen()
        socket.create_connection((LOOPBACK, port)).close()
