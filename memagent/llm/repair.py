"""Reads what a model wrote as a function's arguments: as the JSON object that it meant, or not at all.

Mending changes marks, never words: quotes, commas, brackets and line breaks are put right; no key or value is dropped,
renamed or made up. Where two readings are possible it is refused, in words that the model can act on. It takes time in
proportion to the text's length, whatever the text (a general JSON mender needs seconds for 4 kB of some texts, and drops
keys). Knows nothing of which functions there are, nor of what arguments they take.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from memagent.errors import JSONParseError

LONGEST = 1_000_000
"""Characters of valid JSON that are taken."""

MENDABLE = 65_536
"""Characters of broken JSON that mending is tried on."""

DEEPEST = 64
"""Objects and lists inside each other."""

EXPECTED = (
    'Write the arguments again as one JSON object, such as {"name": "value", "count": 2}: keys and strings in double '
    'quotes, and inside a string \\" for a quote and \\n for a new line.'
)


def mend(text: str) -> dict[str, Any]:
    """The arguments of a function call. Nothing at all, or `null`, is no arguments; NaN, Infinity and a key given twice
    with different values are refused, since whatever was made of them would be a guess. Raises `JSONParseError`."""
    if len(text) > LONGEST:
        raise refusal(f"they are too long: {len(text)} characters, {LONGEST} at most")
    if not text.strip():
        return {}
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        if len(text) > MENDABLE:
            raise refusal("they are not valid JSON", text, getattr(error, "pos", 0)) from None
        value = _only_object(text)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _decoded_twice(value)
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", bool: "true or false"}.get(type(value), "a number")
        raise refusal(f"they are {kind}, not an object")
    _guard_depth(value)
    return value


def read_json(text: str, at: int, end: int) -> tuple[Any, int]:
    """The object or list that begins at `at`, and where it ends; mended if need be. Raises `JSONParseError`."""
    try:
        value, stop = _DECODER.raw_decode(text, at)
        if stop <= end:
            _guard_depth(value)
            return value, stop
    except (ValueError, RecursionError):
        pass
    reader = _Reader(text, at, end)
    return reader.value(0), reader.at


def beyond_thoughts(text: str) -> int:
    """Where the answer begins after thoughts in <think> tags, of which the first may be missing."""
    closing = None if text.lstrip().startswith(("{", "[", '"')) else _THOUGHTS_END.search(text)
    return closing.end() if closing else 0


def refusal(what: str, text: str = "", at: int = 0) -> JSONParseError:
    """The error that tells the model what is wrong, and near what."""
    snippet = text[max(0, at - 20) : at + 20].strip()
    near = f", near {json.dumps(snippet, ensure_ascii=False)}" if snippet else ""
    return JSONParseError(f"The arguments can't be read: {what}{near}.", hint=EXPECTED)


# ------------------------------------------------------------------------------------------ valid JSON, strictly


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if found.setdefault(key, value) is not value and found[key] != value:
            raise refusal(f"{json.dumps(key)} is there twice with different values")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise refusal(f"the number {text} is too large")
    return value


def _no_constant(text: str) -> NoReturn:
    raise refusal(f"{text} is not a JSON value; write a number or null")


# strict=False takes line breaks inside strings as they are.
_DECODER = json.JSONDecoder(
    strict=False, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant
)


def _too_deep() -> JSONParseError:
    return refusal(f"they are nested more than {DEEPEST} deep")


def _guard_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise _too_deep()
        inner = (item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer))
        level = [item for item in inner if isinstance(item, dict | list)]


def _decoded_twice(text: str) -> Any:
    """An object that was written as a JSON string; any other string stays what it is."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return text


# ---------------------------------------------------------------------------------- finding the object in its text

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_OPEN, _CLOSE = "[\"'“‘`]", "[\"'”’`]"
_QUOTED_KEY = rf"{_OPEN}[^\"'“”‘’`\\\n]{{1,100}}{_CLOSE}\s*(?::|=>?)"
_ANY_KEY = rf"{_OPEN}?[\w$][\w$ .-]{{0,100}}?{_CLOSE}?\s*(?::|=>?)"
_KEYLIKE = re.compile(rf"{_OPEN}\w[\w .-]{{0,64}}{_CLOSE}\s*:")
_OPENING = re.compile(rf"\{{\s*(?:\}}|//|/\*|<think|{_QUOTED_KEY}|{_ANY_KEY})")
_UNBRACED = re.compile(rf"\s*(?:```\w*\s*)?(?={_QUOTED_KEY})")
_ESCAPED = re.compile(r'\s*\{\s*\\"')
_LIST = re.compile(r"\s*\[\s*[\[{\"'\d\]-]")
_CONTINUES = re.compile(r"\s*,\s*[^{\s]")
_THOUGHTS_END = re.compile(r"</(?:think|thinking|thought|reasoning)>")
_TOKEN = re.compile(r"<\|[\w ]{2,30}\|>|</s>|<end_of_turn>|</tool_call>|</function>|\[/INST\]|```")


def _only_object(text: str) -> Any:
    """The first object in a text that is not JSON as a whole, provided that no part of it stands outside."""
    start, end = beyond_thoughts(text), _before_tokens(text)
    if _LIST.match(text, start):
        return []
    if _ESCAPED.match(text, start):
        text = _unescaped(text[start:end])
        start, end = 0, len(text)
    if unbraced := _UNBRACED.match(text, start):
        reader = _Reader(text, unbraced.end(), end)
        value, stop = reader.object(1), reader.at
    else:
        opening = _OPENING.search(text, start)
        begin = opening.start() if opening else text.find("{", start)
        if begin < 0:
            raise refusal("there is no JSON object in them", text, start + 20)
        if outside := _KEYLIKE.search(text, start, begin):
            raise refusal("a part of them is outside of the braces", text, outside.start())
        value, stop = read_json(text, begin, end)
    following = text.find("{", stop)
    outside = _CONTINUES.match(text, stop) or _KEYLIKE.search(text, stop, len(text) if following < 0 else following)
    if outside:
        raise refusal("they go on after the closing brace", text, outside.start())
    return value


def _before_tokens(text: str) -> int:
    """Where the text ends without the marks that models leave behind their answer, such as <|im_end|>."""
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        tokens = [token for token in _TOKEN.finditer(text, max(0, end - 40), end) if token.end() == end]
        if not tokens:
            return end
        end = tokens[0].start()


# ------------------------------------------------------------------------------------------------ the patient reader

_END = r"(?:\Z|<\||</|```|\[/INST)"
_STOP = re.compile(r"<\||</|```|\[/INST")
_SPACE = re.compile(r"(?:\s+|//[^\n\"']*(?=\n)|/\*[^\"'*]*\*/|<think>.*?</think>)*", re.DOTALL)
_KEY = re.compile(
    rf"(?:\"([^\"\\\n]{{1,200}})\"|'([^'\\\n]{{1,200}})'|{_OPEN}?([\w$][\w$ .-]{{0,100}}?){_CLOSE}?)\s*(?::|=>?)"
)
_BARE = re.compile(r"[^\s,:{}\[\]\"'“”‘’`]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,308})(?:\.\d+)?(?:[eE][+-]?\d{1,4})?")
_WORD = re.compile(r"(?!(?:nan|inf|infinity|undefined)\Z)[^\W\d][\w.-]*", re.IGNORECASE)
_LITERALS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_NOT_JSON = re.compile(r"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})|\\'|[\\\"\x00-\x1f]")
_ITEM_END = re.compile(rf"\s*(?:[\]}},]|{_END}|(?={_OPEN}))")


def _value_ends(key: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What may follow the quote that ends a value, if keys look like `key`: normally, and after a quote inside it."""
    normally = rf"\s*(?:[}}\]]|{_END}|//|/\*|,\s*(?:{key}|[}}\],]|{_END}|//|/\*)|{_QUOTED_KEY})"
    in_doubt = rf"\s*(?:[}}\]][\s}}\]]*(?:{_END}|,)|{_END}|,\s*(?:{key}|{_END}))"
    return re.compile(normally), re.compile(in_doubt)


_VALUE_ENDS = {True: _value_ends(_QUOTED_KEY), False: _value_ends(_ANY_KEY)}
_MARKS = {quote: re.compile(rf"\\.|{quote}", re.DOTALL) for quote in _QUOTES.values()}


def _unescaped(inside: str) -> str:
    """The text that a string's inside stands for; a backslash that means nothing stands for itself."""

    def as_json(mark: re.Match[str]) -> str:
        found = mark[0]
        if found == "\\'":
            return "'"
        return found if len(found) > 1 else json.dumps(found)[1:-1]

    text: str = json.loads(f'"{_NOT_JSON.sub(as_json, inside)}"')
    return text


class _Reader:
    """Reads an object from `at` on, forgiving what can mean only one thing. Goes over the text once."""

    def __init__(self, text: str, at: int, end: int) -> None:
        self.text, self.at, self.end = text, at, end
        self.quoted_keys = True

    def fail(self, what: str) -> JSONParseError:
        return refusal(what, self.text, self.at)

    def next(self) -> str:
        """The next character that means something; nothing at the end."""
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
            raise self.fail('a comma, a closing brace or a "key": is missing')
        key = (found[1] or found[2] or found[3]).strip()
        self.quoted_keys = found[0][0] in _QUOTES
        self.at = found.end()
        if self.next() in ("", ",", "}", "]"):
            raise self.fail(f"{json.dumps(key, ensure_ascii=False)} has no value")
        return key

    def value(self, depth: int, in_list: bool = False) -> Any:
        char = self.next()
        if depth >= DEEPEST and char in ("{", "["):
            raise _too_deep()
        if char in ("{", "["):
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
        if closing < 0:
            raise self.fail(f"there is no {marks} to close the string")
        inside, self.at = self.text[self.at + 3 : closing], closing + 3
        return _unescaped(inside)

    def string(self, quote: str, in_list: bool) -> str:
        """A string whose quotes may not all be escaped: it ends at the first one after which it can end."""
        start = self.at + 1
        normally, in_doubt = (_ITEM_END, None) if in_list else _VALUE_ENDS[self.quoted_keys]
        ends: re.Pattern[str] | None = normally
        for mark in _MARKS[quote].finditer(self.text, start, self.end):
            if mark[0] != quote:
                continue
            if ends and ends.match(self.text, mark.end(), self.end):
                inside = self.text[start : mark.start()]
                if ends is not normally and _KEYLIKE.search(inside):
                    break
                self.at = mark.end()
                return _unescaped(inside)
            ends = in_doubt
        if ends is not normally:
            raise self.fail("it is not clear where this string ends; are all quotes inside it escaped?")
        self.at = self.end
        return _unescaped(_cut_short(self.text[start : self.end]))

    def bare(self) -> Any:
        """A number, a literal, or one word without quotes."""
        found = _BARE.match(self.text, self.at, self.end)
        word = found[0] if found else ""
        begin, self.at = self.at, self.at + len(word)
        if word in _LITERALS:
            return _LITERALS[word]
        if _NUMBER.fullmatch(word):
            return _DECODER.decode(word)
        if not (_WORD.fullmatch(word) and self.next() in (",", "}", "]")):
            self.at = begin
            raise self.fail("strings must be in double quotes, and other values be numbers, true, false or null")
        return word


def _cut_short(inside: str) -> str:
    """A last string without its closing quote: the brackets at its end belong to it only if they pair up within it."""
    token = _TOKEN.search(inside)
    inside = inside[: token.start()] if token else inside
    surplus = any(inside.count(close) > inside.count(opening) for opening, close in ("{}", "[]"))
    return inside.rstrip("}] \t\r\n") if surplus else inside
