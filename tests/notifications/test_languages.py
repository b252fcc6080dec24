"""Each language is one file; it is complete, and what is shipped was made of it."""

import gettext
import io
import re
from pathlib import Path

import pytest

from notifications.kinds import KINDS
from notifications.rendering import render, render_push
from notifications.samples import sample_of
from notifications.states import Channel
from notifications.wording import (
    CATALOGUES,
    language_of,
    list_languages,
    say_money,
    speaking,
)
from slotbase.devstack import messages

PLACEHOLDER = re.compile(r"%\((\w+)\)s")
OTHERS = [each for each in list_languages() if each != "en"]
MAILS = [name for name, kind in KINDS.items() if Channel.EMAIL in kind.channels]
HEADER = messages.read_po(messages.write_po({}, {}))


def catalogue(language: str) -> str:
    return (CATALOGUES / language / "LC_MESSAGES/django.po").read_text()


def unfinished(po: str) -> list[str]:
    return [text for text, translated in messages.read_po(po).items() if not translated]


def test_german_is_there() -> None:
    assert list_languages() == ["en", "de"]


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated_and_no_other_is_kept(language: str) -> None:
    po = catalogue(language)

    assert unfinished(po) == []
    assert messages.write_po(messages.collect_messages(), messages.read_po(po)) == po


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_shipped_was_made_of_the_file(language: str) -> None:
    compiled = CATALOGUES / language / "LC_MESSAGES/django.mo"

    made = messages.compile_mo(messages.read_po(catalogue(language)))
    assert compiled.read_bytes() == made


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_says_the_same_names_and_amounts(language: str) -> None:
    for text, translated in messages.read_po(catalogue(language)).items():
        wanted, found = PLACEHOLDER.findall(text), PLACEHOLDER.findall(translated)
        assert sorted(wanted) == sorted(found), text


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("language", OTHERS)
def test_no_mail_keeps_a_sentence_of_english(name: str, language: str) -> None:
    sample = sample_of(name)
    english = paragraphs(render(name, sample, person="Alice").text)

    translated = paragraphs(render(name, sample, person="Alice", locale=language).text)

    # The venue's name and address, as they are.
    assert translated & english == {"Tennis am Park\nParkstraße 1, 10115 Berlin"}


def paragraphs(text: str) -> set[str]:
    return set(text.strip().split("\n\n"))


def test_a_text_that_is_not_translated_would_be_seen() -> None:
    found = messages.collect_messages()

    po = messages.write_po({**found, "New": "a.txt"}, messages.read_po(catalogue("de")))

    assert unfinished(po) == ["New"]


def test_german_says_it_in_german() -> None:
    mail = render(
        "booking_cancelled",
        sample_of("booking_cancelled"),
        person="Alice Adler",
        locale="de",
    )

    assert mail.subject == (
        "Storniert: Court 1, Montag, 1. Juli 2030, 12:00 bis 13:00 Uhr (Europe/Berlin)"
    )
    assert 'lang="de"' in mail.html
    for sentence in (
        "Guten Tag Alice Adler,",
        "Ihre Buchung ist storniert.",
        "Sie erhalten 20,00 EUR zurück.",
        "Gemäß den Buchungsbedingungen wurde eine Gebühr von 5,00 EUR einbehalten.",
    ):
        assert sentence in mail.text
        assert sentence in mail.html


def test_a_hold_runs_out_at_a_time_of_today() -> None:
    sample = sample_of("hold_expiring")

    english, german = (render_push("hold_expiring", sample, x).body for x in ("", "de"))

    assert english == "Confirm Monday, 1 July 2030, 12:00 by 22:15 (Europe/Berlin)."
    assert german.endswith("Bitte bestätigen Sie ihn bis 22:15 Uhr (Europe/Berlin).")


def test_a_push_is_in_german_too() -> None:
    push = render_push("booking_reminder", sample_of("booking_reminder"), "de")

    assert push.title == "Erinnerung: Court 1"
    assert push.body.endswith("Noch zu zahlen: 25,00 EUR.")


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        *(("de", "de"), ("de-AT", "de"), ("de_CH", "de"), ("DE", "de")),
        *(("en", "en"), ("en-US", "en"), ("", "en"), ("tlh", "en"), ("../de", "en")),
    ],
)
def test_who_speaks_what_we_do_not_gets_english(locale: str, language: str) -> None:
    assert language_of(locale) == language


@pytest.mark.parametrize(
    ("amount", "currency", "english", "german"),
    [
        (2500, "EUR", "25.00 EUR", "25,00 EUR"),
        (2500, "JPY", "2,500 JPY", "2.500 JPY"),
        (1234567, "BHD", "1,234.567 BHD", "1.234,567 BHD"),
        (123456789, "EUR", "1,234,567.89 EUR", "1.234.567,89 EUR"),
        (-5, "EUR", "-0.05 EUR", "-0,05 EUR"),
    ],
)
def test_money_is_written_as_people_write_it(
    amount: int, currency: str, english: str, german: str
) -> None:
    with speaking("en"):
        assert say_money(amount, currency) == english
    with speaking("de"):
        assert say_money(amount, currency) == german


def test_files_are_read_back_as_they_were_written() -> None:
    odd = {**HEADER, 'He said "no".': 'Er sagte "nein".', "a\\b": "Zeile\nzwei\n"}

    po = messages.write_po(dict.fromkeys(odd.keys() - {""}, "a.txt"), odd)

    assert messages.read_po(po) == odd
    known = gettext.GNUTranslations(io.BytesIO(messages.compile_mo(odd)))
    assert known.gettext('He said "no".') == 'Er sagte "nein".'
    assert known.gettext("a\\b") == "Zeile\nzwei\n"
    assert known.gettext("unknown") == "unknown"


def test_a_language_begins_with_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notifications/locale/fr/LC_MESSAGES/django.po"
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.setattr(messages, "CATALOGUES", tmp_path / "notifications/locale")

    assert messages.main() == 1

    # What is compiled is offered to people at once.
    assert not file.with_suffix(".mo").exists()
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(messages.collect_messages())
    assert "fr/LC_MESSAGES/django.po: not translated: See you there." in "".join(said)
    done = file.read_text().replace('msgstr ""\n\n', 'msgstr "Oui."\n\n')
    file.write_text(done.removesuffix('""\n') + '"Oui."\n')
    assert messages.main() == 0
    assert capsys.readouterr().out == ""
    with file.with_suffix(".mo").open("rb") as compiled:
        assert gettext.GNUTranslations(compiled).gettext("See you there.") == "Oui."
