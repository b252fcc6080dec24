"""Which characters texts of people may have."""

#: Invisible, and part of how Persian words, Indian letters and emoji are written.
JOINERS = frozenset("\u200c\u200d")


def can_be_shown(character: str) -> bool:
    """Whether it can be stored and shown: no NUL, no breaks, nothing hidden."""
    return character.isprintable() or character in JOINERS
