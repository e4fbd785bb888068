"""Kinds of memories: those that come with memagent and one's own are declared, checked with reasons, told, and read
back from JSON as they were.
"""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.errors import NotFound, ToolFileError, UserError
from memagent.facts.fields import When, form_of, plain
from memagent.facts.kinds import Conversation, Event, Kinds, Person, kinds_of

BOOK = '''
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal


@dataclass(frozen=True)
class BoardGame:
    """A game that we play."""

    title: str
    players: int = 2
    weight: float | None = None
    bought: date | None = None
    shelf: Literal["here", "lent"] = "here"
    scores: Mapping[str, str] = field(default_factory=dict)
    played: tuple[date, ...] = ()

    def __post_init__(self):
        if self.players < 1:
            raise ValueError("somebody has to play")


class NoKind:
    pass
'''


def kinds(folder: Path, text: str = BOOK) -> Kinds:
    (folder / "games.py").write_text(text)
    return Kinds(folder)


def refused(given: dict[str, Any], kind: str = "person") -> str:
    with pytest.raises(UserError) as error:
        Kinds().find(kind).make(given)
    return error.value.message


def test_the_kinds_that_are_there() -> None:
    assert [kind.name for kind in Kinds().all()] == ["person", "event", "fact", "conversation"]
    assert all(kind.about for kind in Kinds().all())
    assert Kinds().find("People").name == "person"
    assert Kinds().find("Events").name == "event"
    with pytest.raises(NotFound, match="no kind of memory 'book'"):
        Kinds().find("book")


def test_fields_are_read_as_people_write_them() -> None:
    person = Kinds().find("person").make({
        "name": " Anna ", "alive": "no", "relationships": "Bob: husband; Eve: boss", "objectives": "run; rest; ; run",
        "details": '["a; b", "c"]',
    })  # fmt: skip
    assert person == Person(
        "Anna", alive=False, relationships={"Bob": "husband", "Eve": "boss"}, objectives=("run", "rest"),
        details=("a; b", "c"),
    )  # fmt: skip
    assert Kinds().find("event").make({"note": "Moved", "dates": "2026-05; 2024"}) == Event(
        "Moved", ("2026-05", "2024")
    )


def test_every_reason_is_told_at_once() -> None:
    said = refused({"alive": "perhaps", "relationships": "Bob"})
    assert "alive must be yes or no, not 'perhaps'" in said
    assert "relationships must be a list of NAME: TEXT" in said
    assert "name is missing" in said
    assert "'nam'. Did you mean 'name'?" in refused({"nam": "x"})
    assert "name is empty" in refused({"name": " "})
    assert "one line" in refused({"name": "a\nb"})
    assert "dates must be a day, month or year" in refused({"note": "x", "dates": "2026-13"}, "event")
    assert "of an agent" in refused({"summary": "x", "first": 1, "last": 2}, "conversation")
    assert "the earlier one first" in refused({"summary": "x", "first": 3, "last": 2, "agent": "a"}, "conversation")


def test_they_are_told_in_sentences() -> None:
    kinds = Kinds()
    anna = Person("Anna", "sister", ("Annie",), False, {"Bob": "husband"}, ("run", "rest"), ("Likes tea",), "warm")
    assert kinds.find("person").told(anna) == (
        "Anna is the user's sister, also called Annie. Anna is no longer alive. Bob is Anna's husband. Likes tea. "
        "Objectives: run; rest. Personality: warm."
    )
    assert kinds.find("person").told(Person("Ada", "self")) == "I am Ada."
    assert kinds.find("person").told(Person("Noor", "user")) == "Noor is the user."
    moved = Event("Moved to Bonn", (When("2026-05"), When("2024")))
    assert kinds.find("event").told(moved) == "2026-05, 2024: Moved to Bonn"
    assert kinds.find("event").happened(moved) == "2024"
    assert kinds.find("conversation").told(Conversation("We spoke of soup.")) == "We spoke of soup."


def test_a_change_adds_one_takes_one_out_or_replaces_all() -> None:
    kind = Kinds().find("person")
    anna = kind.make({"name": "Anna", "details": "a; b", "relationships": "Bob: husband"})
    given = kind.changes(anna, [
        ("details", "add", "c; still c"), ("details", "drop", "a"), ("relationships", "add", "Eve: boss"),
        ("relationships", "drop", "Bob"), ("personality", "set", "warm"),
    ])  # fmt: skip
    changed = kind.make(given, anna)
    assert changed.details == ("b", "c; still c")
    assert (changed.relationships, changed.personality, changed.name) == ({"Eve": "boss"}, "warm", "Anna")
    for wrong, told in (
        (("details", "drop", "z"), "does not hold 'z'"), (("relationships", "drop", "Zoe"), "does not hold 'Zoe'"),
        (("name", "add", "x"), "one value only"), (("nmae", "add", "x"), "Did you mean 'name'"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=re.escape(told)):
            kind.changes(anna, [wrong])  # type: ignore[list-item]


def test_a_kind_of_ones_own(tmp_path: Path) -> None:
    kind = kinds(tmp_path).find("board game")
    assert (kind.name, kind.about, kind.where) == ("board_game", "A game that we play.", str(tmp_path / "games.py"))
    game = kind.make(
        {"title": "Go", "weight": "4.5", "bought": "2020-01-02", "scores": "Ada: won", "played": "2026-01-01"}
    )
    assert (game.bought, game.weight, game.players, game.played) == (date(2020, 1, 2), 4.5, 2, (date(2026, 1, 1),))
    assert kind.told(game) == (
        "Board game: Go. Players: 2. Weight: 4.5. Bought: 2020-01-02. Shelf: here. Scores: Ada: won. "
        "Played: 2026-01-01."
    )
    for wrong, told in (
        ({"players": "0"}, "somebody has to play"), ({"shelf": "gone"}, "shelf must be one of: here, lent"),
        ({"players": "many"}, "players must be a whole number"), ({"weight": "nan"}, "weight must be a number"),
        ({"bought": "soon"}, "bought must be a day"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=told):
            kind.make({"title": "Go", **wrong})


IMPORT = "from dataclasses import dataclass\n\n"
FROZEN = f"{IMPORT}@dataclass(frozen=True)\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\n", "declares no kind"),
        ("x = (\n", "games.py:1: the file of kinds can't be loaded"),
        ("import nowhere_at_all\n", "games.py:1: the file of kinds can't be loaded"),
        (f"{IMPORT}@dataclass\nclass A:\n    name: str\n", "games.py:4: A must not change"),
        (f"{FROZEN}class A:\n    name: str\n    sizes: set[int]\n", "games.py:6: A.sizes has a type that no kind can"),
        (f"{FROZEN}class A:\n    n: int\n", "games.py:5: A.n must be a str"),
        (f"{FROZEN}class A:\n    pass\n", "games.py:4: A must"),
        (f"{FROZEN}class Person:\n    name: str\n", "there is a kind 'person' already, from memagent"),
        (f"{FROZEN}class A:\n    name: str\n    when: 'When'\n", "A has a type that is not known: name 'When' is not"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ToolFileError, match=told):
        kinds(tmp_path, text)


def test_what_ones_own_class_does_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    text = BOOK.replace("\n\nclass NoKind", "\n    def told(self):\n        return 1 / 0\n\n\nclass NoKind")
    kind = kinds(tmp_path, text).find("board_game")
    with pytest.raises(ToolFileError, match=r"games.py: BoardGame.told failed: ZeroDivisionError"):
        kind.told(kind.make({"title": "Go"}))


def test_files_with_an_underscore_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "_draft.py").write_text("raise SystemExit\n")
    assert len(Kinds(tmp_path, tmp_path / "nowhere").all()) == 4
    (tmp_path / "games.py").write_text(BOOK)
    assert [kind.name for kind in kinds_of(tmp_path / "games.py")] == ["board_game"]


TEXT = st.text(max_size=30)
LINE = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


@given(
    st.builds(
        dict,
        name=LINE,
        relation=TEXT,
        aliases=st.lists(LINE, max_size=3),
        alive=st.booleans(),
        relationships=st.dictionaries(LINE, TEXT, max_size=3),
        objectives=st.lists(TEXT, max_size=3),
        details=st.lists(TEXT, max_size=3),
        personality=TEXT,
    )
)
def test_what_is_stored_is_read_back_the_same(fields: dict[str, Any]) -> None:
    kind = Kinds().find("person")
    person = kind.make(fields)
    stored = json.loads(json.dumps(kind.plain(person)))
    assert kind.read(stored) == person
    assert kind.make(stored) == person
    assert kind.told(person).strip()


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(ANY, st.sampled_from([str, bool, int, float, date, tuple[str, ...], tuple[date, ...], int | None]))
def test_whatever_is_given_is_read_or_refused_with_a_reason(value: Any, hint: Any) -> None:
    form = form_of(hint)
    try:
        read = form.read(value)
    except ValueError as error:
        assert str(error)
    else:
        assert form.read(json.loads(json.dumps(plain(read)))) == read


@given(st.dictionaries(st.sampled_from([*Kinds().find("person").forms, "nope"]), ANY, max_size=4))
def test_whatever_fields_are_given_make_a_person_or_a_reason(fields: dict[str, Any]) -> None:
    kind = Kinds().find("person")
    try:
        person = kind.make(fields)
    except UserError as error:
        assert error.hint
    else:
        assert kind.read(kind.plain(person)) == person
