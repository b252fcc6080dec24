"""Texts as readers see them: nothing in them that shows nothing, or turns lines round.

Whoever wrote it, a person or a model, what is published is what it looks like (F89).
"""

import unicodedata

#: Letters and symbols by their category, and yet nobody sees them.
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_JOINER, _AS_EMOJI = "\u200d", "\ufe0f"
_HIDDEN = frozenset({"Cc", "Cf", "Cs"})


def to_plain(text: str) -> str:
    """Without what no reader sees; lines stay, and so do emoji made of several."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    around = zip(f" {lines}", lines, f"{lines[1:]} ", strict=False)
    return "".join(each for was, each, to in around if _stays(was, each, to)).strip()


def shows_something(text: str) -> bool:
    """Whether there is anything in it that a reader sees."""
    return any(
        unicodedata.category(each)[0] not in "CMZ" and each not in _BLANKS
        for each in text
    )


def _stays(before: str, each: str, after: str) -> bool:
    if each == _JOINER:
        return _is_emoji(before) and _is_emoji(after)
    return each in "\n\t" or unicodedata.category(each) not in _HIDDEN


def _is_emoji(each: str) -> bool:
    # With the colour of a skin, or with the mark that it is a picture.
    return unicodedata.category(each) in {"So", "Sk"} or each in {_AS_EMOJI, "♂", "♀"}
