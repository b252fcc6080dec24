"""F89: notes are data, also for a model that obeys them."""

import json
import re
import time
from typing import Any

import pytest
from django.apps import apps

from bookings.models import SessionFeedback
from bookings.services import prompt
from bookings.services.pseudonyms import can_hide, hide_people
from bookings.states import FallbackReason
from recovery.models import AuditEntry
from slotbase.providers.breaker import Breaker
from slotbase.providers.openai import client
from tests.bookings.injections import INJECTIONS
from tests.bookings.notes import behave, enhance, now_of, requests_of
from tests.bookings.sessions import make_drill, make_feedback, make_session, make_skill
from tests.conftest import Sandbox
from tests.factories import make_customer, make_venue

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]
OF_ENHANCING = {"bookings_sessionfeedback", "bookings_tokenbudget"}
OF_ENGINES = {"recovery_auditentry", "recovery_providerstatus", "recovery_count"}


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("openai", failures=100))


def everything_else() -> dict[str, list[Any]]:
    """Every row of every table that enhancing has no business with."""
    return {
        model._meta.label: [*model._base_manager.order_by("pk").values()]
        for model in apps.get_models(include_auto_created=True)
        if model._meta.db_table not in OF_ENHANCING | OF_ENGINES
    }


@pytest.mark.parametrize("notes", INJECTIONS)
def test_notes_trigger_nothing_but_plain_feedback(sandbox: Sandbox, notes: str) -> None:
    venue = make_venue()
    skill, drill = make_skill(venue), make_drill(venue)
    row = make_feedback(venue=venue, notes=notes)
    before, history = everything_else(), AuditEntry.objects.latest("id").pk
    behave(sandbox, "obeys")

    assert enhance() == 1

    now = now_of(row)
    assert everything_else() == before
    added = AuditEntry.objects.filter(id__gt=history)
    assert {each.subject_id for each in added} == {str(row.pk)}
    assert now.notes == notes
    assert now.status in {"DONE", "DEGRADED"}
    assert now.fallback_reason in {"", FallbackReason.INVALID_OUTPUT}
    assert {*now.skills} <= {skill.pk}
    assert {*now.drills} <= {drill.pk}


def test_the_corpus_reaches_a_model_that_obeys(sandbox: Sandbox) -> None:
    """The control: some of it comes through as text, and some breaks the form."""
    behave(sandbox, "obeys")
    rows = [make_feedback(notes=notes) for notes in INJECTIONS]

    while enhance():
        pass

    ends = [now_of(row).status for row in rows]
    assert len(INJECTIONS) == 20
    assert {*ends} == {"DONE", "DEGRADED"}


def test_nothing_that_is_sent_tells_who_it_is_about(sandbox: Sandbox) -> None:
    alice = make_customer("Alice Adler", email="alice@people.example")
    make_feedback(
        notes="of another one: Bob Busch", customer=make_customer("Bob Busch")
    )
    SessionFeedback.objects.update(next_run_at=None)
    booking = make_session(customer=alice, coach=make_customer("Jo Jensen"))
    notes = (
        "ALICE's serve, Adlers backhand; Jo Jensen says well done."
        f" alice@people.example +49 170 1234567 0170/1234567 {booking.reference}"
        " https://people.example/alice?x=1 cross-court 6-4 7-5"
    )
    row = make_feedback(booking, notes=notes)

    enhance()

    [sent] = requests_of(sandbox)
    words = json.dumps(sent).lower()
    hidden = ("alice", "adler", "jensen", "people.example", "1234567", "busch")
    ids = (booking.reference, str(row.pk), str(booking.pk), str(alice.pk))
    for word in (*hidden, *ids, booking.resource.venue.name):
        assert word.lower() not in words, word
    assert "cross-court 6-4 7-5" in words
    assert "tools" not in sent
    assert now_of(row).notes == notes


def test_without_the_hiding_names_would_be_sent(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    """The control."""
    monkeypatch.setattr(prompt, "hide_people", lambda notes, **_: notes)
    booking = make_session(customer=make_customer("Alice Adler"))
    make_feedback(booking, notes="Alice serves well")

    enhance()

    assert "Alice" in json.dumps(requests_of(sandbox))


@pytest.mark.parametrize(
    ("notes", "sent"),
    [
        ("alice und Jo", "[player] und [coach]"),
        ("Alices Rückhand", "[player]s Rückhand"),
        ("malice aforethought", "malice aforethought"),
        ("A. Adler-Meier", "A. [player]-Meier"),
        ("mail a.b+c@d.example now", "mail [e-mail] now"),
        ("see www.x.example/y", "see [link]"),
        ("7K3QF-9XW2M and 7k3qf-9xw2m", "[reference] and [reference]"),
        ("call 030 1234567 or +4917012345", "call [phone] or [phone]"),
        ("6-4 6-3, 40:15, 3x10 cross-court", "6-4 6-3, 40:15, 3x10 cross-court"),
    ],
)
def test_people_are_hidden_and_words_are_not(notes: str, sent: str) -> None:
    assert hide_people(notes, player="Alice Adler", coach="Jo Jensen") == sent


#: Who it is about, and how coaches write that: not one letter of it is sent.
SPELLED = [
    ("Müller", "mueller"),
    ("Müller", "MULLER"),
    ("Müller", "Mu\u0308llers"),
    ("Mueller", "Müller"),
    ("José", "Jose"),
    ("Jose", "josé"),
    ("Straße", "STRASSE"),
    ("Strasse", "Straße"),
    ("Søren Ågård", "Soeren Aagaard"),
    ("Søren Ågård", "soren agard"),
    ("Łukasz", "lukasz"),
    ("Ærø", "aeroe"),
    ("李 明", "李"),
    ("李 明", "李明"),
    ("김민수", "김민수는"),
    ("Νίκος", "ΝΙΚΟΣ"),
    ("Cleo Costa", "CleoCosta"),
    ("Cleo Costa", "cleo_costa"),
    ("Cleo Costa", "cleo.costa"),
    ("Cleo Costa", "costa-cleo"),
    ("Cleo Costa", "@cleocosta"),
    ("Cleo Costa", "@CleoCosta99"),
    ("Cleo de la Costa", "cleocosta"),
    ("Cleo", "Cleo1"),
    ("Cleo", "_cleo_"),
    ("Cleo", "[cleo]"),
    ("Cleo", "c\u200bl\u200de\u00ado"),
    ("Cleo", "\ufeffcleo\u2060"),
    ("Cl\u200beo", "cleo"),
    ("Cleo", "\uff23\uff4c\uff45\uff4f"),
    ("Cleo", "cleo's"),
    ("Anna-Lena", "Annalena"),
    ("Anna-Lena", "anna lena"),
    ("Annalena", "ANNALENA"),
    ("O'Brien", "obrien"),
    ("O'Brien", "O\u2019Brien"),
    ("Oscar O'Brien", "o brien"),
    ("Player Link", "Player, link"),
]


@pytest.mark.parametrize(("name", "written"), SPELLED)
def test_a_name_is_hidden_however_it_is_spelled(name: str, written: str) -> None:
    notes = f"x {written} y"

    for hidden, kept in (
        (hide_people(notes, player=name, coach="Jo Jensen"), "[player]"),
        (hide_people(notes, player="Jo Jensen", coach=name), "[coach]"),
    ):
        assert kept in hidden
        left = "".join(re.findall(r"[^\W\d_]", hidden.replace(kept, "")))
        assert left in {"xy", "xsy", "x는y"}


@pytest.mark.parametrize(
    ("notes", "sent"),
    [
        ("ask cleo(at)x.de", "ask [e-mail]"),
        ("ask cleo [at] x.de or CLEO {AT} x.de", "ask [e-mail] or [e-mail]"),
        ("ask cleo\uff20x.de", "ask [e-mail]"),
        ("film: x.de/abc, www.x.de", "film: [link] [link]"),
        ("mail cleo@clips.example/abc", "mail [e-mail]"),
    ],
)
def test_addresses_in_other_forms_are_hidden(notes: str, sent: str) -> None:
    assert hide_people(notes, player="Alice Adler", coach="Jo Jensen") == sent


@pytest.mark.parametrize(
    "words",
    [
        "Backhand long, then a long ball down the line.",
        "Rückhand größer ausholen, Füße früher; déjà vu",
        "at (the net) better than at the baseline e.g. and/or 1/2",
        "malice, palace, Jolly, joking, costal, sue, Su",
        "6-4 6-3, 40:15, 3x10 cross-court @ the net",
        "明天 正手 更好",
    ],
)
def test_words_that_are_nobodys_name_stay(words: str) -> None:
    assert hide_people(words, player="Alice Costa", coach="Jo Suen") == words


@pytest.mark.parametrize("word", ["a", "a.", "a-", "a@", "(at", "+1 ", "cleo_"])
def test_notes_of_one_long_word_hold_up_no_worker(word: str) -> None:
    started_at = time.thread_time()

    hide_people(word * (8000 // len(word)), player="Cleo de la Costa", coach="Jo")

    assert time.thread_time() - started_at < 1


def test_the_notes_of_somebody_called_long_have_no_long_balls() -> None:
    assert hide_people("a long ball", player="Ada Long", coach="") == "a [player] ball"


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        *(("", False), ("  ", False), ("A.", False), ("É", False), ("12 _-", False)),
        *(("\u200b", False), ("A. B.", False), ("Jo", True), ("李", True)),
        *(("A. Long", True), ("O'Brien", True)),
    ],
)
def test_a_name_without_a_word_cannot_be_hidden(name: str, is_known: bool) -> None:
    assert can_hide(name) is is_known


@pytest.mark.parametrize("notes", ["!" * 8000, "\U0001f3be" * 2000, "\u674e" * 2600])
def test_no_call_uses_more_than_was_taken_for_it(notes: str) -> None:
    """F88: a token of marks or of rare letters may have one byte."""
    written = prompt.write_prompt(make_feedback(notes=notes))

    sent = (written.instructions + written.notes).encode()
    assert written.most_tokens >= len(sent) + client.MAX_COMPLETION_TOKENS
