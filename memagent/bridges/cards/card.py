"""What a character card says, as data: read from the documents of versions 1, 2 and 3, and written as 2 or 3.

What a specification does not know, or what is of another type than it says, is kept in `more` and written again. Knows
nothing of files, or of what an agent makes of a card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, TypeVar

from memagent.errors import UserError

MOST_ENTRIES = 20_000
V1 = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
"""The fields that were there first; programs that know no others look for them at the top of a document."""
_OLDER = {
    "char_name": "name", "char_persona": "description", "world_scenario": "scenario", "char_greeting": "first_mes",
    "example_dialogue": "mes_example",
}  # fmt: skip
"""What the programs before V1 called them."""
BACKFILLED = (
    "This character card is Character Card V3, but it is loaded as a Character Card V2. Please use a Character Card V3 "
    "compatible application to use this character card properly."
)

Data = Mapping[str, Any]
T = TypeVar("T")


def _is(kind: str, default: Any = None) -> Any:
    """A field of a card: of what kind it is, and what it is when it is not given; None stays unwritten."""
    return field(default=default, metadata={"kind": kind})


@dataclass(frozen=True)
class Asset:
    """A picture or another file that belongs to a character. `uri` says where it is."""

    type: str = _is("text", "")
    uri: str = _is("text", "")
    name: str = _is("text", "")
    ext: str = _is("text", "")
    more: Data = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One entry of a lore book: a text, and the keys that call it to mind."""

    keys: tuple[str, ...] = _is("texts", ())
    content: str = _is("text", "")
    extensions: Data = field(default_factory=dict, metadata={"kind": "mapping"})
    enabled: bool = _is("flag", True)
    insertion_order: float = _is("number", 0)
    case_sensitive: bool | None = _is("flag")
    use_regex: bool | None = _is("flag")
    constant: bool | None = _is("flag")
    name: str | None = _is("text")
    priority: float | None = _is("number")
    id: float | str | None = _is("id")
    comment: str | None = _is("text")
    selective: bool | None = _is("flag")
    secondary_keys: tuple[str, ...] | None = _is("texts")
    position: str | None = _is("text")
    more: Data = field(default_factory=dict)


@dataclass(frozen=True)
class Book:
    """The lore book of a character."""

    name: str | None = _is("text")
    description: str | None = _is("text")
    scan_depth: float | None = _is("number")
    token_budget: float | None = _is("number")
    recursive_scanning: bool | None = _is("flag")
    extensions: Data = field(default_factory=dict, metadata={"kind": "mapping"})
    entries: tuple[Entry, ...] = _is("entries", ())
    more: Data = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """A character, as its author wrote it down. `outer` is what else stood in the document, beside the character."""

    name: str = _is("text", "")
    description: str = _is("text", "")
    personality: str = _is("text", "")
    scenario: str = _is("text", "")
    first_mes: str = _is("text", "")
    mes_example: str = _is("text", "")
    creator_notes: str = _is("text", "")
    system_prompt: str = _is("text", "")
    post_history_instructions: str = _is("text", "")
    alternate_greetings: tuple[str, ...] = _is("texts", ())
    group_only_greetings: tuple[str, ...] = _is("texts", ())
    tags: tuple[str, ...] = _is("texts", ())
    creator: str = _is("text", "")
    character_version: str = _is("text", "")
    extensions: Data = field(default_factory=dict, metadata={"kind": "mapping"})
    character_book: Book | None = field(default=None, metadata={"kind": "book"})
    nickname: str | None = _is("text")
    creator_notes_multilingual: Data | None = field(default=None, metadata={"kind": "mapping"})
    source: tuple[str, ...] | None = _is("texts")
    creation_date: float | None = _is("number")
    modification_date: float | None = _is("number")
    assets: tuple[Asset, ...] | None = _is("assets")
    more: Data = field(default_factory=dict)
    outer: Data = field(default_factory=dict)

    @property
    def called(self) -> str:
        """What the character is called in talk."""
        return (self.nickname or "").strip() or self.name

    @property
    def greetings(self) -> tuple[str, ...]:
        """What the character may begin with: the first greeting, then the others."""
        return (self.first_mes, *self.alternate_greetings)


# Reading --------------------------------------------------------------------------------------------------------------


def card_of(document: Any, where: str) -> Card:
    """The card in a document; `where` names its file. Whatever the card says of itself, unfit parts do no harm."""
    if not isinstance(document, dict):
        raise UserError(f"{where} is not a character card: it holds no object of JSON.")
    spec, data = str(document.get("spec", "")), document.get("data")
    if spec.startswith("lorebook"):
        raise UserError(f"{where} is a lore book alone, without a character.", hint="Give the card that it belongs to.")
    if isinstance(data, dict) and (spec.startswith("chara_card") or "name" in data):
        outer = {key: value for key, value in document.items() if key not in ("spec", "spec_version", "data", *V1)}
        inner = {**{key: document[key] for key in V1 if key in document}, **data}
        card = replace(_read(Card, inner), outer=outer)
    elif spec:
        raise UserError(f"{where} is not a character card: its spec is {spec[:60]!r}.")
    else:
        card = _read(Card, {_OLDER.get(str(key), str(key)): value for key, value in document.items()})
        if not any((card.description, card.personality, card.first_mes, card.scenario, card.mes_example)):
            raise UserError(f"{where} is not a character card: it describes nobody.")
    if not card.name.strip():
        raise UserError(f"{where} is not a character card: the character has no name.")
    if card.character_book and len(card.character_book.entries) > MOST_ENTRIES:
        raise UserError(f"{where}: its lore book has more than {MOST_ENTRIES:,} entries.")
    return card


def _read(kind: Callable[..., T], given: Mapping[str, Any]) -> T:
    """The fields that are what they should be; all the rest goes into `more`."""
    known = {of.name: of.metadata["kind"] for of in fields(kind) if of.metadata}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for key, value in given.items():
        try:
            values[key] = _READERS[known[key]](value)
        except (KeyError, TypeError, ValueError):
            more[key] = value
    return kind(**values, more=more)


def _typed(*kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kinds):
            raise TypeError
        return value

    return read


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) and value else value
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise TypeError
    return tuple(listed)


def _all(kind: Callable[..., T]) -> Callable[[Any], tuple[T, ...]]:
    def read(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise TypeError
        return tuple(_read(kind, each) for each in value)

    return read


def _book(value: Any) -> Book:
    if not isinstance(value, dict):
        raise TypeError
    return _read(Book, value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "text": _typed(str), "texts": _texts, "flag": _typed(bool), "number": _number, "mapping": _typed(dict),
    "id": _typed(int, float, str), "entries": _all(Entry), "assets": _all(Asset), "book": _book,
}  # fmt: skip

# Writing --------------------------------------------------------------------------------------------------------------


def document(card: Card) -> dict[str, Any]:
    """The card as a document of version 3."""
    return {**card.outer, "spec": "chara_card_v3", "spec_version": "3.0", "data": _written(card)}


def older_document(card: Card) -> dict[str, Any]:
    """The card as a document of version 2, with what version 1 looks for. What version 3 added stays in it: programs
    must keep what they don't know.
    """
    data = _written(card)
    return {
        **card.outer, "spec": "chara_card_v2", "spec_version": "2.0", "data": data, **{key: data[key] for key in V1},
    }  # fmt: skip


def _written(part: Any) -> dict[str, Any]:
    """What was read, as it is written: lists and mappings. An unfit value stands where nothing has taken its place."""
    written: dict[str, Any] = {}
    plain = set()
    for of in fields(part):
        if of.metadata:
            value = getattr(part, of.name)
            default = of.default if of.default is not MISSING else {}
            plain |= {of.name} if value == default else set()
            if value is not None:
                written[of.name] = _as_json(value)
    return written | {key: value for key, value in part.more.items() if key not in written or key in plain}


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_json(each) for each in value]
    return _written(value) if isinstance(value, Asset | Entry | Book) else value
