"""What becomes of facts when they are taken in: each message once, nothing lost, and what is written by hand stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.errors import LLMError, NotFound, UserError
from memagent.facts import Cause, Draft, Fact, Said
from memagent.facts.drafts import LONGEST_TEXT, MOST, checked
from memagent.facts.finding import FactFinder
from memagent.facts.keeping import FactMemory
from memagent.facts.ledger import Ledger, keeper
from memagent.facts.plain import PlainExtractor
from memagent.facts.policy import Policy
from memagent.storage.sqlite import SqliteDatabase

MONDAY = datetime(2026, 6, 1, 12, tzinfo=UTC)
BY_HAND = Cause("user")
Drafts = Callable[[Sequence[Said]], Sequence[Draft]]


def new_database(folder):
    return SqliteDatabase(folder / "memory.db")


@pytest.fixture
def db(tmp_path):
    database = new_database(tmp_path)
    yield database
    database.close()


class Clock:
    now = MONDAY

    def __call__(self) -> datetime:
        return self.now


class Scripted:
    """An extractor that finds what it is told to."""

    def __init__(self, find: Drafts) -> None:
        self.find = find

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:
        return self.find(talk)


def memory_of(db, owner="ada", find: Drafts | None = None, clock=None, policy: Policy | None = None) -> FactMemory:
    ledger = Ledger(db, keeper(db, owner, None, MONDAY))
    extractor = Scripted(find) if find else PlainExtractor()
    return FactMemory(ledger, FactFinder(ledger, None), extractor, clock or Clock(), policy or Policy())


def holding(memory: FactMemory) -> list[str]:
    return sorted(fact.text for fact in memory.ledger.listed())


def told(memory: FactMemory, text: str, seq: int, agent: str = "a1") -> list[str]:
    outcomes = memory.take([Said("user", text, memory.clock(), seq)], Cause("talk", agent=agent))
    return [outcome.what for outcome in outcomes]


def test_the_same_message_twice_changes_nothing(db):
    memory = memory_of(db)
    assert told(memory, "I use Shram and Magnet.", 1) == ["learned", "learned"]
    assert told(memory, "I moved from Faro to Porto. I use Shram.", 2) == ["learned", "confirmed"]
    before = [db.rows("SELECT * FROM facts ORDER BY id"), db.rows("SELECT * FROM fact_changes ORDER BY id")]
    assert told(memory, "I use Shram and Magnet.", 1) == []
    assert told(memory, "I moved from Faro to Porto. I use Shram.", 2) == []
    assert [db.rows("SELECT * FROM facts ORDER BY id"), db.rows("SELECT * FROM fact_changes ORDER BY id")] == before


def test_an_older_message_does_not_bring_back_what_a_newer_one_ended(db):
    memory = memory_of(db)
    told(memory, "I use Magnet.", 1)
    told(memory, "I don't use Magnet anymore.", 2)
    assert told(memory, "I use Magnet.", 1) == []
    assert holding(memory) == []


def test_of_several_things_in_one_fact_only_one_is_over(db):
    memory = memory_of(db)
    old = memory.state("The user uses Shram and Magnet as productivity tools", BY_HAND)
    memory.add("I don't use Magnet anymore")
    assert holding(memory) == ["The user uses Shram as productivity tools"]
    (left,) = memory.ledger.listed()
    ended = memory.ledger.get(old.id)
    assert (ended.state, ended.heir, ended.until, left.line) == ("past", left.id, "2026-06-01", old.line)
    memory.restore(old.id, BY_HAND)
    assert memory.ledger.get(old.id).until is None


def test_a_person_who_edits_meanwhile_is_not_overruled(db):
    memory = memory_of(db)
    old = memory.state("The user lives in Porto", Cause("talk"))

    def find(talk: Sequence[Said]) -> Sequence[Draft]:
        memory.correct(old.id, "The user lives in Faro", BY_HAND)  # while the model thinks
        return [Draft("The user lives in Lisbon", message=talk[-1].seq)]

    drafts = memory_of(db, find=find)
    said = [Said("user", "I live in Lisbon", MONDAY, 1)]
    verdicts = memory.weighed([Draft("The user lives in Lisbon", message=1)])
    drafts.extract(said)
    with db.write(memory.ledger.keeper.shelf) as tx:
        memory.take_in(tx, verdicts, said, Cause("talk", agent="a1"))
    assert "The user lives in Faro" in holding(memory)
    assert memory.ledger.get(old.id).how == "corrected"


def test_what_is_forgotten_meanwhile_is_not_confirmed(db):
    memory = memory_of(db)
    old = memory.state("The user likes tea", BY_HAND)
    verdicts = memory.weighed([Draft("The user likes tea")])
    memory.forget(old.id, BY_HAND)
    with db.write() as tx:
        assert memory.take_in(tx, verdicts, [Said("user", "I like tea", MONDAY)], Cause("talk")) == []


def test_two_who_learn_the_same_at_the_same_time_learn_it_once(db):
    one, other = memory_of(db), memory_of(db)
    said = [Said("user", "I like tea", MONDAY)]
    both = [memory.weighed([Draft("The user likes tea")]) for memory in (one, other)]
    for memory, verdicts in zip((one, other), both, strict=True):
        with db.write() as tx:
            memory.take_in(tx, verdicts, said, Cause("talk"))
    (fact,) = one.ledger.listed()
    assert fact.confirmed == 2


@pytest.mark.parametrize("before", ["The user lives in Porto", ""])
def test_two_agents_that_contradict_each_other_at_once_leave_one_fact_that_holds(db, before):
    """Each has looked at what is known before the other has kept what it learned."""
    memory = memory_of(db)
    if before:
        memory.state(before, Cause("talk"))
    both = {place: memory_of(db).weighed([Draft(f"The user lives in {place}")]) for place in ("Faro", "Lisbon")}

    def keep(place: str) -> None:
        with db.write(place) as tx:
            memory_of(db).take_in(tx, both[place], [Said("user", place, MONDAY)], Cause("talk", agent=place))
            time.sleep(0.1)

    threads = [threading.Thread(target=keep, args=[place]) for place in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (last,) = memory.ledger.listed()
    assert {fact.text for fact in memory.ledger.line(last.id)} == {
        *filter(None, [before]),
        "The user lives in Faro",
        "The user lives in Lisbon",
    }


def test_what_was_said_earlier_and_is_read_later_ends_nothing(db):
    """Of two agents, the one that was told first may be read last; and old conversations can be loaded."""
    memory = memory_of(db)

    def read(text: str, days: int, holds: bool = True) -> list[str]:
        said = Said("user", text, MONDAY + timedelta(days=days), 1)
        weighed = memory.weighed([Draft(text, message=1, holds=holds)])
        with db.write() as tx:
            return [done.what for done in memory.take_in(tx, weighed, [said], Cause("talk", agent=f"a{days}"))]

    read("The user lives in Lisbon", 10)
    assert read("The user lives in Porto", 0) == ["learned"]
    assert read("The user lives in Lisbon", 5, holds=False) == []
    assert holding(memory) == ["The user lives in Lisbon"]
    (porto,) = memory.ledger.listed(("past",))
    assert (porto.text, porto.until) == ("The user lives in Porto", (MONDAY + timedelta(days=10)).date().isoformat())
    assert porto.heir == memory.ledger.listed()[0].id
    read("The user lives in Faro", 20)
    assert holding(memory) == ["The user lives in Faro"]


def test_what_was_corrected_meanwhile_is_corrected_once(db):
    memory = memory_of(db)
    old = memory.state("The user lives in Porto", BY_HAND)
    memory.correct(old.id, "The user lives in Faro", BY_HAND)
    with pytest.raises(UserError, match="does not hold any more"):
        memory.correct(old.id, "The user lives in Lisbon", BY_HAND)
    assert holding(memory) == ["The user lives in Faro"]


def test_doubtful_verdicts_spare_what_was_written_by_hand(db):
    memory = memory_of(db)
    memory.state("The user lives in Porto", BY_HAND)
    memory.add("I live in Lisbon")
    assert holding(memory) == ["The user lives in Lisbon", "The user lives in Porto"]
    (fact,) = [fact for fact in memory.ledger.listed() if "Lisbon" in fact.text]
    assert fact.confidence == 0.4  # what was written by hand says otherwise


RUBBISH = [
    Draft(""), Draft("   "), Draft("!?"), Draft("x" * (LONGEST_TEXT + 1)), Draft("ok", confidence=float("nan")),
    Draft("fine", confidence=float("inf"), kind="", about=" ", since="soon", until="2026-99-99"),
    Draft("a\0b \ud800", since="2026-05", until="2026-05-31T10:00:00"), Draft("OK"), Draft("ok", holds=False),
]  # fmt: skip


def test_a_model_that_finds_rubbish(db):
    memory = memory_of(db, find=lambda talk: RUBBISH)
    memory.add("whatever")
    facts = {fact.text: fact for fact in memory.ledger.listed(("holds", "past"))}
    assert sorted(facts) == ["a\ufffdb \ufffd", "fine", "ok"]
    assert (facts["fine"].confidence, facts["fine"].since, facts["fine"].until) == (0.5, None, None)
    assert (facts["fine"].kind, facts["fine"].about) == ("fact", "user")
    assert (facts["a\ufffdb \ufffd"].since, facts["a\ufffdb \ufffd"].until) == ("2026-05", "2026-05-31")


def test_a_model_that_finds_nothing_or_a_thousand_facts_or_fails(db):
    assert memory_of(db, find=lambda talk: []).add("hello") == []
    thousand = [Draft(f"The user likes number {number}") for number in range(1000)]
    memory = memory_of(db, find=lambda talk: thousand)
    assert len(memory.add("hello")) == MOST

    def fails(talk: Sequence[Said]) -> Sequence[Draft]:
        raise LLMError("The model is away.")

    before = holding(memory)
    with pytest.raises(LLMError):
        memory_of(db, find=fails).add("hello")
    assert holding(memory) == before


@given(st.lists(st.builds(Draft, st.text(max_size=40), st.booleans(), st.text(max_size=9), st.text(max_size=9),
                          st.text(max_size=9), st.none() | st.text(max_size=12), st.none() | st.text(max_size=12),
                          st.floats())))  # fmt: skip
@settings(max_examples=200)
def test_what_is_usable_is_sound(drafts):
    for draft in checked(drafts):
        assert draft.text and 0.0 <= draft.confidence <= 1.0 and draft.kind and draft.about
        assert all(time is None or len(time) in (4, 7, 10) for time in (draft.since, draft.until))


def test_users_are_kept_apart(db):
    ada, bob = memory_of(db, "ada"), memory_of(db, "bob")
    ada.add("I live in Porto")
    bob.add("I live in Lisbon. I don't live in Porto anymore.")
    assert (holding(ada), holding(bob)) == (["The user lives in Porto"], ["The user lives in Lisbon"])
    (fact,) = ada.ledger.listed()
    for wrong in (bob.ledger.get, lambda number: bob.forget(number, BY_HAND), lambda n: bob.correct(n, "x", BY_HAND)):
        with pytest.raises(NotFound):
            wrong(fact.id)
    assert bob.ledger.named("Porto") == [] and bob.ledger.line(fact.id) == [] and bob.ledger.history(fact.id) == []


def test_what_has_had_its_day_lapses(db):
    clock = Clock()
    memory = memory_of(db, clock=clock)
    memory.add("I have an exam tomorrow. I will visit Rome in July. I like tea.")
    clock.now = MONDAY + timedelta(days=2)
    assert memory.search("exam").total == 0
    assert holding(memory) == ["The user likes tea", "The user will visit Rome in July 2026"]
    (past,) = memory.ledger.listed(("past",))
    assert (past.how, memory.ledger.history(past.id)[-1].cause.origin) == ("expired", "policy")
    clock.now = MONDAY + timedelta(days=62)
    assert memory.sweep() == 1
    memory.restore(past.id, BY_HAND)
    assert memory.ledger.get(past.id).state == "holds"


def test_what_has_its_day_does_not_fade_before_it(db):
    clock = Clock()
    memory = memory_of(db, clock=clock)
    memory.add("My passport expires in November 2027.")
    clock.now = MONDAY.replace(year=2027, month=11, day=30)
    assert memory.sweep() == 0 and memory.search("passport").total == 1
    clock.now = MONDAY.replace(year=2027, month=12, day=1)
    assert memory.search("passport").total == 0 and memory.ledger.listed(("past",))[0].how == "expired"


def test_what_nobody_says_any_more_fades(db):
    clock, policy = Clock(), Policy({"preference": 10.0}, usual=0)
    memory = memory_of(db, clock=clock, policy=policy)
    memory.add("I like tea. I like coffee. I live in Porto.")
    memory.add("I like tea.")
    memory.state("The user likes jazz", BY_HAND)
    tea, coffee = (next(f for f in memory.ledger.listed() if name in f.text) for name in ("tea", "coffee"))
    later = MONDAY + timedelta(days=10)
    assert policy.confidence(coffee, later) == pytest.approx(0.4)
    assert policy.confidence(tea, later) > policy.confidence(coffee, later)
    clock.now = MONDAY + timedelta(days=31)
    assert memory.sweep() == 1
    assert holding(memory) == ["The user likes jazz", "The user likes tea", "The user lives in Porto"]
    clock.now = MONDAY + timedelta(days=5000)
    memory.sweep()
    assert holding(memory) == ["The user likes jazz", "The user lives in Porto"]


def test_many_facts_at_once_are_lines_of_their_own(db):
    memory = memory_of(db)
    assert memory.state_many([f"The user has thing {n}" for n in range(2500)], BY_HAND) == 2500
    assert memory.ledger.count() == 2500
    (fact,) = memory.ledger.named("thing 1234")
    assert fact.line == fact.id
    assert [change.what for change in memory.ledger.history(fact.id)] == ["learned"]
    assert memory.search("thing 1234", size=1).matches[0].fact == fact


def test_what_is_looked_for_by_its_text_is_no_pattern(db):
    memory = memory_of(db)
    memory.state("The user pays 100% of it", BY_HAND)
    memory.state("The user pays 1000 of it", BY_HAND)
    assert [fact.text for fact in memory.ledger.named("100%")] == ["The user pays 100% of it"]
    assert [fact.text for fact in memory.ledger.named("_")] == []
