"""Facts are taken from talk after it, in the order of the messages, once each, whatever comes between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from memagent.agent import Agent
from memagent.assemble import load_agent, make_agent
from memagent.config import Settings
from memagent.errors import LLMConnectionError, LLMError
from memagent.facts import Cause, Draft, Fact, Said
from memagent.facts.behind import CalledAway, Leaving, ReadingBehind
from memagent.facts.elsewhere import delete, readers
from memagent.facts.extract import prompt_for
from memagent.facts.keeping import FactMemory
from memagent.facts.plain import PlainExtractor
from memagent.facts.reading import MORE_TRIES, TRIES, FactReader, progress_of, waiting
from memagent.llm import Answer, Heard, Piece, Request
from memagent.llm.scripted import ScriptedLLM
from memagent.llm.wrappers.steps import Steps
from memagent.messages import Message, told_by, user_message
from memagent.storage.sqlite import SqliteDatabase

TALK = [{"when": {}, "say": "Yes."}]


@dataclass
class Told:
    """Finds what it is told to: a fact for each message of the user that says "I use …", or whatever `finds` says."""

    finds: Callable[[Sequence[Said]], Sequence[Draft]] | None = None
    asked: list[list[int]] = field(default_factory=list)

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:
        self.asked.append([said.seq for said in talk])
        return self.finds(talk) if self.finds else list(drafts(talk))


def drafts(talk: Sequence[Said]) -> Iterator[Draft]:
    for said in talk:
        if said.who == "user" and said.text.startswith("I use "):
            yield Draft(f"The user uses {said.text[6:]}.", message=said.seq, quote=said.text)
        elif said.who == "user" and said.text.startswith("No more "):
            yield Draft(f"The user uses {said.text[8:]}.", holds=False, message=said.seq, quote=said.text)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, embedder="off", verify_first=False, provider="scripted")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    opened = SqliteDatabase(tmp_path / "memagent.db")
    yield opened
    opened.close()


@pytest.fixture
def agent(settings: Settings, database: SqliteDatabase) -> Agent:
    return make_agent(settings, database, "ada", llm=ScriptedLLM(TALK))


def say(agent: Agent, *messages: str) -> None:
    for message in messages:
        list(agent.turn(message))


def memory_of(agent: Agent, extractor: Any) -> FactMemory:
    assert agent.state.facts
    agent.state.facts.extractor = extractor
    return agent.state.facts


def reader_of(agent: Agent, extractor: Any = None) -> FactReader:
    return FactReader(memory_of(agent, extractor or Told()), agent.state.entry.id)


def test_what_another_one_in_the_chat_tells_of_itself_is_no_fact_about_the_user(agent: Agent) -> None:
    now = agent.state.clock()
    list(agent.turn([user_message("I live in Porto.", now), told_by("coder", "I live in Rome.", now)]))
    reader = FactReader(memory_of(agent, PlainExtractor()), agent.state.entry.id)
    facts = {fact.about: fact.text for outcomes in reader.read() for fact in [each.fact for each in outcomes]}
    assert facts.pop("user") == "The user lives in Porto"
    assert "Rome" not in "".join(text for text in facts.values() if "user" in text)


def held(agent: Agent) -> list[str]:
    assert agent.state.facts
    return [fact.text for fact in reversed(agent.state.facts.ledger.listed())]


def test_what_was_said_is_read_once_in_its_order(agent: Agent) -> None:
    say(agent, "I use Shram", "I use Magnet", "Hello")
    extractor = Told()
    reader = reader_of(agent, extractor)
    assert reader.waiting() == 6
    happened = [outcome.what for outcomes in reader.read() for outcome in outcomes]
    assert happened == ["learned", "learned"]
    assert held(agent) == ["The user uses Shram.", "The user uses Magnet."]
    assert reader.waiting() == 0 and len(extractor.asked) == 1  # one question for all that had waited
    assert list(reader.read()) == [] and len(extractor.asked) == 1
    fact = agent.state.facts.ledger.listed()[0]  # type: ignore[union-attr]
    assert fact.cause.agent == agent.state.entry.id and fact.quote == "I use Magnet"
    (said,) = [m for m in agent.state.log.all() if m.seq == fact.cause.message]
    assert said.said == "I use Magnet"


def test_a_later_message_takes_back_an_earlier_one_that_is_read_with_it(agent: Agent) -> None:
    say(agent, "I use Shram", "I use Magnet", "No more Magnet")
    list(reader_of(agent).read())
    assert held(agent) == ["The user uses Shram."]
    assert [f.text for f in agent.state.facts.ledger.listed(("past",))] == ["The user uses Magnet."]  # type: ignore[union-attr]


def test_the_same_message_twice_makes_one_fact(agent: Agent) -> None:
    say(agent, "I use Shram", "I use Shram")
    list(reader_of(agent).read())
    (fact,) = agent.state.facts.ledger.listed()  # type: ignore[union-attr]
    assert fact.confirmed == 2


def test_it_catches_up_in_portions(agent: Agent) -> None:
    say(agent, *(f"I use tool{number}" for number in range(25)))
    extractor = Told()
    list(reader_of(agent, extractor).read())
    assert len(held(agent)) == 25
    assert len(extractor.asked) == 3 and max(map(len, extractor.asked)) <= 20
    assert extractor.asked == sorted(extractor.asked)


def test_one_long_message_is_read_alone(agent: Agent) -> None:
    say(agent, "x " * 5_000, "I use Shram")
    extractor = Told()
    list(reader_of(agent, extractor).read())
    assert len(extractor.asked) > 1 and held(agent) == ["The user uses Shram."]


def test_a_turn_that_is_not_over_is_not_read(agent: Agent) -> None:
    turn = agent.turn("I use Shram")
    next(turn)
    assert list(reader_of(agent).read()) == []
    list(turn)
    assert len(list(reader_of(agent).read())) > 0 and held(agent) == ["The user uses Shram."]


def test_another_process_that_was_quicker_is_noticed(agent: Agent) -> None:
    say(agent, "I use Shram")
    other = reader_of(agent)

    def found(talk: Sequence[Said]) -> Sequence[Draft]:
        slower.memory.extractor = Told()
        list(other.read())
        return list(drafts(talk))

    slower = reader_of(agent, Told(found))
    assert list(slower.read()) == []
    assert held(agent) == ["The user uses Shram."]
    assert agent.state.facts.ledger.listed()[0].confirmed == 1  # type: ignore[union-attr]


def test_a_message_that_is_taken_back_while_it_is_read_tells_nothing(agent: Agent) -> None:
    say(agent, "I use Shram")

    def found(talk: Sequence[Said]) -> Sequence[Draft]:
        agent.state.undo_turn()
        return list(drafts(talk))

    assert list(reader_of(agent, Told(found)).read()) == []
    assert held(agent) == []


def test_a_fact_that_is_forgotten_while_it_is_read_stays_forgotten(agent: Agent) -> None:
    say(agent, "I use Shram")
    list(reader_of(agent).read())
    (fact,) = agent.state.facts.ledger.listed()  # type: ignore[union-attr]
    say(agent, "No more Shram")

    def found(talk: Sequence[Said]) -> Sequence[Draft]:
        agent.state.facts.forget(fact.id, Cause("user"))  # type: ignore[union-attr]
        return list(drafts(talk))

    list(reader_of(agent, Told(found)).read())
    ledger = agent.state.facts.ledger  # type: ignore[union-attr]
    assert (ledger.get(fact.id).state, ledger.get(fact.id).how) == ("forgotten", "forgotten")


@pytest.mark.parametrize(("error", "most"), [(LLMError("rubbish"), TRIES), (LLMConnectionError("away"), MORE_TRIES)])
def test_what_can_never_be_read_is_passed_over(
    agent: Agent, database: SqliteDatabase, error: LLMError, most: int
) -> None:
    say(agent, "Poison", "I use Shram")

    def found(talk: Sequence[Said]) -> Sequence[Draft]:
        if any(said.text == "Poison" for said in talk):
            raise error
        return list(drafts(talk))

    extractor = Told(found)
    reader = reader_of(agent, extractor)
    for _ in range(most - 1):
        assert list(reader.read()) == [] and held(agent) == []
    list(reader.read())
    assert held(agent) == ["The user uses Shram."]  # the turn of the poison alone is lost
    assert reader.waiting() == 0
    assert len(extractor.asked) == most + 1


def test_why_it_waits_is_told(agent: Agent, database: SqliteDatabase) -> None:
    say(agent, "Hello")

    def found(_: Sequence[Said]) -> Sequence[Draft]:
        raise LLMError("The model is asleep.")

    list(reader_of(agent, Told(found)).read())
    progress = progress_of(database.rows, agent.state.entry.id)
    assert progress.tries == 1 and progress.failed.startswith("The model is asleep.")


@pytest.mark.parametrize(
    "rubbish",
    [
        Draft(""),
        Draft("!?"),
        Draft("x" * 100_000),
        Draft(None),  # type: ignore[arg-type]
    ],
)
def test_rubbish_is_left_out(agent: Agent, rubbish: Draft) -> None:
    say(agent, "I use Shram")
    list(reader_of(agent, Told(lambda talk: [rubbish, *drafts(talk), rubbish])).read())
    assert held(agent) == ["The user uses Shram."]


def test_odd_fields_are_put_right(agent: Agent) -> None:
    say(agent, "Hello")
    odd = Draft(
        "Likes\n tea\0", about="", kind="", since="yesterday", until="2026-13", confidence=float("nan"), message=999,
        quote="q" * 5000,
    )  # fmt: skip
    list(reader_of(agent, Told(lambda _: [odd])).read())
    (fact,) = agent.state.facts.ledger.listed()  # type: ignore[union-attr]
    assert (fact.text, fact.about, fact.kind, fact.since) == ("Likes tea\ufffd", "user", "fact", None)
    assert 0 <= fact.confidence <= 1 and len(fact.quote) == 1000
    (said,) = [m for m in agent.state.log.all() if m.seq == fact.cause.message]
    assert said.said == "Hello"


def test_a_thousand_facts_are_bounded(agent: Agent) -> None:
    say(agent, "Hello")
    list(reader_of(agent, Told(lambda _: [Draft(f"Number {n} is odd") for n in range(1000)])).read())
    assert agent.state.facts.ledger.count() == 64  # type: ignore[union-attr]


# Undo -----------------------------------------------------------------------------------------------------------------


def test_what_was_learned_goes_with_the_turn(agent: Agent) -> None:
    say(agent, "I use Shram", "I use Magnet")
    list(reader_of(agent).read())
    say(agent, "No more Shram")
    list(reader_of(agent).read())
    assert held(agent) == ["The user uses Magnet."]
    agent.state.undo_turn()
    assert held(agent) == ["The user uses Shram.", "The user uses Magnet."]
    agent.state.undo_turn()
    assert held(agent) == ["The user uses Shram."]
    ledger = agent.state.facts.ledger  # type: ignore[union-attr]
    assert [fact.how for fact in ledger.listed(("forgotten",))] == ["undone"]


def test_it_goes_also_while_no_facts_are_kept_any_more(agent: Agent, settings: Settings, database: Any) -> None:
    say(agent, "I use Shram")
    list(reader_of(agent).read())
    without = Settings(**{**vars(settings), "facts": "off"})
    off = load_agent(without, database, "ada", llm=ScriptedLLM(TALK))
    assert off.state.facts is None
    off.state.undo_turn()
    assert held(agent) == []


# Whose facts they are -------------------------------------------------------------------------------------------------


def test_all_agents_of_a_user_share_facts_unless_each_has_its_own(settings: Settings, database: Any) -> None:
    own = Settings(**{**vars(settings), "facts": "own"})
    one, two = (make_agent(settings, database, name, llm=ScriptedLLM(TALK)) for name in ("one", "two"))
    alone = make_agent(own, database, "alone", llm=ScriptedLLM(TALK))
    say(one, "I use Shram")
    say(alone, "I use Magnet")
    list(reader_of(one).read())
    list(reader_of(alone).read())
    assert held(two) == held(one) == ["The user uses Shram."]
    assert held(alone) == ["The user uses Magnet."]
    stranger = Settings(**{**vars(settings), "user": "bob"})
    assert held(make_agent(stranger, database, "three", llm=ScriptedLLM(TALK))) == []


# While nobody waits ---------------------------------------------------------------------------------------------------


class Slow:
    """A model that takes its time over each word, and says whether it was heard to the end."""

    model, window = "slow", 8192

    def __init__(self) -> None:
        self.begun, self.hung_up, self.ended = threading.Event(), threading.Event(), False

    def ask(self, request: Request) -> Iterator[Heard]:
        self.begun.set()
        for _ in range(2000):
            if self.hung_up.wait(0.005):
                raise LLMConnectionError("The line is dead.")
            yield Piece("text", "word ")
        self.ended = True
        yield Answer("done")

    def hang_up(self) -> None:
        self.hung_up.set()


class Asks:
    """An extractor that asks the model, and finds what it is told to then."""

    def __init__(self, llm: Any) -> None:
        self.llm = llm

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:
        for _ in self.llm.ask(Request([])):
            pass
        return list(drafts(talk))


def test_it_reads_behind_and_is_called_away_by_the_next_turn(agent: Agent, database: SqliteDatabase) -> None:
    slow = Slow()
    leaving = Leaving(lambda: slow)
    agent.behind = ReadingBehind(reader_of(agent, Asks(leaving)), leaving, idle=0)
    say(agent, "I use Shram")
    agent.behind.start()
    assert slow.begun.wait(5)
    started = time.perf_counter()
    turn = agent.turn("I use Magnet")
    next(turn)
    assert time.perf_counter() - started < 1  # it would take ten seconds to the end
    list(turn)
    assert slow.hung_up.is_set() and not slow.ended and held(agent) == []
    assert progress_of(database.rows, agent.state.entry.id).tries == 0  # to be called away is no failure
    slow.hung_up.clear()
    memory_of(agent, Told())
    for _ in range(200):
        agent.behind.start()
        if not waiting(database, agent.state.entry.id):
            break
        time.sleep(0.01)
    assert held(agent) == ["The user uses Shram.", "The user uses Magnet."]


def test_nobody_asks_a_model_while_the_user_is_quick(agent: Agent) -> None:
    slow = Slow()
    leaving = Leaving(lambda: slow)
    agent.behind = ReadingBehind(reader_of(agent, Asks(leaving)), leaving, idle=30)
    for _ in range(3):
        say(agent, "I use Shram")
        agent.behind.start()
    agent.behind.finish()
    assert not slow.begun.is_set()


def test_a_model_that_was_left_is_not_asked_until_it_is_wanted_again() -> None:
    leaving = Leaving(lambda: ScriptedLLM([{"when": {}, "text": "Yes."}]))
    leaving.leave()
    with pytest.raises(CalledAway):
        list(leaving.ask(Request([])))
    leaving.come_back()
    assert [type(heard) for heard in leaving.ask(Request([]))][-1] is Answer


def test_the_door_through_which_it_is_left_hides_nothing_that_decides_how_it_is_asked() -> None:
    class Small(Slow):
        wrapper = Steps()

    assert prompt_for(Leaving(Small).opened()).terse and not prompt_for(Leaving(Slow).opened()).terse


def test_the_script_answers_when_it_is_asked_for_facts(settings: Settings, database: SqliteDatabase) -> None:
    script = [
        {"when": {"kind": "facts", "said": "Shram"}, "facts": ["The user uses Shram."]},
        {"when": {}, "say": "Good."},
    ]
    agent = make_agent(settings, database, "ada", llm=ScriptedLLM(script))
    say(agent, "I use Shram", "Hello")
    assert agent.behind.reader
    list(agent.behind.reader.read())
    assert held(agent) == ["The user uses Shram"]
    say(agent, "What do you know?")
    list(agent.behind.reader.read())  # nothing in the script speaks of it, so there are none
    assert held(agent) == ["The user uses Shram"] and agent.behind.reader.waiting() == 0


def test_conversations_with_other_programs_are_read_when_asked_for_and_go_when_they_are_deleted(agent: Agent) -> None:
    begin = agent.state.clock() - timedelta(days=400)
    talk = [
        Message("user", "user", "", begin, "I use Magnet"),
        Message("assistant", "answer", "", begin, "I use it too"),
    ]
    later = [Message("user", "user", "", begin + timedelta(days=30), "No more Magnet")]
    with agent.state.alone() as tx:
        agent.state.log.bring_in(tx, later, "B")
        agent.state.log.bring_in(tx, talk, "A")
    say(agent, "I use Shram")
    list(reader_of(agent).read())
    memory = memory_of(agent, Told())
    assert [fact.text for fact in memory.ledger.listed(("holds", "past"))] == ["The user uses Shram."]
    first, second = readers(memory, agent.state.entry.id)
    assert (first.waiting(), second.waiting()) == (2, 1)
    assert [done.what for each in first.read() for done in each] == ["learned"]
    assert [reader.waiting() for reader in readers(memory, agent.state.entry.id)] == [0, 1]  # who was stopped goes on
    assert [done.what for each in second.read() for done in each] == ["ended"]
    assert [done for reader in readers(memory, agent.state.entry.id) for done in reader.read()] == []
    (magnet,) = memory.ledger.listed(("past",))
    assert (magnet.text, magnet.said) == ("The user uses Magnet.", begin)
    assert waiting(agent.state.database, agent.state.entry.id) == 0
    with agent.state.alone() as tx:
        delete(tx, agent.state.database, agent.state.entry.id, "B", agent.state.clock())
    assert sorted(fact.text for fact in memory.ledger.listed()) == ["The user uses Magnet.", "The user uses Shram."]
    with agent.state.alone() as tx:
        delete(tx, agent.state.database, agent.state.entry.id, "A", agent.state.clock())
    assert [fact.text for fact in memory.ledger.listed(("holds", "past"))] == ["The user uses Shram."]
