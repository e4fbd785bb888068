"""Kinds of memories: what a person, an event, a conversation is, as declared classes; and kinds of your own.

A kind is a frozen dataclass; its first field names what it holds. A kind of yours is one in a Python file in the
folder `kinds` of your home, which is run as your function sets are. Knows nothing of how memories are stored.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from memagent.errors import NotFound, ToolFileError, UserError
from memagent.facts import SELF, USER
from memagent.facts.fields import HOLDS, Form, When, form_of, plain, told
from memagent.tools.loader import imported

LONGEST_NAME = 200
"""Characters of a person's name."""
How = Literal["set", "add", "drop"]
"""What becomes of a field: it gets a value, one more of several, or one less."""


# The kinds that are there ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """Somebody you know, the agent itself (relation: self), or you (relation: user)."""

    name: str
    relation: str = ""
    aliases: tuple[str, ...] = ()
    alive: bool = True
    relationships: Mapping[str, str] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    personality: str = ""

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            if len(name) > LONGEST_NAME or not name.isprintable():
                raise ValueError(f"a name stands on one line, and has at most {LONGEST_NAME} characters")

    def told(self) -> str:
        also = f", also called {', '.join(self.aliases)}" if self.aliases else ""
        if self.relation == SELF:
            sentences = [f"I am {self.name}{also}."]
        elif self.relation:
            who = "the user" if self.relation == USER else f"the user's {self.relation}"
            sentences = [f"{self.name} is {who}{also}."]
        else:
            sentences = [f"{self.name}{also}."]
        if not self.alive:
            sentences.append(f"{self.name} is no longer alive.")
        sentences += [f"{name} is {self.name}'s {relation}." for name, relation in self.relationships.items()]
        sentences += map(_sentence, self.details)
        for word, text in (("Objectives", "; ".join(self.objectives)), ("Personality", self.personality)):
            sentences += [_sentence(f"{word}: {text}")] if text else []
        return " ".join(sentences)


@dataclass(frozen=True)
class Event:
    """Something that happened, with its dates."""

    note: str
    dates: tuple[When, ...] = ()

    def told(self) -> str:
        return f"{', '.join(self.dates)}: {self.note}" if self.dates else self.note

    def happened(self) -> str:
        return min(self.dates, default="")


@dataclass(frozen=True)
class Fact:
    """Something that holds, and where that is known from."""

    note: str
    source: str = ""

    def told(self) -> str:
        return self.note


@dataclass(frozen=True)
class Conversation:
    """A conversation: what it came to, and its words, or where they stand: an agent, and its messages from the `first`
    to the `last`.
    """

    summary: str
    transcript: str = ""
    agent: str = ""
    first: int | None = None
    last: int | None = None

    def __post_init__(self) -> None:
        if (self.first is None) != (self.last is None) or (self.first or 0) > (self.last or 0):
            raise ValueError("first and last are the numbers of two messages, the earlier one first")
        if self.first is not None and not self.agent:
            raise ValueError("first and last are messages of an agent: say of which")

    def told(self) -> str:
        return self.summary


SHIPPED = (Person, Event, Fact, Conversation)


# What a kind is -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A declared kind: its class, and what each of its fields can hold. `where` says who declared it."""

    name: str
    made: type
    about: str
    forms: Mapping[str, Form]
    where: str

    @property
    def named_by(self) -> str:
        """The field that names what it holds."""
        return next(iter(self.forms))

    def make(self, given: Mapping[str, Any], before: Any = None) -> Any:
        """One of this kind, from fields by name; those that are not given stay as they were `before`, or get their
        default. Raises a `UserError` with every reason why that can't be.
        """
        values = {} if before is None else {name: getattr(before, name) for name in self.forms}
        wrong = []
        for name, value in given.items():
            try:
                values[name] = self._form(name).read(value)
            except ValueError as error:
                wrong.append(f"{name} must be {error}, not {_shown(value)}")
        for one in dataclasses.fields(self.made):
            required = one.default is MISSING and one.default_factory is MISSING
            if required and one.name not in given and one.name not in values:
                wrong.append(f"{one.name} is missing ({self.forms[one.name].wants})")
        named = values.get(self.named_by)
        if named == "":
            wrong.append(f"{self.named_by} is empty")
        if wrong:
            raise UserError(f"This can't be kept as {self.name}: {'; '.join(wrong)}.", hint=self.fields_told())
        return self._made(values)

    def read(self, stored: Mapping[str, Any]) -> Any:
        """One as it was stored; what does not fit its field any more is left out, where it can be."""
        given = {}
        for name, form in self.forms.items():
            with suppress(ValueError):
                if name in stored:
                    given[name] = form.read(stored[name])
        return self.make(given)

    def changes(self, before: Any, changes: Sequence[tuple[str, How, str]]) -> dict[str, Any]:
        """What fields are to hold, from changes of them: a new value, one more of several, or one less."""
        given: dict[str, Any] = {}
        for name, how, value in changes:
            form = self._form(name)
            if how == "set":
                given[name] = value
                continue
            if not form.many:
                raise UserError(f"{name} holds one value only.", hint=f"Replace it: {name}={value}")
            given[name] = _with(given.get(name, getattr(before, name)), form, name, how, value)
        return given

    def told(self, value: Any) -> str:
        """One of this kind in a sentence or two, as it is searched for and read."""
        text = self._asked(value, "told")
        if text is not None:
            if not isinstance(text, str) or not text.strip():
                raise ToolFileError(f"{self.where}: {self.made.__name__}.told must return a text that is not empty.")
            return text.strip()
        first, *rest = self.forms
        words = [f"{self.name.replace('_', ' ').capitalize()}: {told(getattr(value, first))}"]
        words += [
            f"{name.replace('_', ' ').capitalize()}: {told(getattr(value, name))}"
            for name in rest
            if getattr(value, name) not in (None, "", (), {})
        ]
        return " ".join(map(_sentence, words))

    def happened(self, value: Any) -> str | None:
        """The day, month or year in which it begins, if it has one."""
        when = self._asked(value, "happened")
        try:
            return form_of(When).read(when) if when else None
        except ValueError as error:
            raise ToolFileError(f"{self.where}: {self.made.__name__}.happened must return {error}.") from error

    def _asked(self, value: Any, name: str) -> Any:
        """What the class itself has to say, if it has a method of that name."""
        own = getattr(value, name, None)
        if not callable(own):
            return None
        try:
            return own()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ToolFileError(f"{self.where}: {self.made.__name__}.{name} failed: {said}") from error

    def plain(self, value: Any) -> dict[str, Any]:
        """The fields of one as JSON has them."""
        return {name: plain(getattr(value, name)) for name in self.forms}

    def fields_told(self) -> str:
        """Which fields there are."""
        return f"A memory of the kind {self.name} has: {', '.join(self.forms)}. More with: memagent memories kinds"

    def _form(self, name: str) -> Form:
        if name not in self.forms:
            from difflib import get_close_matches

            near = get_close_matches(name, self.forms, 1)
            said = f" Did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{self.name} has no field {name!r}.{said}", hint=f"It has: {', '.join(self.forms)}.")
        return self.forms[name]

    def _made(self, values: Mapping[str, Any]) -> Any:
        try:
            return self.made(**values)
        except ValueError as error:  # what its own check says
            raise UserError(f"This can't be kept as {self.name}: {error}.", hint=self.fields_told()) from error


def _with(before: Any, form: Form, name: str, how: How, text: str) -> Any:
    """Several values with one more, or without one."""
    if isinstance(before, Mapping):
        if how == "add":
            return {**before, **form.read(text)}
        if text.strip() not in before:
            raise UserError(f"{name} does not hold {text.strip()!r}.", hint=f"It holds: {told(tuple(before))}")
        return {key: value for key, value in before.items() if key != text.strip()}
    try:
        values = form.read([text])
    except ValueError as error:
        raise UserError(f"{name} must be {error}, not {text!r}.") from error
    if how == "add":
        return (*before, *values)
    if not set(values) <= set(before):
        raise UserError(f"{name} does not hold {text.strip()!r}.", hint=f"It holds: {told(before)}")
    return tuple(one for one in before if one not in values)


# Declaring ------------------------------------------------------------------------------------------------------------


class Kinds:
    """The kinds there are: those that come with memagent, and those in some folders."""

    def __init__(self, *folders: Path) -> None:
        self._kinds = {kind.name: kind for kind in (declared(made, "memagent") for made in SHIPPED)}
        for path in sorted(path for folder in folders for path in folder.glob("*.py")):
            if not path.name.startswith("_"):
                for kind in kinds_of(path):
                    self._add(kind)

    def _add(self, kind: Kind) -> None:
        if there := self._kinds.get(kind.name):
            raise ToolFileError(
                f"{kind.where}: there is a kind {kind.name!r} already, from {there.where}.",
                hint="Give the class another name.",
            )
        self._kinds[kind.name] = kind

    def all(self) -> list[Kind]:
        """Every kind, in its order."""
        return list(self._kinds.values())

    def find(self, name: str) -> Kind:
        """The kind of that name; its plural does too."""
        wanted = re.sub(r"[\s-]+", "_", name.strip()).lower()
        for one in (wanted, "person" if wanted == "people" else wanted.removesuffix("s")):
            if one in self._kinds:
                return self._kinds[one]
        raise NotFound(
            f"There is no kind of memory {name!r}.",
            hint=f"There are: {', '.join(self._kinds)}. Declare your own in the folder kinds of your home.",
        )

    def get(self, name: str) -> Kind | None:
        """The kind of that name, if it is declared."""
        return self._kinds.get(name)


def kinds_of(path: Path) -> list[Kind]:
    """The kinds that a file declares: every dataclass that it defines and that has no leading underscore."""
    module = imported(path, "file of kinds")
    own = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
    kinds = [declared(made, str(path), _lines(path)) for made in own if is_dataclass(made)]
    if not kinds:
        raise ToolFileError(f"{path} declares no kind.", hint="Write a class with @dataclass(frozen=True) in it.")
    return kinds


def declared(made: type, where: str, lines: Mapping[str, int] | None = None) -> Kind:
    """The kind that a class declares. Raises a `ToolFileError` that names file and field."""
    lines, name = lines or {}, made.__name__

    def refused(field: str, reason: str, hint: str = "") -> ToolFileError:
        at = f"{name}.{field}" if field else name
        return ToolFileError(f"{where}:{lines.get(at, lines.get(name, 1))}: {at} {reason}.", hint=hint)

    if not made.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise refused("", "must not change once it is made", "Write @dataclass(frozen=True) above it.")
    try:
        hints = get_type_hints(made)
    except NameError as error:
        raise refused("", f"has a type that is not known: {error}", "Import it in the same file.") from error
    forms: dict[str, Form] = {}
    for one in dataclasses.fields(made):
        try:
            forms[one.name] = form_of(hints[one.name])
        except ValueError:
            raise refused(one.name, f"has a type that no kind can hold: {one.type}", f"Use: {HOLDS}.") from None
    if not forms or hints[next(iter(forms))] is not str:
        raise refused(next(iter(forms), ""), "must be a str: the first field names what it holds")
    about = (made.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
    about = "" if about.startswith(f"{name}(") else re.sub(r"\s+", " ", about)  # what dataclass itself writes
    return Kind(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(), made, about, forms, where)


def _lines(path: Path) -> dict[str, int]:
    """In which line each class and each of its fields stands."""
    lines = {}
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef):
            lines[node.name] = node.lineno
            for one in node.body:
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                    lines[f"{node.name}.{one.target.id}"] = one.lineno
    return lines


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
