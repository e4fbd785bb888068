"""Tidying: memory grows clearer and loses nothing; each change is told, whole, and can be taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from journals import NOON, House, house

from memagent.agent import Agent
from memagent.facts import Cause, Fact
from memagent.facts.ledger import Ledger, keeper
from memagent.memory.core import Change, CoreMemory
from memagent.tidying import Step, Tidying
from memagent.tidying.wording import faithful
from memagent.upkeep import open_tidying

LINES = [f"Likes tea number {number}." for number in range(14)]
SHORT = "Likes tea: numbers " + ", ".join(str(number) for number in range(14)) + "."
ESSAY = "The lighthouse of Kate stands in Oslo since 1920. " + "It is very nice and really very nice indeed. " * 40
BRIEF = "The lighthouse of Kate stands in Oslo since 1920. " + "It is very nice. " * 20


def shorter(*lines: str, **more: Any) -> dict[str, Any]:
    return {"when": {"forced": "write_shorter"}, "call": "write_shorter", "arguments": {"lines": list(lines)}, **more}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as here:
        here.agent([])
        yield here


def tidying(home: House, *script: Any, agent: Agent | None = None) -> Tidying:
    agent = agent or home.agent(list(script))
    return open_tidying(home.settings, agent.state, agent.llm if script else None)


def tidied(work: Tidying) -> list[Step]:
    return [step for step in work.tidy() if step]


# Facts ----------------------------------------------------------------------------------------------------------------


def ledger_of(home: House) -> Ledger:
    return Ledger(home.database, keeper(home.database, "local", None, home.now))


def learn(home: House, text: str, **more: Any) -> Fact:
    ledger = ledger_of(home)
    with home.database.write() as tx:
        return ledger.learn(tx, Fact(text, home.now, **{"cause": Cause("talk"), **more}), home.now)


def holding(home: House) -> list[str]:
    return sorted(fact.text for fact in ledger_of(home).listed())


def test_facts_that_say_the_same_become_one_and_part_again(home: House) -> None:
    first = learn(home, "The user likes tea.", confidence=0.9)
    second = learn(home, "the user likes tea")
    learn(home, "The user likes coffee.")
    learn(home, "The user likes tea.", about="Kate")
    (step,) = tidied(tidying(home))
    assert "is merged" in step.told and holding(home) == [
        "The user likes coffee.", "The user likes tea.", "The user likes tea.",
    ]  # fmt: skip
    merged = ledger_of(home).get(second.id)
    assert (merged.how, merged.heir, merged.state) == ("merged", first.id, "past")
    assert [(change.what, change.cause.origin) for change in ledger_of(home).history(second.id)][-1] == (
        "merged",
        "tidy",
    )
    assert tidied(tidying(home)) == [], "there is nothing left to do"
    done, left = tidying(home).undo()
    assert done[0].id == step.id and not left and len(holding(home)) == 4
    assert ledger_of(home).get(second.id).state == "holds"
    assert tidying(home).undo() == ([], [])


def test_what_says_more_is_never_lost_in_what_says_less(home: House) -> None:
    learn(home, "The user has a dog named Rex.")
    learn(home, "The user has a dog.", confidence=0.9)
    learn(home, "The user owns a boat.", cause=Cause("user"))
    learn(home, "The user owns a boat in Faro.")
    (step,) = tidied(tidying(home))
    assert '"The user has a dog." tells no more than' in step.told
    assert holding(home) == [
        "The user has a dog named Rex.", "The user owns a boat in Faro.", "The user owns a boat.",
    ]  # fmt: skip


def test_what_was_written_by_hand_stays(home: House) -> None:
    own = learn(home, "The user likes tea.", cause=Cause("user"), confidence=0.1)
    learn(home, "the user likes tea", confidence=1.0)
    also = learn(home, "The user likes TEA", cause=Cause("agent"))
    tidied(tidying(home))
    assert {ledger_of(home).get(fact.id).state for fact in (own, also)} == {"holds"}
    assert len(holding(home)) == 2


def test_facts_whose_time_is_over_end(home: House) -> None:
    learn(home, "The user is on holiday.", until="2026-05-24")
    learn(home, "The user is in Rome.", until="2026-05-25")
    learn(home, "The user learns Dutch.", until="2026")
    (step,) = tidied(tidying(home))
    assert step.told == '"The user is on holiday." held until 2026-05-24, and is past.'
    assert holding(home) == ["The user is in Rome.", "The user learns Dutch."]
    home.passes(days=300)
    assert len(tidied(tidying(home))) == 2
    tidying(home).undo()
    assert holding(home) == ["The user is in Rome.", "The user learns Dutch."]
    tidying(home).undo()
    restored = next(fact for fact in ledger_of(home).listed() if "holiday" in fact.text)
    assert restored.until == "2026-05-24"


def test_a_fact_that_was_changed_since_is_left_as_it_is(home: House) -> None:
    learn(home, "The user likes tea.")
    learn(home, "the user likes tea")
    (step,) = tidied(tidying(home))
    gone = ledger_of(home).get(int(step.details["fact"]))
    with home.database.write() as tx:
        ledger_of(home).restore(tx, gone, Cause("user"), home.now)
    done, left = tidying(home).undo()
    assert not done and [each.id for each in left] == [step.id]


def test_a_fact_that_changes_while_it_is_looked_at_is_left_alone(home: House) -> None:
    fact = learn(home, "The user likes tea.")
    learn(home, "the user likes tea")
    work = tidying(home)
    (found,) = [each for each in work.proposed() if each]
    with home.database.write() as tx:
        ledger_of(home).end(tx, fact, "forgotten", Cause("user"), home.now)
    assert work.carry_out(*found) is None and work.steps() == []
    assert holding(home) == ["the user likes tea"]


# Core memory ----------------------------------------------------------------------------------------------------------


def note(home: House, text: str, *, call_id: str | None = "c1", cause: str = "core_memory_append") -> CoreMemory:
    """The agent writes into its block, or somebody else does."""
    core = CoreMemory(home.database, home.rows("SELECT id FROM agents")[0])
    core.reload()
    block = core.blocks["human"]
    with home.database.write() as tx:
        change = Change("human", block.version, block.value, text)
        core.seen(core.store(tx, [change], cause, home.now, 1, call_id))
    return core


def human(home: House) -> str:
    return str(home.rows("SELECT value FROM blocks WHERE label = 'human'")[0])


def test_a_crowded_block_is_put_more_shortly_and_back(home: House) -> None:
    note(home, "\n".join(LINES))
    (step,) = tidied(tidying(home, shorter(SHORT)))
    assert human(home) == SHORT and "human is put more shortly" in step.told
    edit = home.agent([]).state.core.history("human")[0]
    assert (edit.cause, edit.before) == ("tidying", "\n".join(LINES))
    assert tidied(tidying(home, shorter("Likes tea."))) == [], "it is tidy now"
    done, left = tidying(home, {"text": ""}).undo()
    assert len(done) == 1 and not left and human(home) == "\n".join(LINES)


def test_it_is_undone_as_any_edit_of_memory_is(home: House) -> None:
    note(home, "\n".join(LINES))
    tidied(tidying(home, shorter(SHORT)))
    home.agent([]).state.undo_edit()
    assert human(home) == "\n".join(LINES)
    done, left = tidying(home, {"text": ""}).undo()
    assert not done and len(left) == 1 and human(home) == "\n".join(LINES)


def test_what_the_user_wrote_is_left_alone(home: House) -> None:
    note(home, "\n".join(LINES), call_id=None, cause="user")
    note(home, "\n".join([*LINES, "Number 14."]))
    assert tidied(tidying(home, shorter(SHORT))) == []


def test_a_block_that_is_edited_meanwhile_is_left_alone(home: House) -> None:
    note(home, "\n".join(LINES))
    work = tidying(home, shorter(SHORT))
    (found,) = [each for each in work.proposed() if each]
    home.agent([]).state.edit_block("human", "Is called Ada.")
    assert work.carry_out(*found) is None and human(home) == "Is called Ada." and work.steps() == []


@pytest.mark.parametrize(
    "reply",
    [
        shorter("Likes tea."),
        shorter(SHORT.replace("13", "15")),
        shorter(SHORT + " The user loves Paris."),
        shorter(""),
        shorter("\n".join(LINES)),
        shorter("word " * 5000),
        {"when": {}, "call": "write_shorter", "arguments": "{broken"},
        {"when": {}, "call": "write_shorter", "arguments": {"lines": {"a": 1}}},
        {"when": {}, "text": "I would rather not."},
        {"when": {}, "error": {"status": 500, "message": "down"}},
    ],
    ids=lambda reply: str(reply)[60:110],
)
def test_a_model_that_loses_or_invents_something_changes_nothing(home: House, reply: dict[str, Any]) -> None:
    note(home, "\n".join(LINES))
    assert tidied(tidying(home, reply)) == [] and human(home) == "\n".join(LINES)


def test_what_must_stay_and_what_must_not_come() -> None:
    before = "Has a sister Kate.\nHas a sister Kate, born 1990, in Oslo.\nLikes tea."
    assert faithful(before, "Has a sister Kate (born 1990, in Oslo); likes tea.")
    assert not faithful(before, "Has a sister (born 1990, in Oslo); likes tea.")
    assert not faithful(before, "Has a sister Kate (in Oslo); likes tea.")
    assert not faithful(before, "Has a sister Kate (born 1990, in Oslo, not in Rome); likes tea.")
    assert not faithful(f"{before} Wants a lamp for the hall.", "Has a sister Kate (born 1990, in Oslo); likes tea.")


# Notes ----------------------------------------------------------------------------------------------------------------


def keep(home: House, agent: Agent, text: str, **ago: float) -> None:
    with home.database.write() as tx:
        prepared = agent.state.archival.prepare(text, ["tower"])
        agent.state.archival.store(tx, prepared, turn=1, now=home.now - timedelta(**ago))


def notes(home: House) -> list[tuple[str, str]]:
    """The notes that stand, each with when it was written."""
    rows = home.rows("SELECT note, text, created FROM passages WHERE undone IS NULL ORDER BY note, part")
    texts: dict[int, tuple[str, str]] = {}
    for number, text, created in rows:
        texts[number] = (f"{texts[number][0]}\n{text}" if number in texts else text, created)
    return list(texts.values())


def test_a_long_note_is_put_more_shortly_and_back(home: House) -> None:
    agent = home.agent([shorter(BRIEF)])
    keep(home, agent, ESSAY, days=30)
    keep(home, agent, ESSAY.replace("1920", "1921"), days=1)
    keep(home, agent, "Tea.", days=30)
    before = notes(home)
    (step,) = tidied(tidying(home, 1, agent=agent))
    assert "A note is put more shortly" in step.told
    after = notes(home)
    assert len(after) == 3 and (BRIEF.strip(), (NOON - timedelta(days=30)).isoformat()) in after
    found = agent.state.archival.search("lighthouse Oslo 1920").results[0]
    assert found.text in BRIEF and list(found.tags) == ["tower"]
    assert home.rows("SELECT count(*) FROM passages WHERE undone IS NOT NULL") != [0], "the original is still there"
    done, left = tidying(home, 1, agent=agent).undo()
    assert len(done) == 1 and not left and sorted(notes(home)) == sorted(before)
    assert agent.state.archival.search("really indeed").total >= 1 and home.database.check() == []


def test_a_note_that_was_deleted_since_does_not_come_back(home: House) -> None:
    agent = home.agent([shorter(BRIEF)])
    keep(home, agent, ESSAY, days=30)
    (step,) = tidied(tidying(home, 1, agent=agent))
    with home.database.write() as tx:
        agent.state.archival.delete(tx, int(step.details["shorter"]))
    done, left = tidying(home, 1, agent=agent).undo()
    assert not done and len(left) == 1 and notes(home) == []


# Runs -----------------------------------------------------------------------------------------------------------------


def test_undo_takes_the_whole_of_the_last_run_back(home: House) -> None:
    agent = home.agent([shorter(SHORT)])
    for text in ("The user likes tea.", "the user likes tea"):
        learn(home, text)
    first = tidied(tidying(home))
    learn(home, "The user is on holiday.", until="2026-05-24")
    note(home, "\n".join(LINES))
    second = tidied(tidying(home, 1, agent=agent))
    assert {step.run for step in first} == {1} and {step.run for step in second} == {2}
    assert [step.kind for step in second] == ["expired facts", "core memory"]
    done, left = tidying(home, 1, agent=agent).undo()
    assert [step.id for step in done] == [step.id for step in reversed(second)] and not left
    assert human(home) == "\n".join(LINES) and "The user is on holiday." in holding(home)
    done, _ = tidying(home).undo()
    assert [step.id for step in done] == [step.id for step in first]


def test_to_look_changes_nothing(home: House) -> None:
    for text in ("The user likes tea.", "the user likes tea"):
        learn(home, text)
    before = home.rows("SELECT * FROM facts") + home.rows("SELECT * FROM fact_changes")
    assert len([each for each in tidying(home).proposed() if each]) == 1
    assert home.rows("SELECT * FROM facts") + home.rows("SELECT * FROM fact_changes") == before


def test_where_there_is_nothing_nothing_is_done(home: House) -> None:
    assert tidied(tidying(home, shorter(SHORT))) == [] and tidying(home).undo() == ([], [])
