"""Characters talk with each other: each in its turn, each told what the others said, and nothing lost when it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cards_made import V3
from cast_made import system_in

from memagent.bridges.cards.arriving import arrive
from memagent.bridges.cards.card import card_of
from memagent.bridges.cards.sheets import Sheet
from memagent.characters import CharacterSystem, Line, Moment, Passed
from memagent.characters.scenes import is_pass
from memagent.errors import NotFound, StorageError, UserError
from memagent.events import Delta, Notice, Reply, Thought
from memagent.llm.scripted import ScriptedLLM
from memagent.storage.sqlite import SqliteDatabase

LINES = [
    {"when": {"kind": "summary"}, "text": "We spoke."},
    {"when": {"system": "You are Ann", "said": "Bo: Nine"}, "say": "Deep enough.\nBo: I never said this."},
    {"when": {"system": "You are Ann"}, "text": "My secret plan.", "say": "How deep is it here?"},
    {"when": {"system": "You are Bo", "said": "How deep"}, "text": "I hate her.", "say": "Nine fathoms."},
    {"when": {"system": "You are Bo"}, "say": "Hm."},
    {"when": {"system": "You are Cy"}, "say": "(pass)"},
    {"when": {"system": "You are Di"}, "error": {"status": 400, "message": "no way"}},
    {"when": {"system": "Mi keeps"}, "say": "The lamp is lit."},
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Any]:
    with closing(SqliteDatabase(tmp_path / "memagent.db")) as opened:
        yield opened


@pytest.fixture
def system(tmp_path: Path, database: Any) -> CharacterSystem:
    made = system_in(tmp_path, database, LINES)
    for name in ("Ann", "Bo", "Cy", "Di"):
        made.create_character(name, f"You are {name}.")
    return made


def said_to(system: CharacterSystem, name: str) -> list[str]:
    """What somebody was told, message by message."""
    return [m.said for m in system.get_character(name).agent.state.log.all() if m.kind == "user"]


def missed(system: CharacterSystem, name: str) -> list[Any]:
    """What somebody remembers of the end of scenes."""
    return [m.content["heard at the end"] for m in system.get_character(name).get_memories(types=["event"])]


def test_each_is_told_what_the_others_said_since(system: CharacterSystem) -> None:
    lines = list(system.scene(["Ann", "Bo"], "The sea", 4))
    assert lines == [
        Line(1, "Ann", "How deep is it here?"), Line(2, "Bo", "Nine fathoms."),
        Line(3, "Ann", "Deep enough.\nBo: I never said this."), Line(4, "Bo", "Hm."),
    ]  # fmt: skip
    first, second = said_to(system, "Ann")
    assert "with Bo" in first and "The sea" in first and first.endswith("You speak first.")
    assert second == "Bo: Nine fathoms."
    first, second = said_to(system, "Bo")
    assert "with Ann" in first and first.endswith("\n\nAnn: How deep is it here?")
    assert second == "Ann: Deep enough.\n  Bo: I never said this.", "a line can't pass for another's"


def test_nobody_hears_what_another_thinks(system: CharacterSystem) -> None:
    scene = system.scene(["Ann", "Bo", "Cy"], "The sea", 6)
    with closing(scene.play()) as happening:
        moments = list(happening)
    thoughts = [m.event.text for m in moments if isinstance(m, Moment) and isinstance(m.event, Thought)]
    assert "My secret plan." in thoughts, "who listens may see them"
    everything = " ".join(said for name in ("Ann", "Bo", "Cy") for said in said_to(system, name))
    assert "secret" not in everything and "hate" not in everything
    for name in ("Ann", "Bo", "Cy"):
        assert "secret" not in json.dumps(system.get_character(name).memories_to_dict())


def test_each_remembers_it_from_its_own_side(system: CharacterSystem) -> None:
    list(system.scene(["Ann", "Bo"], "The sea", 3))
    (memory,) = system.get_character("Bo").get_memories(types=["interaction"])
    assert (memory.content["scene"], memory.content["said"]) == ("The sea", "Nine fathoms.")
    assert missed(system, "Bo") == [["Ann: Deep enough.\nBo: I never said this."]], "it was said after its last turn"
    assert missed(system, "Ann") == [], "she has heard all of it"
    assert system.get_character("Bo").search("deep enough")[0].type == "event"


def test_one_that_never_got_a_turn_remembers_all(system: CharacterSystem) -> None:
    list(system.scene(["Ann", "Bo", "Cy"], "The sea", 2))
    assert missed(system, "Cy") == [["Ann: How deep is it here?", "Bo: Nine fathoms."]]


def test_a_scene_ends_when_all_pass(system: CharacterSystem) -> None:
    with closing(system.scene(["Cy", "Di"], "Nothing", 50).play()) as happening:
        passed = [each for each in happening if isinstance(each, Passed)]
    assert [(each.number, each.who) for each in passed] == [(1, "Cy"), (2, "Di")]
    assert passed[0].failed is None and passed[1].failed and "no way" in passed[1].failed.message


def test_one_whose_model_fails_does_not_end_it(system: CharacterSystem) -> None:
    lines = list(system.scene(["Ann", "Di", "Bo"], "The sea", 6))
    assert [line.who for line in lines] == ["Ann", "Bo", "Ann", "Bo"]
    assert said_to(system, "Di")[1] == "Bo: Nine fathoms.\n\nAnn: Deep enough.\n  Bo: I never said this."


@pytest.mark.parametrize("text", ["(pass)", "Pass.", " *passes* ", "…", "", "I pass!"])
def test_a_pass_is_told_in_many_ways(text: str) -> None:
    assert is_pass(text) and not is_pass(f"{text} the salt")


def test_agents_and_cards_take_part(system: CharacterSystem) -> None:
    arrive(system.settings, system.database, Sheet(card_of(V3, "mira")), "mira.png", name="Mira", user="Bo")
    assert [line.who for line in system.scene(["Mira", "Bo"], "The lamp", 2)] == ["Mira", "Bo"]
    assert said_to(system, "Bo")[0].endswith("Mira: The lamp is lit.")
    list(system.scene(["Bo", "Ann", "Mira"], "Later", 2))
    assert missed(system, "Mira")[-1] == ["Bo: Hm.", "Ann: How deep is it here?"]


def test_what_was_missed_comes_to_mind(system: CharacterSystem) -> None:
    list(system.scene(["Ann", "Bo", "Cy"], "The sea", 2))
    cy = system.get_character("Cy")
    cy.talk("What did they say?")
    assert isinstance(cy.agent.llm, ScriptedLLM)
    (reminded,) = [m.content for m in cy.agent.llm.requests[-1].messages if m.kind == "reminder"]
    assert "Bo: Nine fathoms." in reminded


def test_a_second_scene_is_another_one(system: CharacterSystem) -> None:
    for topic in ("The sea", "The sky"):
        list(system.scene(["Ann", "Bo"], topic, 2))
    assert [m.content["scene"] for m in system.get_character("Bo").get_memories(types=["interaction"])] == [
        "The sea", "The sky",
    ]  # fmt: skip
    assert missed(system, "Ann") == [["Bo: Nine fathoms."]] * 2


@pytest.mark.parametrize("stop_at", range(1, 40, 3))
def test_it_can_be_left_at_any_instant(system: CharacterSystem, stop_at: int) -> None:
    heard: list[str] = []
    with closing(system.scene(["Ann", "Bo", "Cy"], "The sea", 6).play()) as happening:
        for number, each in enumerate(happening, 1):
            if isinstance(each, Moment) and isinstance(each.event, Reply) and "pass" not in each.event.text:
                heard.append(f"{each.who}: {each.event.text}")
            if number == stop_at:
                break
    nothing_is_lost(system, heard)
    assert list(system.scene(["Ann", "Bo"], "Again", 1))


def nothing_is_lost(system: CharacterSystem, heard: list[str]) -> None:
    """Everybody was told or remembers each line of the others, once."""
    for name in ("Ann", "Bo", "Cy"):
        told = "\n\n".join(said_to(system, name)).replace("\n  ", "\n")
        remembered = [line for end in missed(system, name) for line in end]
        for line in heard:
            if not line.startswith(f"{name}:"):
                assert told.count(line) + remembered.count(line) == heard.count(line), (name, line)
        assert not any(system.database.rows("SELECT 1 FROM scenes WHERE ended IS NULL"))


def test_one_that_is_busy_is_told_the_next_time(system: CharacterSystem) -> None:
    bo = system.load("Bo")
    scene = system.scene(["Ann", "Bo"], "The sea", 4)
    system.get_character("Bo").agent.patience = 0
    turn = bo.turn("Wait a moment.")
    with closing(scene.play()) as happening:
        for each in happening:
            if isinstance(each, Line) and each.number == 1:
                next(turn)
            if isinstance(each, Passed):
                assert each.who == "Bo" and each.failed and "busy" in each.failed.message
                turn.close()
    last = said_to(system, "Bo")[-1]
    assert last.index("Ann: How deep") < last.rindex("Ann: How deep") and "You are in a scene" in last
    assert missed(system, "Bo") == []


def test_nothing_is_done_that_needs_a_persons_word(tmp_path: Path, database: Any) -> None:
    script = [
        {"when": {"result": "did not"}, "say": "Then not."},
        {"when": {"said": "You speak first"}, "call": "archival_memory_insert", "arguments": {"content": "x"}},
        {"when": {}, "say": "Hm."},
    ]
    preset = {"system": "chat", "functions": ["base"], "rules": {"archival_memory_insert": {"approval": True}}}
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "chat.yaml").write_text(json.dumps(preset))
    system = system_in(tmp_path, database, script)
    for name in ("Ann", "Bo"):
        system.create_character(name, "You.")
    with closing(system.scene(["Ann", "Bo"], "x", 2).play()) as happening:
        moments = list(happening)
    assert any(isinstance(m, Moment) and isinstance(m.event, Notice) for m in moments)
    assert [m.text for m in moments if isinstance(m, Line)][-1] == "Hm."
    assert system.get_character("Ann").agent.state.archival.total() == 0
    assert any(isinstance(m, Moment) and isinstance(m.event, Delta) for m in moments)


def test_a_scene_that_another_has_ended_goes_no_further(system: CharacterSystem) -> None:
    with closing(system.scene(["Ann", "Bo"], "The sea", 4).play()) as happening:
        next(each for each in happening if isinstance(each, Line))
        with system.database.write() as tx:
            tx.run("UPDATE scenes SET ended = started")
        with pytest.raises(StorageError, match="ended this scene"):
            list(happening)


def test_one_who_is_deleted_meanwhile_needs_no_memory(system: CharacterSystem) -> None:
    with closing(system.scene(["Ann", "Bo", "Cy"], "The sea", 4).play()) as happening:
        next(each for each in happening if isinstance(each, Line))
        system.delete_character("Cy")
    assert missed(system, "Bo") == [["Ann: How deep is it here?"]]
    assert (
        system.database.rows("SELECT count(*) FROM keepers WHERE agent <> '' AND agent NOT IN (SELECT id FROM agents)")[
            0
        ][0]
        == 0
    )


@pytest.mark.parametrize(
    ("names", "topic", "turns", "says"),
    [
        (["Ann"], "x", 2, "2 to 16"), (["Ann", "Ann"], "x", 2, "each once"), (["Ann", "Bo"], " ", 2, "no topic"),
        (["Ann", "Bo"], "x", 0, "1 to 1,000 turns"), (["Ann", "Nobody"], "x", 1, "no agent 'Nobody'"),
    ],
)  # fmt: skip
def test_what_can_be_no_scene_is_told(
    system: CharacterSystem, names: list[str], topic: str, turns: int, says: str
) -> None:
    with pytest.raises((UserError, NotFound), match=says):
        system.scene(names, topic, turns)
    assert not system.database.rows("SELECT 1 FROM scenes")
