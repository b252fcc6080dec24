"""Keeps the translations of messages complete: `make messages`.

Each language is one file, `notifications/locale/<language>/LC_MESSAGES/django.po`. This
lists in it what the templates say now, keeps what is translated, drops what nobody says
any more, and once nothing is missing writes the `.mo` beside it, which is what the
product reads. To begin a language, make its folder and an empty `django.po`. As much of
both formats as we use: no plurals and no contexts.
"""

import ast
import os
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
from django.template import Engine
from django.templatetags.i18n import BlockTranslateNode, TranslateNode

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = ROOT / "notifications/locale"
WORDS_IN_CODE = ROOT / "notifications/wording.py"
TEXTS = ("email/*", "push/*", "unsubscribe.html")
_ENTRY = re.compile(r'^msgid ((?:".*"\s*)+)^msgstr ((?:".*"\s*)+)', re.MULTILINE)
_LINE = re.compile(r'^".*"', re.MULTILINE)
HEADER = (
    "Content-Type: text/plain; charset=UTF-8\n"
    "Content-Transfer-Encoding: 8bit\n"
    "Plural-Forms: nplurals=2; plural=(n != 1);\n"
)
_MAGIC = 0x950412DE
_HEAD_SIZE, _ENTRY_SIZE = 28, 8


def collect_messages() -> dict[str, str]:
    """Each text that is to be translated, and the first file that has it."""
    found: dict[str, str] = {}
    templates = ROOT / "templates"
    for path in (each for texts in TEXTS for each in sorted(templates.glob(texts))):
        for message in _messages_of_template(path.relative_to(templates).as_posix()):
            found.setdefault(message, path.relative_to(ROOT).as_posix())
    for message in _messages_of_code(WORDS_IN_CODE.read_text()):
        found.setdefault(message, WORDS_IN_CODE.relative_to(ROOT).as_posix())
    return found


def _messages_of_template(name: str) -> Iterator[str]:
    nodes: Any = Engine.get_default().get_template(name).nodelist
    for node in nodes.get_nodes_by_type((TranslateNode, BlockTranslateNode)):
        if isinstance(node, TranslateNode):
            yield node.filter_expression.var.literal
        else:
            yield node.render_token_list(node.singular)[0]


def _messages_of_code(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if is_call and node.func.id == "_":  # type: ignore[attr-defined]
            yield ast.literal_eval(node.args[0])  # type: ignore[attr-defined]


def read_po(text: str) -> dict[str, str]:
    """Texts and their translations, empty for those without."""
    return {
        _unquote(message): _unquote(translated)
        for message, translated in _ENTRY.findall(text)
    }


def _unquote(lines: str) -> str:
    return "".join(map(ast.literal_eval, _LINE.findall(lines)))


def write_po(messages: dict[str, str], translated: dict[str, str]) -> str:
    """The file with all messages, in the order of the files that have them."""
    entries = [_entry("", translated.get("", HEADER))]
    entries += [
        f"#: {place}\n{_entry(message, translated.get(message, ''))}"
        for message, place in messages.items()
    ]
    return "\n".join(entries)


def _entry(message: str, translation: str) -> str:
    return f"msgid {_quote(message)}\nmsgstr {_quote(translation)}\n"


def _quote(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    lines = escaped.splitlines() or [""]
    if len(lines) == 1:
        return f'"{lines[0]}"'
    return "\n".join(['""', *(rf'"{line}\n"' for line in lines)])


def compile_mo(translated: dict[str, str]) -> bytes:
    """What gettext reads: both tables of places, then the texts, sorted."""
    pairs = sorted((k.encode(), v.encode()) for k, v in translated.items() if v)
    size = len(pairs) * _ENTRY_SIZE
    tables, texts = b"", b""
    for column in zip(*pairs, strict=True):
        for text in column:
            at = _HEAD_SIZE + 2 * size + len(texts)
            tables += struct.pack("<2I", len(text), at)
            texts += text + b"\0"
    places = _HEAD_SIZE, _HEAD_SIZE + size
    head = struct.pack("<7I", _MAGIC, 0, len(pairs), *places, 0, _HEAD_SIZE + 2 * size)
    return head + tables + texts


def main() -> int:
    """Write all files; the exit code says whether all is translated."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "slotbase.settings")
    django.setup()
    messages, missing = collect_messages(), 0
    for path in sorted(CATALOGUES.glob("*/LC_MESSAGES/django.po")):
        text = write_po(messages, read_po(path.read_text()))
        path.write_text(text)
        untranslated = [each for each, words in read_po(text).items() if not words]
        for message in untranslated:
            print(f"{path.relative_to(CATALOGUES)}: not translated: {message}")
        # A language is offered once it is compiled, so only when nothing is missing.
        if not untranslated:
            path.with_suffix(".mo").write_bytes(compile_mo(read_po(text)))
        missing += len(untranslated)
    return min(missing, 1)


if __name__ == "__main__":
    sys.exit(main())
