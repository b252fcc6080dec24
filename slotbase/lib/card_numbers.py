"""Numbers of payment cards have no place here: told by their issuer and check digit.

People type them where they should not, with blanks, dashes and dots between the digits.
What only looks so is let by: dates, phone numbers, IBANs, and ids. By choice so is what
has the form of an id, whatever its digits are: a UUID, or 32 to 64 hexadecimal digits.
Random ones have a card number in them now and then. Nor is one seen within more than
19 digits in a row, or with letters between its digits.
"""

import re
import unicodedata
from collections.abc import Iterator

from django.core.exceptions import ValidationError

REFUSAL = "No card numbers, please: cards are paid with at Stripe alone."
HIDDEN = "\N{BULLET}" * 4
LENGTHS = range(13, 20)
# The first digits that issuers of cards have; no year, and no prefix of a phone.
_ISSUER = re.compile(r"[3-6]|8[12]|9792|220[0-4]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720")
_GROUP = re.compile(r"\d+")
# What stands between the digits of one number: no letters, nor much of anything else.
_BETWEEN = re.compile(r"[^\w]{0,3}|([\W_])\1*|\s*")
_LONGEST_PHONE = 15
# What no phone of these countries is as long as: Amex, Diners.
_NO_PHONE = re.compile(r"3[47]\d{13}|3[0689]\d{12}")
_NEVER = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"  # a UUID
    r"|\b[0-9a-f]{32,64}\b"  # a UUID without dashes, or a hash
    r"|\b20\d\d-[01]\d-[0-3]\d\b|\b[0-3]?\d[./-][01]?\d[./-]20\d\d\b"  # a date
    # A phone number as in E.164: 15 digits at most.
    r"|\+\s?(?P<phone>\d(?:[ ()./-]?\d){6,14})(?![ ()./-]?\d)"
    r"|\b(?P<iban>[A-Z]{2}\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)\b",  # an IBAN
    re.ASCII | re.IGNORECASE,
)


def refuse_card_numbers(text: str) -> None:
    """A validator of fields that people type into, of forms and serializers alike.

    Raises:
        ValidationError: there is a card number in it; the text is not quoted.
    """
    if has_card_number(str(text)):
        raise ValidationError(REFUSAL, code="card_number")


def has_card_number(text: str) -> bool:
    """Whether there is one in it."""
    return any(_find(text))


def mask_card_numbers(text: str) -> str:
    """The text with dots in place of card numbers, for what others sent us."""
    for start, end in sorted(_find(text), reverse=True):
        text = text[:start] + HIDDEN + text[end:]
    return text


def _find(text: str) -> Iterator[tuple[int, int]]:
    """Where card numbers begin and end; none overlaps another."""
    begun = 0
    groups = [*_GROUP.finditer(_NEVER.sub(_blank_out, text))]
    for index, first in enumerate(groups):
        if first.start() >= begun and (end := _end_of_card(text, groups[index:])):
            begun = end
            yield first.start(), end


def _end_of_card(text: str, groups: list[re.Match[str]]) -> int:
    """Where the longest ends that begins with the first group; 0: none does."""
    digits, end, found = "", groups[0].start(), 0
    for group in groups:
        is_next = _BETWEEN.fullmatch(text, end, group.start())
        if not is_next or len(digits) + len(group.group()) > LENGTHS[-1]:
            break
        digits, end = digits + _as_ascii(group.group()), group.end()
        found = end if any(map(_is_card, _readings(text, groups[0], digits))) else found
    return found


def _readings(text: str, first: re.Match[str], digits: str) -> Iterator[str]:
    """What is too long for a phone may be a card after the code of a country."""
    yield digits
    if len(digits) > _LONGEST_PHONE and text[: first.start()].rstrip()[-1:] == "+":
        yield from (digits[skipped:] for skipped in (1, 2, 3))


def _is_card(digits: str) -> bool:
    is_one = len(digits) in LENGTHS and _ISSUER.match(digits)
    return bool(is_one) and len(set(digits)) > 1 and _passes_luhn(digits)


def _passes_luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(each), 10)) for each in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _as_ascii(digits: str) -> str:
    return "".join(str(unicodedata.decimal(each)) for each in digits)


def _blank_out(found: re.Match[str]) -> str:
    """As many characters, none of which can stand between digits."""
    text, iban, phone = found.group(), found["iban"], found["phone"]
    is_other = (iban and not _is_iban(iban)) or (phone and not _is_phone(phone))
    return text if is_other else "x" * len(text)


def _is_phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return not (_NO_PHONE.fullmatch(digits) and _is_card(digits))


def _is_iban(text: str) -> bool:
    compact = text.replace(" ", "").upper()
    number = "".join(str(int(each, 36)) for each in compact[4:] + compact[:4])
    return int(number) % 97 == 1
