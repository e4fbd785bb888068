"""Source code, cut at its classes and functions, whatever the language: by the words that begin them and by how far in
they stand.

No grammar is needed for that, and a mistake only moves a cut. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from memagent.sources import Document, Part
from memagent.sources.decode import text_of

LONGEST_NAME = 100

_HOLDERS = frozenset(
    {"class", "interface", "struct", "trait", "impl", "module", "namespace", "object", "record", "protocol",
     "extension", "enum", "contract", "mixin", "defmodule"}
)  # fmt: skip
_BEFORE = (
    "export|default|declare|public|private|protected|internal|static|async|abstract|final|override|virtual|inline|extern|"
    r"unsafe|pub(?:\([^)\n]{0,99}\))?|open|sealed|data|partial|suspend|local|case|readonly|const(?=[ \t]{1,9}fn)|"
    r"template[ \t]*<[^\n]{0,200}>"
)
_WORD = (
    r"(?P<what>class|interface|struct|trait|impl|module|namespace|object|record|protocol|extension|enum|contract|mixin|"
    r"defmodule|def|defp|defmacro|function|func|fn|fun|sub|proc|procedure|type|macro)\b[ \t]*\*?"
    r"(?:<[^>\n]{0,200}>)?[ \t]*(?:\([^)\n]{0,200}\)[ \t]*)?"
    r"(?P<name>[\w$~][\w$.:!?]*(?:[ \t]{1,9}for[ \t]{1,9}[\w.:]+)?)"
)
_ASSIGNED = (
    r"(?:const|let|var)[ \t]{1,9}(?P<assigned>[\w$]+)[ \t]*=[ \t]*(?:async[ \t]*)?"
    r"(?:function\b|\([^)\n]{0,300}\)[ \t]*(?::[^=\n]{1,200})?=>|[\w$]{1,99}[ \t]*=>)"
)
_TYPED = (
    r"(?!(?:return|else|if|for|while|switch|case|new|throw|await|yield|delete|do|goto|using|typedef|and|or|not|in|is)\b)"
    r"(?:[\w:*&<>,\[\]]{1,99}[ \t]{1,9}[*&]?){1,6}(?P<typed>[\w:~]{1,99})[ \t]*\([^;\n]{0,300}[^;=\n]{0,99}$"
)
_BLANK = r"^(?P<indent>[ \t]{0,99})"
_DECLARED = re.compile(rf"{_BLANK}(?:(?:{_BEFORE})[ \t]{{1,9}}){{0,9}}(?:{_WORD}|{_ASSIGNED})", re.M)
_DECLARED_OR_TYPED = re.compile(rf"{_BLANK}(?:(?:{_BEFORE})[ \t]{{1,9}}){{0,9}}(?:{_WORD}|{_ASSIGNED}|{_TYPED})", re.M)
_ATTACHED = re.compile(r"[ \t]*(?:@|#|//|/\*|\*|--|;;|%|'''|\[<?\w)")
_TYPED_LANGUAGES = frozenset(
    {"c", "h", "cc", "cpp", "cxx", "hpp", "hh", "hxx", "java", "cs", "m", "mm", "cu", "dart", "scala", "kt", "groovy",
     "swift", "php", "glsl"}
)  # fmt: skip


def document(data: bytes, name: str) -> Document:
    """The text, each class and function a part of its own; `name` is the file's, whose end tells the language."""
    text = text_of(data)
    return Document(name, tuple(parts(text, typed=name.rpartition(".")[2].lower() in _TYPED_LANGUAGES)))


def parts(text: str, *, typed: bool = False) -> Iterator[Part]:
    """The pieces of a program. `typed`: functions begin with the type that they return, not with a word for them."""
    path: list[tuple[int, str, bool]] = []
    begin = 0
    for found in (_DECLARED_OR_TYPED if typed else _DECLARED).finditer(text):
        indent = len(found["indent"].expandtabs(4))
        outer = [each for each in path if each[0] < indent]
        if (outer and not outer[-1][2]) or (
            indent and not outer
        ):  # within a function, or in a branch of the file's own
            continue
        start = _with_comment(text, found.start(), begin)
        if text[begin:start].strip():
            yield Part(text[begin:start], tuple(name for _, name, _ in path))
        begin = start
        name = " ".join((found["name"] or found["assigned"] or found.groupdict().get("typed") or "").split()).rstrip(
            ":."
        )
        path = [*outer, (indent, name[:LONGEST_NAME], found["what"] in _HOLDERS)]
    if text[begin:].strip():
        yield Part(text[begin:], tuple(name for _, name, _ in path))


def _with_comment(text: str, start: int, least: int) -> int:
    """Where the comments and decorators begin that stand right above a line."""
    while start > least:
        above = text.rfind("\n", least, start - 1) + 1 or least
        if not _ATTACHED.match(text, above, start):
            break
        start = above
    return start
