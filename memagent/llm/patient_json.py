"""Reads JSON that a model wrote, forgiving what can mean only one thing, and refusing the rest with a reason.

It puts marks right (quotes, commas, brackets, line breaks) and changes no word: no key or value is dropped, renamed or
made up. It takes time in proportion to the text's length, whatever the text. Knows nothing of functions or of what
surrounds the JSON.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, NoReturn

from memagent.errors import JSONParseError

DEEPEST = 64
"""Objects and lists inside each other."""

MOST = 10_000
"""Values in JSON that is broken; nobody means more, but a model that can't stop writes them."""

MOST_INNER_QUOTES = 1_000
"""Unescaped quotes inside one string."""

EXPECTED = (
    'Write the arguments again as one JSON object, such as {"name": "value", "count": 2}: keys and strings in double '
    'quotes, and inside a string \\" for a quote and \\n for a new line.'
)


def refusal(what: str, text: str = "", at: int = 0) -> JSONParseError:
    """The error that tells the model what is wrong, and near what."""
    snippet = text[max(0, at - 20) : at + 20].strip()
    near = f", near {json.dumps(snippet, ensure_ascii=False)}" if snippet else ""
    return JSONParseError(f"The arguments can't be read: {what}{near}.", hint=EXPECTED)


def read_strictly(text: str) -> Any:
    """The value of valid JSON; line breaks inside strings are taken as they are. Raises `ValueError` for other text.

    NaN, Infinity, numbers beyond a float and a key that is there twice with different values are refused: whatever was
    made of them would be a guess.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep() from None
    _guard_depth(value)
    return value


def read_first(text: str, at: int) -> tuple[Any, int]:
    """The value of valid JSON that begins at `at`, and where it ends. Raises `ValueError` for other text."""
    try:
        value, stop = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise _too_deep() from None
    _guard_depth(value)
    return value, stop


def read_patiently(text: str, at: int, end: int) -> tuple[Any, int]:
    """The object or list that begins at `at`, mended if need be, and where it ends."""
    try:
        value, stop = _DECODER.raw_decode(text, at)
        if stop <= end:
            _guard_depth(value)
            return value, stop
    except (ValueError, RecursionError):
        pass
    reader = _Reader(text, at, end)
    return reader.value(0), reader.at


def read_unbraced(text: str, at: int, end: int) -> tuple[dict[str, Any], int]:
    """The object whose opening brace is missing: it begins with a key."""
    reader = _Reader(text, at, end)
    return reader.object(1), reader.at


def unescaped(inside: str) -> str:
    """The text that the inside of a string stands for; a backslash that means nothing stands for itself."""

    def as_json(mark: re.Match[str]) -> str:
        found = mark[0]
        if found == "\\'":
            return "'"
        return found if len(found) > 1 else json.dumps(found)[1:-1]

    text: str = json.loads(f'"{_NOT_JSON.sub(as_json, inside)}"')
    return text


# ------------------------------------------------------------------------------------------------------ valid JSON


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and json.dumps(found[key]) != json.dumps(value):
            raise refusal(f"{json.dumps(key, ensure_ascii=False)} is there twice with different values")
        found[key] = value
    return found


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise refusal(f"the number {text[:40]} is too large")
    return value


def _no_constant(text: str) -> NoReturn:
    raise refusal(f"{text} is not a JSON value; write a number or null")


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


def _too_deep() -> JSONParseError:
    return refusal(f"they are nested more than {DEEPEST} deep")


def _guard_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST):
        inner = (item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer))
        level = [item for item in inner if isinstance(item, dict | list)]
    if level:
        raise _too_deep()


# ---------------------------------------------------------------------------------------------------- broken JSON

OPEN, CLOSE = "[\"'“‘`]", "[\"'”’`]"
QUOTED_KEY = rf"{OPEN}[^\"'“”‘’`\\\n]{{1,100}}{CLOSE}\s*+(?::|=>?)"
ANY_KEY = rf"{OPEN}?[\w$][\w$ .-]{{0,100}}?{CLOSE}?\s*+(?::|=>?)"
KEYLIKE = re.compile(rf"{OPEN}\w[\w .-]{{0,64}}{CLOSE}\s*+:")
TOKEN = re.compile(r"<\|[\w ]{2,30}\|>|</s>|<end_of_turn>|</tool_call>|</function>|\[/INST\]|```")
"""What models leave behind an answer, or is cut off there."""

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_MARKS = {quote: re.compile(rf"\\.|{quote}", re.DOTALL) for quote in _QUOTES.values()}
_END = r"(?:\Z|<\||</|```|\[/INST)"
_STOP = re.compile(r"<\||</|```|\[/INST")
_SPACE = re.compile(r"(?:\s+|//[^\n\"']*(?=\n)|/\*[^\"'*]*\*/|<think>.*?</think>)*", re.DOTALL)
_KEY = re.compile(
    rf"(?:\"([^\"\\\n]{{1,200}})\"|'([^'\\\n]{{1,200}})'|{OPEN}?([\w$][\w$ .-]{{0,100}}?){CLOSE}?)\s*+(?::|=>?)"
)
_BROKEN_OFF = re.compile(rf"{OPEN}?[\w$ .-]{{0,100}}{CLOSE}?\s*+\Z")
_BARE = re.compile(r"[^\s,:{}\[\]\"'“‘`]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,308})(?:\.\d+)?(?:[eE][+-]?\d{1,4})?")
_WORD = re.compile(r"(?!(?:nan|inf|infinity|undefined)\Z)[^\W\d][\w.-]*", re.IGNORECASE)
_LITERALS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_NOT_JSON = re.compile(r"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})|\\'|[\\\"\x00-\x1f]")
# Where a string has unescaped quotes inside, these say that it may really be two; and a string in three quotes.
_DOUBTFUL = re.compile(rf"{KEYLIKE.pattern}|{CLOSE}\s*+[,+]\s*+{OPEN}")
_NEXT_KEY = re.compile(rf",\s*+{KEYLIKE.pattern}")

_ITEM_END = re.compile(rf"\s*+(?:[\]}},]|{_END}|(?={OPEN}))")


@cache  # only what is broken needs them, and to compile them takes longer than to load this file
def _value_ends(key: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What may follow the quote that ends a value, if keys look like `key`: normally, and after a quote inside it."""
    rest = rf"{key}|{OPEN}?[\w ]*+{CLOSE}?\s*+{_END}"
    normally = rf"\s*+(?:[}}\]]|{_END}|//|/\*|,\s*+(?:[}}\],]|//|/\*|{rest})|(?<=\s){QUOTED_KEY})"
    closed = rf"[}}\]][\s}}\]]*+(?:{_END}|,)"
    in_doubt = rf"\s*+(?:{closed}|{_END}|,\s*+(?:{closed}|{rest}))"
    return re.compile(normally), re.compile(in_doubt)


class _Reader:
    """Goes over the text once, from `at` on."""

    def __init__(self, text: str, at: int, end: int) -> None:
        self.text, self.at, self.end = text, at, end
        self.quoted_keys = True
        self.left = MOST

    def fail(self, what: str) -> JSONParseError:
        return refusal(what, self.text, self.at)

    def next(self) -> str:
        """The next character that means something; nothing at the end."""
        if self.at < self.end and (char := self.text[self.at]) not in " \t\r\n/<`[":
            return char  # nearly always, and ten times faster
        space = _SPACE.match(self.text, self.at, self.end)
        self.at = space.end() if space else self.at
        if _STOP.match(self.text, self.at, self.end):
            self.end = self.at
        return self.text[self.at] if self.at < self.end else ""

    def object(self, depth: int) -> dict[str, Any]:
        pairs: list[tuple[str, Any]] = []
        while char := self.next():
            if char == ",":
                self.at += 1
            elif char == "}":
                self.at += 1
                break
            elif char == "]" and depth > 1:
                break  # a brace is missing before the bracket that closes the list around this object
            else:
                pairs.append((self.key(), self.value(depth)))
        return _unique(pairs)

    def array(self, depth: int) -> list[Any]:
        items: list[Any] = []
        while char := self.next():
            if char == ",":
                self.at += 1
            elif char == "]":
                self.at += 1
                break
            elif char == "}" and depth > 1:
                break
            else:
                items.append(self.value(depth, in_list=True))
        return items

    def key(self) -> str:
        found = _KEY.match(self.text, self.at, self.end)
        if not found:
            broken_off = _BROKEN_OFF.match(self.text, self.at, self.end)
            raise self.fail("they break off" if broken_off else 'a comma, a closing brace or a "key": is missing')
        key = (found[1] or found[2] or found[3]).strip()
        self.quoted_keys = found[0][0] in _QUOTES
        self.at = found.end()
        if (char := self.next()) in ("", ",", "}", "]"):
            name = json.dumps(key, ensure_ascii=False)
            raise self.fail(f"{name} has no value" if char else f"they break off after {name}")
        return key

    def value(self, depth: int, in_list: bool = False) -> Any:
        self.left -= 1
        if self.left < 0:
            raise self.fail(f"they are not valid JSON, and have more than {MOST} values")
        char = self.next()
        if char in ("{", "["):
            if depth >= DEEPEST:
                raise _too_deep()
            self.at += 1
            return self.object(depth + 1) if char == "{" else self.array(depth + 1)
        if char in ('"', "'", "`") and self.text.startswith(char * 3, self.at, self.end):
            return self.block(char * 3)
        if char in _QUOTES:
            return self.string(_QUOTES[char], in_list)
        return self.bare()

    def block(self, marks: str) -> str:
        """A string between three quotes, as in Python."""
        closing = self.text.find(marks, self.at + 3, self.end)
        if closing < 0 or _NEXT_KEY.search(self.text, self.at + 3, closing):
            raise self.fail(f"it is not clear where the string after {marks} ends")
        inside, self.at = self.text[self.at + 3 : closing], closing + 3
        return unescaped(inside)

    def string(self, quote: str, in_list: bool) -> str:
        """A string whose quotes may not all be escaped: it ends at the first one after which it can end."""
        start, inner = self.at + 1, 0
        normally, in_doubt = (_ITEM_END, None) if in_list else _value_ends(QUOTED_KEY if self.quoted_keys else ANY_KEY)
        for mark in _MARKS[quote].finditer(self.text, start, self.end):
            if mark[0] != quote:
                continue
            ends = in_doubt if inner else normally
            if not ends or inner > MOST_INNER_QUOTES:
                break
            if ends.match(self.text, mark.end(), self.end):
                if inner and _DOUBTFUL.search(self.text, start, mark.start()):
                    break
                self.at = mark.end()
                return unescaped(self.text[start : mark.start()])
            inner += 1
        if inner:
            raise self.fail("it is not clear where this string ends; escape the quotes inside it")
        self.at = self.end
        return unescaped(_cut_short(self.text[start : self.end]))

    def bare(self) -> Any:
        """A number, a literal, or one word without quotes."""
        found = _BARE.match(self.text, self.at, self.end)
        word = found[0] if found else ""
        begin, self.at = self.at, self.at + len(word)
        if word in _LITERALS:
            return _LITERALS[word]
        if _NUMBER.fullmatch(word):
            return int(word) if word.lstrip("-").isdigit() else _finite(word)
        if not (_WORD.fullmatch(word) and self.next() in (",", "}", "]")):
            self.at = begin
            raise self.fail("strings must be in double quotes, and other values be numbers, true, false or null")
        return word


def _cut_short(inside: str) -> str:
    """A last string without its closing quote: the brackets at its end belong to it only if they pair up within it."""
    token = TOKEN.search(inside)
    inside = inside[: token.start()] if token else inside
    surplus = any(inside.count(close) > inside.count(opening) for opening, close in ("{}", "[]"))
    return inside.rstrip("}] \t\r\n") if surplus else inside


_READY = re.compile(
    r'(?:[^"\\]|\\[^u]|\\u(?!d[89ab])[0-9a-f]{4}|\\ud[89ab][0-9a-f]{2}\\u[0-9a-f]{4})*+', re.DOTALL | re.IGNORECASE
)


def ready(text: str) -> int:
    """How much of the inside of a JSON string is certain already, when more of it is still to come."""
    found = _READY.match(text)
    return found.end() if found else 0
