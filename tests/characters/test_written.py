"""Characters are the same when they are written as JSON and read in again; what is damaged is refused whole."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cast_made import system_in
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.characters import CharacterSystem
from memagent.errors import NameTaken, NotFound, UserError
from memagent.storage.sqlite import SqliteDatabase

_names = count()


def opened(folder: Path) -> CharacterSystem:
    """A system of its own."""
    folder = folder / str(next(_names))
    folder.mkdir()
    database: Any = SqliteDatabase(folder / "memagent.db")
    return system_in(folder, database)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[CharacterSystem]:
    made = opened(tmp_path)
    with closing(made.database):
        ann = made.create_character("Ann", "You keep a lighthouse.", {"age": 40}, {"summary_threshold": 3})
        made.create_character("Bo", "You fish.")
        made.switch_active_character("Bo")
        for number in range(5):
            ann.talk(f"word {number}")
            ann.add_memory({"event": number, "of": ["a", None, 1.5]}, "event", {"sure": True})
        ann.forget(ann.get_memories()[-1].id)
        ann.agent.state.undo_turn()
        made.templates.add("hello", "Hello ${name}")
        yield made


def test_a_whole_system_is_the_same(system: CharacterSystem, tmp_path: Path) -> None:
    system.to_json(tmp_path / "all.json")
    other = opened(tmp_path)
    with closing(other.database):
        assert other.from_json(tmp_path / "all.json") == ["Ann", "Bo"]
        assert other.to_dict() == system.to_dict() == json.loads((tmp_path / "all.json").read_text())
        assert other.active.name == "Bo" and other.templates.fill("hello", name="x") == "Hello x"
        ann, before = other.get_character("Ann"), system.get_character("Ann")
        assert [m.text for m in ann.get_memories(past=True)] == [m.text for m in before.get_memories(past=True)]
        assert [m.content for m in ann.search("word")] == [m.content for m in before.search("word")]
        assert ann.talk("word 9") == "You said: word 9"
        with pytest.raises(NameTaken):
            other.from_json(tmp_path / "all.json")


def test_a_character_is_the_same_under_another_name(system: CharacterSystem) -> None:
    ann = system.get_character("Ann")
    written = ann.to_dict()
    assert system.read_in(written, "Anna") == ["Anna"]
    again = system.get_character("Anna").to_dict()
    assert again.pop("name") == again["agent"]["agent"].pop("name") == "Anna"
    assert written.pop("name") == written["agent"]["agent"].pop("name") == "Ann"
    assert again == written
    system.get_character("Anna").add_memory("of Anna alone", "event")
    assert ann.search("Anna") == []


def test_some_memories_can_be_given_to_another(system: CharacterSystem, tmp_path: Path) -> None:
    ann, bo = system.get_character("Ann"), system.get_character("Bo")
    some = ann.get_memories(types=["event"])
    written = ann.memories_to_dict(some)
    assert system.read_in(written, "Bo") == ["Bo"]
    assert [(m.type, m.content, m.metadata, m.when) for m in bo.get_memories()] == [
        (m.type, m.content, m.metadata, m.when) for m in some
    ]
    assert bo.memories_to_dict() == {**written, "character": "Bo"}
    assert bo.talk("more") and len(bo.get_memories(types=["interaction"])) == 1
    with pytest.raises(NotFound):
        system.read_in(written, "nobody")


_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_contents = st.dictionaries(_texts, _data, min_size=1, max_size=3) | _texts.filter(lambda text: bool(text.strip()))
_types = st.sampled_from(["event", "interaction", "broadcast", "summary", "Große Sache"])


@settings(max_examples=12)
@given(
    st.dictionaries(_texts, _data, max_size=3),
    st.lists(st.tuples(_contents, _types, st.dictionaries(_texts, _data, max_size=2)), max_size=6),
    st.sampled_from([{}, {"summary_threshold": 2}, {"max_memories": 2, "auto_summarize": False}]),
)
def test_whatever_is_remembered_is_the_same(background: Any, memories: Any, bounds: Any) -> None:
    with TemporaryDirectory() as name:
        one, other = opened(Path(name)), opened(Path(name))
        with closing(one.database), closing(other.database):
            character = one.create_character("Ann", "You.", background, bounds)
            for content, kind, metadata in memories:
                kept = character.add_memory(content, kind, metadata)
                assert (kept.content, kept.metadata, kept.type) == (content, metadata, kind)
            written = json.loads(json.dumps(one.to_dict()))
            other.read_in(written)
            assert other.to_dict() == written == one.to_dict()
            some = character.memories_to_dict()
            one.create_character("Bo", "You.", memory_config={"summary_threshold": 100})
            one.read_in(some, "Bo")
            assert one.get_character("Bo").memories_to_dict() == {**some, "character": "Bo"}


FACT = ["characters", 0, "agent", "facts", 0]
DAMAGES: list[Any] = [
    (["format"], "x"), (["version"], 2), (["characters"], {}), (["characters", 0], 1), (["active"], "nobody"),
    (["active"], 3), (["templates"], []), (["templates", "hello"], "${"), (["templates", "../x"], "a"),
    (["characters", 0, "name"], "a/b"), (["characters", 0, "prompt"], None), (["characters", 0, "agent"], {}),
    (["characters", 0, "agent", "version"], 99), (["characters", 0, "agent", "messages", 0, "seq"], "1"),
    (["characters", 0, "memory_config"], {"max_memories": -1}), (["characters", 0, "background"], "x"),
    (["characters", 0, "agent", "facts"], None), ([*FACT], []), ([*FACT, "said"], "2026-01-01"),
    ([*FACT, "details"], "[]"), ([*FACT, "kind"], ["event"]), ([*FACT, "how"], "eaten"), ([*FACT, "how"], None),
    ([*FACT, "how"], "forgotten"), ([*FACT, "state"], "holds"), ([*FACT, "heir"], 10_000), ([*FACT, "heir"], True),
    ([*FACT, "message"], 10**9), ([*FACT, "origin"], {"a": 1}), ([*FACT, "line"], 2), ([*FACT, "confidence"], 2),
    (["characters", 0, "agent", "fact_changes", 0, "fact"], 10_000),
    (["characters", 0, "agent", "fact_changes", 0, "what"], "eaten"), (["characters", 1, "name"], "Ann"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value"), DAMAGES, ids=lambda part: str(part)[:40])
def test_what_is_damaged_is_refused_and_nothing_stored(
    system: CharacterSystem, tmp_path: Path, where: list[Any], value: Any
) -> None:
    written = copy.deepcopy(system.to_dict())
    inside = written
    for key in where[:-1]:
        inside = inside[key]
    inside[where[-1]] = value
    other = opened(tmp_path)
    with closing(other.database):
        with pytest.raises(UserError) as caught:
            other.read_in(written)
        assert len(str(caught.value)) < 500
        assert other.roster.all() == [] and other.templates.all() == {}


@pytest.mark.parametrize("data", [None, [], 7, "x", {}, {"format": "memagent-memories", "version": 1}])
def test_what_is_none_of_ours_is_refused(system: CharacterSystem, data: Any) -> None:
    with pytest.raises(UserError):
        system.read_in(data)


def test_a_file_that_is_no_json_is_refused(system: CharacterSystem, tmp_path: Path) -> None:
    for name, text in (("a.json", "{"), ("b.json", "[" * 100_000)):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match="is not JSON"):
            system.from_json(tmp_path / name)
    with pytest.raises(UserError, match="can't be read"):
        system.from_json(tmp_path / "none.json")
