"""What stands in notes in the place of people: who they are stays in the house.

Names of the customer and the coach, addresses, numbers, references and links. Nobody
can tell the name of somebody else from a word (docs/explanation/coach-notes.md).

Names are looked for in the notes as they are without case, accents and what is not
seen, and taken out of the notes as they were written.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

PLAYER, COACH = "[player]", "[coach]"
_WORD = r"[^\s@<>,;:()\[\]{}]"
_AT = r"(?:@|\s?[(\[{]\s?(?:at|@)\s?[)\]}]\s?)"
#: Begun at the start of a word alone: eight thousand letters without a space are quick.
_E_MAIL = re.compile(rf"(?<!{_WORD}){_WORD}++{_AT}{_WORD}+", re.IGNORECASE)
_LINK = re.compile(
    r"(?:https?://|ftp://|www\.)\S+|(?<![\w@.-])(?:[\w-]+\.)+[a-z]{2,6}/\S*",
    re.IGNORECASE,
)
#: Behind a plus or a zero, or in several groups; results of sets have short groups.
_PHONE = re.compile(
    r"(?<!\w)(?:\+\s?|\(?0)\d(?:[\s()/.-]{0,2}\d){5,}"
    r"|(?<!\w)\d{2,}(?:[ /.-]\d{2,}){2,}|(?<!\w)\d{7,}"
)
#: In capitals, or with a digit: "cross-court" is none.
_REFERENCE = re.compile(
    r"(?<!\w)(?:[A-Z0-9]{5}-[A-Z0-9]{5}|(?=[a-z-]{0,10}\d)[a-z0-9]{5}-[a-z0-9]{5})(?!\w)"
)
_HIDDEN = r"\[(?:player|coach|e-mail|phone|reference|link)\]"
_LETTER = r"[^\W\d_]"  # so a digit and an underscore are borders of a word
_BETWEEN = r"[ _.'\N{RIGHT SINGLE QUOTATION MARK}-]?"
#: Thai, kana, Han and Hangul: one letter may be a name, and no space may part words.
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
#: What is left of these is not a letter and a mark.
_PLAIN = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "\u0131": "i",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
    }
)
#: How they are written where a keyboard has none.
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
_SPELLED_OUT = re.compile(r"(?<=[aou])e")
_LONG_ENOUGH = 5  # letters: "Joe" is no other spelling of "Jö"
_MARKS = {"Mn", "Me", "Cf"}

Word = frozenset[str]  # its spellings


def can_hide(name: str) -> bool:
    """Whether it has a word by which somebody is told from others in notes."""
    return any(_is_a_name(word) for words in _chunks(name) for word in words)


def hide_people(notes: str, *, player: str, coach: str) -> str:
    """The notes without who is spoken of: `player` and `coach` are their names."""
    hidden = _clean(notes)
    for pattern, name in (
        (_LINK, "[link]"),
        (_E_MAIL, "[e-mail]"),
        (_REFERENCE, "[reference]"),
        (_PHONE, "[phone]"),
    ):
        hidden = pattern.sub(name, hidden)
    # What was put there before stays, also if somebody is called so.
    names = rf"{_HIDDEN}|(?P<player>{_any_of(player)})|(?P<coach>{_any_of(coach)})"
    return _hide_names(hidden, re.compile(names))


def _clean(text: str) -> str:
    """Without what is not seen, which would part a name."""
    seen = "".join(each for each in text if unicodedata.category(each) != "Cf")
    return unicodedata.normalize("NFKC", seen)


def _hide_names(notes: str, names: re.Pattern[str]) -> str:
    folded = [_fold(each) for each in notes]
    origins = [at for at, letters in enumerate(folded) for _ in letters]
    origins.append(len(notes))
    parts, end = [], 0
    for found in names.finditer("".join(folded)):
        if found.lastgroup:
            parts += [notes[end : origins[found.start()]], f"[{found.lastgroup}]"]
            end = origins[found.end()]
    return "".join([*parts, notes[end:]])


@lru_cache(maxsize=4096)
def _fold(text: str) -> str:
    """As it is looked for: without case and accents, and each letter one of a word."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(each for each in letters if unicodedata.category(each) not in _MARKS)
    return unicodedata.normalize("NFC", bare).translate(_PLAIN)


# --- The words of a name ------------------------------------------------------


def _any_of(name: str) -> str:
    """A pattern of each word by itself, and of words that were written as one."""
    patterns = {_pattern(run) for run in _runs(_chunks(name))}
    return "|".join(sorted(patterns, key=lambda each: (-len(each), each))) or r"(?!)"


def _chunks(name: str) -> list[list[Word]]:
    """What spaces part, and therein what is parted by something else: Anna-Lena."""
    chunks = [_words(chunk) for chunk in _clean(name).split()]
    return [words for words in chunks if words]


def _words(chunk: str) -> list[Word]:
    bare = re.findall(f"{_LETTER}+", _fold(chunk))
    spelled = re.findall(f"{_LETTER}+", _fold(chunk.lower().translate(_SPELLED)))
    return [frozenset(_spellings(*both)) for both in zip(bare, spelled, strict=True)]


def _spellings(bare: str, spelled: str) -> Iterator[str]:
    yield from (bare, spelled)
    if len(bare) >= _LONG_ENOUGH:
        yield _SPELLED_OUT.sub("", bare)


def _is_a_name(word: Word) -> bool:
    return all(len(each) > 1 or bool(_UNSPACED.fullmatch(each)) for each in word)


def _runs(chunks: list[list[Word]]) -> Iterator[list[Word]]:
    words = [word for chunk in chunks for word in chunk]
    yield from ([word] for word in words if _is_a_name(word))
    together = [*chunks, words, words[::-1], [*words[:1], *words[-1:]]]
    yield from (run for run in together if len(run) > 1 and any(map(_is_a_name, run)))


def _pattern(run: list[Word]) -> str:
    """Where it is a word by itself, also with the s of a genitive."""
    found = _BETWEEN.join(f"(?:{'|'.join(sorted(word))})" for word in run)
    letters = "".join(min(word) for word in run)
    if len(letters) > 1 and _UNSPACED.fullmatch(letters):
        return found
    return rf"(?<!{_LETTER}){found}(?=s?(?!{_LETTER}))"
