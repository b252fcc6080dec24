"""Who a good token signs in, and whom it does not."""

from functools import partial
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from slotbase.accounts.errors import AccountDisabled, SessionRevoked, TokenInvalid
from slotbase.accounts.models import RevokedSession, User
from slotbase.accounts.services.sign_in import sign_in
from tests.accounts.conftest import WhoAmI
from tests.concurrency.race import at_once
from tests.sandbox.client import SandboxClient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keys")]


def test_a_new_customer_is_made_at_the_first_request(
    sandbox: SandboxClient, who_am_i: WhoAmI
) -> None:
    minted = sandbox.mint("user_alice")

    answer = who_am_i(f"Bearer {minted['token']}")

    assert answer.json() == {"clerk_id": "user_alice", "sid": minted["sid"]}
    alice = User.objects.get()
    assert (alice.clerk_id, alice.is_staff) == ("user_alice", False)
    assert not alice.has_usable_password()


def test_the_same_customer_is_found_again(sandbox: SandboxClient) -> None:
    first, _ = sign_in(token=sandbox.token("user_alice"))
    again, _ = sign_in(token=sandbox.token("user_alice"))

    assert first == again


def test_a_request_costs_one_query(
    sandbox: SandboxClient, django_assert_num_queries: Any
) -> None:
    token = sandbox.token("user_alice")
    sign_in(token=token)

    with django_assert_num_queries(1):
        sign_in(token=token)


def test_a_revoked_session_is_refused_and_another_one_is_not(
    sandbox: SandboxClient, who_am_i: WhoAmI
) -> None:
    revoked, good = sandbox.mint("user_alice"), sandbox.mint("user_alice")
    RevokedSession.objects.create(session_id=revoked["sid"])

    answer = who_am_i(f"Bearer {revoked['token']}")

    assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")
    assert who_am_i(f"Bearer {good['token']}").status_code == 200


def test_a_revoked_session_of_somebody_new_is_refused_too(
    sandbox: SandboxClient,
) -> None:
    minted = sandbox.mint("user_new")
    RevokedSession.objects.create(session_id=minted["sid"])

    with pytest.raises(SessionRevoked):
        sign_in(token=minted["token"])


def test_a_disabled_customer_is_403_from_the_next_request_on(
    sandbox: SandboxClient, who_am_i: WhoAmI
) -> None:
    token = sandbox.token("user_alice")
    sign_in(token=token)
    User.objects.update(is_active=False)

    answer = who_am_i(f"Bearer {token}")

    assert (answer.status_code, answer.json()["code"]) == (403, "account_disabled")
    with pytest.raises(AccountDisabled):
        sign_in(token=token)


def test_a_token_never_signs_in_staff(sandbox: SandboxClient) -> None:
    token = sandbox.token("user_alice")
    user, _ = sign_in(token=token)
    _let_staff_have_clerk_ids()
    User.objects.filter(pk=user.pk).update(is_staff=True)

    with pytest.raises(TokenInvalid):
        sign_in(token=token)


def _let_staff_have_clerk_ids() -> None:
    """Undo the constraint, in the transaction of this test, to test the code alone."""
    from django.db import connection

    constraint = next(
        each for each in User._meta.constraints if each.name.endswith("use_a_login")
    )
    with connection.schema_editor() as editor:
        editor.remove_constraint(User, constraint)


@pytest.mark.django_db(transaction=True)
def test_twenty_first_requests_at_once_make_one_customer(
    sandbox: SandboxClient,
) -> None:
    tokens = sandbox.post(
        "/_sandbox/tokens", {"subs": ["user_alice"], "ttl": 60}
    ).json()["tokens"]

    users = at_once([partial(sign_in, token=tokens["user_alice"])] * 20)

    assert len({user.pk for user, _ in users}) == 1
    assert User.objects.count() == 1


def test_the_schema_names_the_bearer_scheme(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.accounts.urls"

    schema = SchemaGenerator().get_schema(request=None, public=True)

    scheme = schema["components"]["securitySchemes"]["clerkSession"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
