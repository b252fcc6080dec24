"""What the programs of the stack are told."""

import re
from itertools import pairwise

import pytest

from slotbase.devstack import environment
from slotbase.devstack.errors import StackError
from slotbase.devstack.postgres import Postgres
from slotbase.devstack.run_env import read_run_env, write_run_env
from slotbase.devstack.stack import ProductStack
from slotbase.devstack.state import State
from slotbase.devstack.summary import summary
from slotbase.devstack.valkey import Valkey

GIVEN = {
    "DATABASE_URL": "postgresql://app@db.example/slotbase",
    "REDIS_URL": "rediss://redis.example:6380/0?timeout=1",
}


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "state")


def build(state, **given):
    return ProductStack(state, {**GIVEN, "PORT": "0", **given})


def program(stack, name):
    return next(each for each in stack.programs if each.name == name)


def test_given_servers_are_used_and_none_are_started(state):
    stack = build(state)
    names = [each.name for each in stack.programs]
    assert names == ["sandbox", "migrate", "seed", "web", "worker", "beat"]
    env = program(stack, "web").env
    assert env["DATABASE_URL"] == GIVEN["DATABASE_URL"]
    assert env["CACHE_URL"] == "rediss://redis.example:6380/1?timeout=1"


def test_without_them_our_own_are_started_first(state, monkeypatch):
    monkeypatch.setattr(Postgres, "prepare", lambda _: None)
    monkeypatch.setattr(Valkey, "prepare", lambda _: None)

    stack = ProductStack(state, {"PORT": "0"})
    assert [each.name for each in stack.programs][:2] == ["postgres", "valkey"]
    assert program(stack, "migrate").after == ("postgres", "valkey")


def test_only_the_migrations_know_the_owner_of_the_tables(state):
    owner = "postgresql://owner@db.example/slotbase"
    stack = build(state, DATABASE_OWNER_URL=owner)
    assert program(stack, "migrate").env["DATABASE_URL"] == owner
    for each in stack.programs:
        assert "DATABASE_OWNER_URL" not in each.env
        assert each.name == "migrate" or each.env["DATABASE_URL"] != owner


def test_what_is_given_wins_and_what_is_empty_is_not_given(state):
    stack = build(state, DEBUG="true", CLERK_ISSUER="https://c.example", SECRET_KEY="")
    env = program(stack, "web").env
    assert env["DEBUG"] == "true"
    assert env["CLERK_ISSUER"] == "https://c.example"
    assert len(env["SECRET_KEY"]) >= 50
    assert env["CLERK_JWKS_URL"].startswith(stack.run_env({})["SANDBOX_URL"])


def test_webhooks_of_the_sandbox_reach_the_product_signed_as_it_expects(state):
    stack = build(
        state,
        STRIPE_WEBHOOK_SECRETS="whsec_now,whsec_before",
        RESEND_WEBHOOK_SECRETS="whsec_bm93, whsec_YmVmb3Jl",
        CLERK_WEBHOOK_SECRETS="whsec_Y2xlcms=",
    )
    addresses = stack.run_env({})
    told = program(stack, "sandbox").command
    url = f"{addresses['SLOTBASE_URL']}/webhooks"
    assert [after for word, after in pairwise(told) if word == "--webhook"] == [
        f"stripe={url}/stripe/,whsec_now",
        f"resend={url}/resend/,whsec_bm93",
        f"clerk={url}/clerk/,whsec_Y2xlcms=",
    ]
    env = program(stack, "worker").env
    assert env["STRIPE_API_BASE"] == f"{addresses['SANDBOX_URL']}/stripe"
    assert env["STRIPE_SECRET_KEY"] == "sk_test_sandbox"


def test_coaches_notes_go_to_the_sandbox(state):
    stack = build(state)
    env = program(stack, "worker").env
    sandbox = stack.run_env({})["SANDBOX_URL"]
    assert env["OPENAI_BASE_URL"] == f"{sandbox}/openai/v1"
    assert (env["OPENAI_MODEL"], bool(env["OPENAI_API_KEY"])) == ("gpt-5.4-mini", True)


def test_the_next_start_has_the_same_secret_and_the_same_issuer(state):
    first, second = (program(build(state), "web").env for _ in range(2))
    assert first["SECRET_KEY"] == second["SECRET_KEY"]
    assert first["CLERK_ISSUER"] == second["CLERK_ISSUER"]


def test_several_workers_have_names_of_their_own(state):
    stack = build(state, WORKERS="3", WEB_WORKERS="4", WEB_THREADS="5")
    workers = [each for each in stack.programs if each.name.startswith("worker")]
    assert [each.name for each in workers] == ["worker", "worker-2", "worker-3"]
    assert len({each.command[-3] for each in workers}) == 3
    web = " ".join(program(stack, "web").command)
    assert "--workers 4 --blocking-threads 5" in web


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_number_of_workers_must_be_one(text):
    with pytest.raises(StackError, match="WORKERS"):
        environment.count({"WORKERS": text}, "WORKERS", 1)


def test_run_env_survives_odd_passwords(state):
    values = {"DATABASE_URL": "postgres://a:$x'\"`y@h/db", "WORKER_PIDS": "1 2"}
    write_run_env(state, values)
    assert read_run_env(state) == values


def test_the_summary_is_useful_while_parts_are_out_of_order(state):
    write_run_env(state, build(state).run_env({}))
    assert f"For scripts        . {state.root}/run.env" in summary(state)


def test_the_summary_says_how_staff_get_their_code(state):
    write_run_env(state, build(state).run_env({}))

    said = summary(state)

    assert re.search(r"and this code: \d{6};", said)
    assert "python -m slotbase.devstack code" in said
