"""Many characters on one store: each talks and remembers for itself, within bounds, and nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cast_made import NOON, system_in

from memagent.agent import Agent
from memagent.assemble import load_agent
from memagent.characters import (
    CharacterSystem,
    MemoryConfig,
    check_memory_config,
    check_memory_content,
    check_prompt_template,
    summarising,
)
from memagent.characters.character import Character
from memagent.errors import LLMError, NameTaken, NotFound, UserError
from memagent.events import Reply, Returned
from memagent.llm.scripted import ScriptedLLM
from memagent.memory.core import CoreMemory
from memagent.storage.sqlite import SqliteDatabase
from memagent.transfer import export, read_in


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Any]:
    with closing(SqliteDatabase(tmp_path / "memagent.db")) as opened:
        yield opened


@pytest.fixture
def system(tmp_path: Path, database: Any) -> CharacterSystem:
    return system_in(tmp_path, database)


@pytest.fixture
def ann(system: CharacterSystem) -> Character:
    return system.create_character(
        "Ann", "You keep a lighthouse.", {"skills": ["knots", "oil"], "home": {"island": "Skerry"}}
    )


def told(memories: Any) -> list[Any]:
    return [memory.content for memory in memories]


def events(character: Character, *numbers: int) -> None:
    for number in numbers:
        character.add_memory({"event": f"storm {number}"}, "event")


# Characters -----------------------------------------------------------------------------------------------------------


def test_a_character_is_an_agent_with_its_prompt_and_background(system: CharacterSystem, ann: Character) -> None:
    core = CoreMemory(system.database, ann.id)
    core.reload()
    assert core.blocks["persona"].value == "You keep a lighthouse.\n\nskills: knots, oil\nhome: island: Skerry"
    assert core.blocks["persona"].limit > len(core.blocks["persona"].value) + 500
    assert [entry.name for entry in system.roster.all()] == ["Ann"]
    agent = load_agent(system.settings, system.database, "Ann", llm=ScriptedLLM([{"say": "As ever."}]))
    assert [event.text for event in agent.turn("How are you?") if isinstance(event, Reply)] == ["As ever."]


def test_characters_are_found_switched_and_deleted(tmp_path: Path, system: CharacterSystem, ann: Character) -> None:
    with pytest.raises(NotFound, match="no agent 'Bo'"):
        system.get_character("Bo")
    bo = system.create_character("Bo", "You fish.")
    assert system.active.name == "Ann", "the first one is active"
    assert system.switch_active_character("Bo") is bo
    beside = system_in(tmp_path, system.database)
    assert beside.active.name == "Bo", "it stays so"
    assert system.names() == ["Ann", "Bo"] == [each.name for each in beside]
    assert beside.get_character("Ann").background == ann.background
    with pytest.raises(NameTaken):
        system.create_character("Bo", "You fish as well.")
    system.delete_character("Bo")
    assert system.names() == ["Ann"]
    with pytest.raises(NotFound, match="No character is active"):
        system.active
    assert system.database.rows("SELECT count(*) FROM keepers") == [(0,)] or not bo.memories.ledger.listed()


def test_each_user_has_characters_of_their_own(tmp_path: Path, system: CharacterSystem, ann: Character) -> None:
    other = system_in(tmp_path, system.database, user="other")
    other.create_character("Ann", "You sing.").add_memory("a song", "event")
    other.templates.add("hello", "Hello ${name}")
    assert told(ann.get_memories()) == [] and system.templates.all() == {}
    assert system.broadcast_interaction("news") == 1
    assert told(other.get_character("Ann").get_memories()) == ["a song"]


def test_a_character_can_be_renamed_as_an_agent(system: CharacterSystem, ann: Character) -> None:
    ann.add_memory("a storm", "event")
    system.roster.rename("Ann", "Anna")
    assert told(system.get_character("Anna").get_memories()) == ["a storm"]
    assert system.active.name == "Anna"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": "long " * 3000}, "too long"),
        ({"background": ["a"]}, "mapping"),
        ({"background": {"age": float("nan")}}, "no number"),
        ({"memory_config": {"max": 1}}, "no bound 'max'"),
        ({"name": "../x"}, "can't be used"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(system: CharacterSystem, given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        system.create_character(**{"name": "Ann", "prompt": "You keep a lighthouse.", **given})
    assert system.roster.all() == []


def test_a_long_background_is_whole_in_archival_memory(system: CharacterSystem) -> None:
    long = {"tales": [f"In year {year} the sea rose." for year in range(1000)]}
    ann = system.create_character("Ann", "You keep a lighthouse.", long)
    assert ann.get_context()["core"]["persona"] == "You keep a lighthouse."
    assert "year 777" in " ".join(found.text for found in ann.agent.state.archival.search("777").results)


# Memories -------------------------------------------------------------------------------------------------------------


def test_memories_have_a_type_and_metadata(system: CharacterSystem, ann: Character) -> None:
    system.add_interaction("Ann", {"user": "How deep is it?", "response": "Nine fathoms."}, {"topic": "the sea"})
    ann.add_memory({"event": "A ship", "details": {"masts": 3, "sunk": False}}, "event", {"importance": 0.8})
    ann.add_memory("The lamp went out.", "event")
    assert [memory.type for memory in ann.get_memories()] == ["interaction", "event", "event"]
    assert told(ann.get_memories(limit=2)) == [
        {"event": "A ship", "details": {"masts": 3, "sunk": False}}, "The lamp went out.",
    ]  # fmt: skip
    assert [memory.metadata for memory in ann.get_memories(types=["interaction"])] == [{"topic": "the sea"}]
    assert ann.get_memories(types=[]) == [] and ann.get_memories(limit=0) == []
    ship = ann.get_memories(types=["event"])[0]
    assert ship.text == "event: A ship\ndetails: masts: 3; sunk: no\n(importance: 0.8)" and ship.when > NOON
    assert [change.what for change in ann.history(ship.id)] == ["learned"]


def test_memories_are_found_by_their_words(ann: Character) -> None:
    ann.add_memory({"event": "A ship with three masts"}, "event", {"weather": "foggy"})
    ann.add_memory("The lamp went out.", "note")
    assert told(ann.search("ships")) == [{"event": "A ship with three masts"}]
    assert told(ann.search("foggy")) == [{"event": "A ship with three masts"}]
    assert told(ann.search("lamp ship", types=["note"])) == ["The lamp went out."]
    (lamp,) = ann.search("lamp")
    ann.forget(lamp.id)
    assert ann.search("lamp", past=True) == [] and lamp.content not in told(ann.get_memories(past=True))
    assert ann.memory(lamp.id).how == "forgotten"


def test_all_are_told_or_none(system: CharacterSystem, ann: Character) -> None:
    bo = system.create_character("Bo", "You fish.")
    assert system.broadcast_interaction({"announcement": "Fair on Sunday"}, metadata={"priority": "high"}) == 2
    for each in (ann, bo):
        (memory,) = each.get_memories()
        assert (memory.type, memory.metadata) == ("broadcast", {"priority": "high"})
    with pytest.raises(UserError, match="nothing in it"):
        system.broadcast_interaction({})


def test_the_context_tells_who_it_is_and_what_it_remembers(ann: Character) -> None:
    events(ann, *range(4))
    context = ann.get_context(memory_limit=2, memory_types=["event"])
    assert context["name"] == "Ann" and context["prompt"] == "You keep a lighthouse."
    assert [memory["content"] for memory in context["memories"]] == [{"event": "storm 2"}, {"event": "storm 3"}]
    assert "memories" not in ann.get_context(include_memories=False)


# Talk -----------------------------------------------------------------------------------------------------------------


def test_what_is_said_is_remembered_with_its_message(ann: Character) -> None:
    assert ann.talk("The sea is calm.") == "You said: The sea is calm."
    (memory,) = ann.get_memories()
    assert memory.content == {"user": "The sea is calm.", "response": "You said: The sea is calm."}
    said = {message.seq: message.said for message in ann.agent.state.log.all()}
    assert memory.message and said[memory.message] == "You said: The sea is calm."


def test_what_was_said_elsewhere_or_cut_is_caught_up_once(tmp_path: Path, system: CharacterSystem, ann: Character,
) -> None:  # fmt: skip
    agent = load_agent(system.settings, system.database, "Ann", llm=ScriptedLLM([{"when": {}, "say": "Aye: {said}"}]))
    for words in ("one", "two"):
        list(agent.turn(words))
    again = system_in(tmp_path, system.database).get_character("Ann")
    wanted = [{"user": words, "response": f"Aye: {words}"} for words in ("one", "two")]
    assert told(ann.get_memories()) == told(again.get_memories()) == wanted
    assert ann.talk("three") and told(again.get_memories())[2]["user"] == "three"
    assert len(again.get_memories()) == 3


def test_a_turn_that_goes_on_is_not_remembered_yet(system: CharacterSystem, ann: Character) -> None:
    turn = ann.stream("My name is Bo")
    with closing(turn):
        next(event for event in turn if isinstance(event, Returned))
        assert system.get_character("Ann").get_memories() == []
    assert ann.get_memories() == [], "it was cut before a word was said"
    assert ann.talk("Still there?")
    assert [memory["user"] for memory in told(ann.get_memories())] == ["Still there?"]


def test_what_is_taken_back_is_no_memory(ann: Character) -> None:
    ann.talk("one")
    ann.talk("two")
    ann.agent.state.undo_turn()
    assert [memory["user"] for memory in told(ann.get_memories())] == ["one"]
    assert [memory["user"] for memory in told(ann.get_memories(past=True))] == ["one"]
    ann.talk("three")
    assert [memory["user"] for memory in told(ann.get_memories())] == ["one", "three"]


def test_a_model_that_fails_is_told_and_nothing_is_remembered(ann: Character) -> None:
    with pytest.raises(LLMError, match="no way"):
        ann.talk("fail")
    assert ann.get_memories() == [] and ann.talk("again") == "You said: again"


def test_what_it_remembers_comes_to_its_mind(system: CharacterSystem, ann: Character) -> None:
    ann.add_memory({"event": "The ferry sank"}, "event")
    system.broadcast_interaction("There is a fair on Sunday.")
    ann.talk("one")
    ann.talk("Any news of the ferry?")
    assert isinstance(ann.agent.llm, ScriptedLLM)
    (reminded,) = [m.content for m in ann.agent.llm.requests[-1].messages if m.kind == "reminder"]
    assert reminded.index("The ferry sank") < reminded.index("fair on Sunday")
    assert "You said: one" not in reminded, "what was said is in its log"
    assert not any(message.kind == "reminder" for message in ann.agent.state.log.all())


# Bounds ---------------------------------------------------------------------------------------------------------------


def of_bounds(system: CharacterSystem, **bounds: Any) -> Character:
    return system.create_character("Cy", "You fish.", memory_config=bounds)


def test_old_memories_become_a_summary_and_none_is_lost(system: CharacterSystem) -> None:
    cy = of_bounds(system, max_memories=100, summary_threshold=6)
    events(cy, *range(6))
    assert [memory.type for memory in cy.get_memories()] == ["event"] * 6
    events(cy, 6)
    held = cy.get_memories()
    assert [memory.type for memory in held] == ["summary", *["event"] * 4]
    assert held[0].content["summary"] == "We spoke of small things." == held[0].text
    assert held[0].content["count"] == 3
    assert told(held[1:]) == [{"event": f"storm {number}"} for number in range(3, 7)]
    past = [memory for memory in cy.get_memories(past=True) if memory.state == "past"]
    assert [(memory.how, memory.heir) for memory in past] == [("merged", held[0].id)] * 3
    assert [change.what for change in cy.history(past[0].id)] == ["learned", "merged"]
    assert held[0].content["from"] == past[0].when.isoformat() and held[0].when == past[2].when
    assert told(cy.search("storm 1", past=True))[0] == {"event": "storm 1"}


@pytest.mark.parametrize("bounds", [
    {"max_memories": 1, "summary_threshold": 2}, {"max_memories": 2, "summary_threshold": 50},
    {"max_memories": 5, "summary_threshold": 4}, {"max_memories": 3, "summary_threshold": 2, "auto_summarize": False},
    {"max_memories": 1, "auto_summarize": False},
])  # fmt: skip
def test_there_are_never_more_than_the_bounds(system: CharacterSystem, bounds: dict[str, Any]) -> None:
    cy = of_bounds(system, **bounds)
    for number in range(14):
        events(cy, number)
        held = cy.get_memories()
        assert len(held) <= bounds["max_memories"]
    everything = cy.get_memories(past=True)
    assert {str(m.content.get("event")) for m in everything} >= {f"storm {number}" for number in range(14)}
    summed = sum(m.content.get("count", 1) for m in held)
    assert summed == (14 if bounds.get("auto_summarize", True) else bounds["max_memories"])


def test_without_summaries_the_oldest_are_past(system: CharacterSystem) -> None:
    cy = of_bounds(system, max_memories=2, auto_summarize=False)
    events(cy, 1, 2, 3)
    assert told(cy.get_memories()) == [{"event": "storm 2"}, {"event": "storm 3"}]
    assert [(m.how, m.heir) for m in cy.get_memories(past=True) if m.state == "past"] == [("expired", None)]


def test_without_a_model_a_summary_is_plain(tmp_path: Path, database: Any) -> None:
    fails = [{"when": {}, "error": {"status": 500, "message": "down"}}]
    cy = of_bounds(system_in(tmp_path, database, fails), max_memories=100, summary_threshold=4)
    events(cy, *range(5))
    (summary,) = cy.get_memories(types=["summary"])
    assert "storm 0" in summary.text and "storm 1" in summary.text
    assert told(cy.search("storm 0", types=["summary"])) == [summary.content]


def test_talk_is_bounded_too(system: CharacterSystem) -> None:
    cy = of_bounds(system, max_memories=3, summary_threshold=2)
    for number in range(6):
        cy.talk(f"word {number}")
    assert len(cy.get_memories()) <= 3
    assert len([m for m in cy.get_memories(past=True) if m.type == "interaction"]) == 6


# Templates ------------------------------------------------------------------------------------------------------------


def test_templates_are_stored_and_filled_in(tmp_path: Path, system: CharacterSystem) -> None:
    system.templates.add("welcome", "Hello ${name}, that is $$5 for ${what}.\n")
    again = system_in(tmp_path, system.database).templates
    assert again.fill("welcome", name="Ann", what="$oil") == "Hello Ann, that is $5 for $oil.\n"
    with pytest.raises(UserError, match="needs: name, what"):
        again.fill("welcome")
    with pytest.raises(UserError, match="no variable 'whom', 'when'"):
        again.fill("welcome", name="Ann", what="oil", whom="me", when=1)
    with pytest.raises(NotFound, match="no template 'bye'") as caught:
        again.fill("bye")
    assert "welcome" in caught.value.hint
    again.add("welcome", "Hi")
    assert system.templates.fill("welcome") == "Hi"
    again.delete("welcome")
    with pytest.raises(NotFound):
        again.delete("welcome")


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (check_prompt_template, ["${a} $b $$", "plain"], [("a\nb ${", "Line 2"), ("${1}", "Line 1"), ("", "empty"),
                                                          (7, "text"), ("$ 5", "[$][$] for a dollar")]),
        (check_memory_content, ["a", {"a": [1, None, {"b": True}]}, {"a": (1, 2)}],
         [({}, "nothing"), (" ", "nothing"), (3, "not int"), ({"a": {1}}, "set"), ({1: "a"}, "no text"),
          ({"a": float("inf")}, "no number"), ({"a": 2**70}, "too large"), ({"a": "x" * 300_000}, "too long"),
          ({"a": "\ud800"}, "no text")]),
        (check_memory_config, [{}, {"max_memories": 5}, {"auto_summarize": False, "summary_threshold": 2}],
         [({"max_memories": 0}, "max_memories"), ({"max_memories": True}, "whole number"), ([], "mapping"),
          ({"summary_threshold": 1}, "from 2"), ({"auto_summarize": 1}, "true or false"), ({"x": 1}, "no bound")]),
    ],
)  # fmt: skip
def test_checks_say_why(check: Any, good: list[Any], bad: list[tuple[Any, str]]) -> None:
    for each in good:
        assert check(each) and check(each).why == ""
    for each, why in bad:
        found = check(each)
        assert not found
        with pytest.raises(AssertionError, match=why):
            raise AssertionError(found.why)


def test_deep_nesting_is_refused() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert "nested" in check_memory_content({"a": deep}).why


def test_bounds_are_as_they_are_by_default() -> None:
    assert MemoryConfig.of(None) == MemoryConfig(1000, 50, True)


def test_a_long_backlog_is_summed_up_at_once_without_the_model(
    system: CharacterSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summarising, "MOST", 20)
    cy = of_bounds(system, summary_threshold=10)
    agent = load_agent(system.settings, system.database, "Cy", llm=ScriptedLLM([{"when": {}, "say": "Aye, {said}"}]))
    for number in range(30):
        list(agent.turn(f"word {number}"))
    (summary, *rest) = cy.get_memories()
    assert (summary.type, summary.content["count"], len(rest)) == ("summary", 24, 6)
    assert rest[-1].content["user"] == "word 29"
    assert all(f"word {number}" in summary.text for number in range(24)), "each with its beginning"


def test_what_is_very_long_is_remembered_in_part(ann: Character) -> None:
    ann.agent.limits = replace(ann.agent.limits, window=10**7)
    ann.talk("\0" * 150_000 + "東" * 300_000)
    (memory,) = ann.get_memories()
    assert len(memory.content["user"]) == 10_000


# Besides --------------------------------------------------------------------------------------------------------------


def test_an_exported_character_is_one_where_it_is_read_in(system: CharacterSystem, ann: Character) -> None:
    ann.talk("one")
    ann.add_memory("A storm.", "event")
    ann.forget(ann.add_memory("A secret.", "event").id)
    assert len(ann.get_memories()) == 2
    whole = export(system.database, system.roster, "Ann")
    read_in(system.database, "local", whole, "copy")
    assert export(system.database, system.roster, "copy").replace('"name": "copy"', '"name": "Ann"', 1) == whole
    copy = system.get_character("copy")
    assert told(copy.get_memories()) == told(ann.get_memories())
    assert told(copy.search("storm")) == ["A storm."] and copy.search("secret", past=True) == []
    assert (copy.prompt, copy.background) == (ann.prompt, ann.background)
    assert [memory["user"] for memory in told(copy.get_memories(types=["interaction"]))][:1] == ["one"]


def test_an_agent_that_is_no_character_is_not_told(system: CharacterSystem, ann: Character) -> None:
    from memagent.assemble import make_agent

    agent: Agent = make_agent(system.settings, system.database, "plain", llm=ScriptedLLM([{"when": {}, "say": "Hm."}]))
    list(agent.turn("Hello"))
    assert system.broadcast_interaction("news") == 1
    plain = system.get_character("plain")
    assert plain.get_memories() == []
    plain.talk("And now?")
    assert [memory["user"] for memory in told(plain.get_memories())] == ["And now?"], "what came before is in its log"


@pytest.mark.parametrize("place", ["home", "home/cast.db"])
def test_a_system_is_in_a_home_or_a_file(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMAGENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEMAGENT_PROVIDER", "scripted")
    for look in (str, Path):
        with CharacterSystem(look(tmp_path / place), user="me", settings={"embedder": "off"}) as system:
            if look is str:
                system.create_character("Ann", "You.").talk("Hello")
            assert len(system.active.get_memories()) == 1 and system.settings.user == "me"
    assert (tmp_path / place).is_dir() == (place == "home")
    assert (tmp_path / "home" / "memagent.db").exists() == (place == "home")


def test_what_happens_is_logged_by_level(system: CharacterSystem, tmp_path: Path, capsys: Any) -> None:
    ours = logging.getLogger("memagent")
    before, level = ours.handlers[:], ours.level
    try:
        system.log_to("info", file=tmp_path / "logs" / "cast.log")
        system.create_character("Cy", "You fish.")
        system.broadcast_interaction("news")
        ours.debug("not this")
        written = (tmp_path / "logs" / "cast.log").read_text()
        shown = capsys.readouterr().err
        for text in (written, shown):
            assert (
                "the character Cy was created" in text and "was told to 1 character" in text and "not this" not in text
            )
        system.log_to("error", console=False)
        system.create_character("Di", "You fish.")
        assert capsys.readouterr().err == "" and "Di" not in (tmp_path / "logs" / "cast.log").read_text()
        with pytest.raises(UserError, match="no level 'loud'"):
            system.log_to("loud")
    finally:
        ours.handlers[:], _ = before, ours.setLevel(level)
