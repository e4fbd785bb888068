"""Typed memories are kept as facts are: created, changed in versions, undone, forgotten, found by name; and whoever is
related to whom is seen from both sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent.errors import NotFound, StorageError, UserError
from memagent.facts import SELF, USER, Cause, Fact
from memagent.facts.finding import FactFinder
from memagent.facts.kinds import Kinds
from memagent.facts.ledger import Ledger, keeper
from memagent.facts.people import Relation, facts_about, related, relations
from memagent.facts.records import Record, Records, differences
from memagent.facts.talks import linked, words
from memagent.memory.log import MessageLog
from memagent.messages import answer, user_message
from memagent.roster import Roster
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HAND = Cause("user", "by hand")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "memagent.db")
    yield database
    database.close()


def kept_by(db: SqliteDatabase, owner: str = "me", agent: str | None = None, *folders: Path) -> Records:
    minutes = itertools.count()
    clock: Callable[[], datetime] = lambda: NOW + timedelta(minutes=next(minutes))  # noqa: E731
    return Records(Ledger(db, keeper(db, owner, agent, NOW)), Kinds(*folders), clock)


@pytest.fixture
def records(db: SqliteDatabase) -> Records:
    return kept_by(db)


def person(records: Records, name: str, relation: str = "", **more: object) -> Record:
    return records.create("person", {"name": name, "relation": relation, **more}, HAND)


def learn(records: Records, text: str, about: str, kind: str = "fact") -> Fact:
    with records.ledger.database.write() as tx:
        return records.ledger.learn(tx, Fact(text, NOW, kind, about, cause=Cause("talk")), NOW)


# Keeping --------------------------------------------------------------------------------------------------------------


def test_a_record_is_a_fact_that_search_finds(records: Records) -> None:
    anna = person(records, "Anna", "sister", objectives=("run a marathon",))
    assert (anna.fact.kind, anna.fact.about, anna.fact.subject) == ("person", "Anna", "Anna")
    assert anna.fact.text == "Anna is the user's sister. Objectives: run a marathon."
    assert records.get(anna.number) == anna
    found = FactFinder(records.ledger, None).find("marathon").matches
    assert [match.fact.id for match in found] == [anna.number]
    event = records.create("event", {"note": "Moved to Bonn", "dates": "2026-05"}, HAND, about="Anna")
    assert (event.fact.about, event.fact.since) == ("Anna", "2026-05")
    assert records.create("fact", {"note": "She sings."}, HAND, about="my sister").fact.about == "Anna"
    assert records.create("fact", {"note": "He sings."}, HAND, about="Zoe").fact.about == "Zoe"


def test_a_change_is_a_new_version_and_the_old_one_is_past(records: Records) -> None:
    anna = person(records, "Anna", "sister")
    changed = records.change(anna, {"personality": "warm"}, HAND)
    assert changed.number != anna.number and changed.fact.line == anna.fact.line
    assert differences(anna, changed) == {"personality": ("", "warm")}
    old = records.get(anna.number).fact
    assert (old.state, old.how, old.heir) == ("past", "corrected", changed.number)
    assert [one.number for one in records.listed("person")] == [changed.number]
    assert records.change(changed, {"personality": "warm"}, HAND) is changed, "what is the same makes no version"
    assert [step.changed for step in records.history(changed)] == [{}, {"personality": ("", "warm")}]
    assert not FactFinder(records.ledger, None).find("warm", states=("past",)).matches


def test_undo_goes_back_version_by_version(records: Records) -> None:
    anna = person(records, "Anna", personality="shy")
    one = records.change(anna, {"personality": "warm"}, HAND)
    two = records.change(one, {"personality": "bold"}, HAND)
    back = records.undo(two, HAND)
    assert (back.number, back.value.personality) == (one.number, "warm")
    assert records.undo(back, HAND).value == anna.value
    with pytest.raises(UserError, match="never changed"):
        records.undo(records.get(anna.number), HAND)
    assert [one.value.personality for one in records.listed("person")] == ["shy"]
    again = records.change(records.find("Anna"), {"personality": "calm"}, HAND)
    assert [step.record.value.personality for step in records.history(again)] == ["shy", "calm"]


def test_what_was_changed_meanwhile_is_not_overwritten(records: Records) -> None:
    seen = person(records, "Anna")
    records.change(seen, {"personality": "warm"}, HAND)
    for late in (lambda: records.change(seen, {"alive": False}, HAND), lambda: records.forget(seen, HAND)):
        with pytest.raises(UserError, match="meanwhile"):
            late()
    assert records.find("Anna").value.personality == "warm"


def test_forgotten_is_found_nowhere_and_comes_back(records: Records) -> None:
    anna = person(records, "Anna")
    records.forget(anna, HAND)
    assert records.listed() == [] and records.count() == 0
    with pytest.raises(NotFound):
        records.find("Anna")
    assert records.restore(anna.number, HAND).value == anna.value
    newer = records.change(records.find("Anna"), {"alive": "no"}, HAND)
    with pytest.raises(UserError, match="newer version") as error:
        records.restore(anna.number, HAND)
    assert str(newer.number) in error.value.hint


def test_there_is_one_person_of_a_name_and_one_self(records: Records) -> None:
    anna = person(records, "Anna")
    with pytest.raises(UserError, match="called 'Anna' already"):
        person(records, "  anna ")
    person(records, "Ada", SELF)
    with pytest.raises(UserError, match="'Ada' is the self already"):
        person(records, "Eva", SELF)
    bob = person(records, "Bob")
    with pytest.raises(UserError, match="already"):
        records.change(bob, {"name": "ANNA"}, HAND)
    records.forget(anna, HAND)
    person(records, "Anna")
    with pytest.raises(UserError, match="already"):
        records.restore(anna.number, HAND)


def test_users_and_agents_are_apart(db: SqliteDatabase, records: Records) -> None:
    anna = person(records, "Anna")
    for other in (kept_by(db, "you"), kept_by(db, "me", "an agent")):
        assert other.listed() == [] and other.people() == []
        for refused in (lambda o=other: o.find("Anna"), lambda o=other: o.get(anna.number)):
            with pytest.raises(NotFound):
                refused()
        person(other, "Anna")
    assert records.count() == 1


# The self -------------------------------------------------------------------------------------------------------------


def test_a_change_of_the_self_is_an_event_that_says_from_what_to_what(records: Records) -> None:
    ada = person(records, "Ada", SELF, personality="shy")
    assert ada.fact.about == SELF and records.self() == ada
    bold = records.change(ada, {"personality": "bold", "objectives": "learn Go"}, HAND)
    event = records.listed("event")[0]
    assert (
        event.value.note
        == "My objectives changed from nothing to “learn Go”; my personality changed from “shy” to “bold”"
    )
    assert (event.value.dates, event.fact.about, event.fact.since) == (("2026-11-21",), SELF, "2026-11-21")
    records.undo(bold, HAND)
    assert "from “bold” to “shy”" in records.listed("event")[0].value.note
    person(records, "Anna")
    records.change(records.find("Anna"), {"alive": False}, HAND)
    assert records.count("event") == 2, "others change without one"


def test_the_change_and_its_event_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "memagent.db")
    records = kept_by(database)
    ada = person(records, "Ada", SELF)
    database.close()
    commits = 0

    def watch(what: str) -> None:
        nonlocal commits
        commits += what == "commit"
        if commits > 0:
            raise StorageError("cut")

    cut = SqliteDatabase(tmp_path / "memagent.db", watch=watch)
    with pytest.raises(StorageError):
        kept_by(cut).change(ada, {"personality": "bold"}, HAND)
    cut.close()
    counting: list[str] = []
    database = SqliteDatabase(tmp_path / "memagent.db", watch=counting.append)
    records = kept_by(database)
    assert records.find("Ada").fact == ada.fact
    assert records.count("event") == 0
    records.change(records.find("Ada"), {"personality": "bold"}, HAND)
    assert (counting.count("committed"), records.count("event")) == (1, 1)
    database.close()


# Finding --------------------------------------------------------------------------------------------------------------


def test_a_person_is_found_by_name_alias_number_and_relation(records: Records) -> None:
    anna = person(records, "Anna", "sister", aliases=("Annie",))
    for name in (
        "Anna",
        "  anna",
        "ANNIE",
        "my sister",
        "sister",
        "the user's sister",
        str(anna.number),
        f"#{anna.number}",
    ):
        assert records.find(name).number == anna.number, name
    with pytest.raises(NotFound) as error:
        records.find("Ana")
    assert "Did you mean 'Anna'?" in error.value.hint
    with pytest.raises(NotFound):
        records.find("")
    person(records, "Eva", "sister")
    with pytest.raises(UserError, match="More than one person is meant by 'my sister'") as ambiguous:
        records.find("my sister")
    assert "Anna" in ambiguous.value.hint and "Eva" in ambiguous.value.hint


def test_a_name_counts_before_an_alias(records: Records) -> None:
    person(records, "Anna (work)", aliases=("Anna",))
    anna = person(records, "Anna")
    assert records.find("anna") == anna


def test_who_is_renamed_is_found_by_the_old_name_too(records: Records) -> None:
    anna = person(records, "Anna", "sister")
    learn(records, "Anna plays the cello.", "Anna")
    anne = records.change(anna, {"name": "Anne"}, HAND)
    assert records.find("Anna").name == "Anne"
    assert [fact.text for fact in facts_about(records.ledger, anne, records.people())[0]] == ["Anna plays the cello."]


def test_other_kinds_are_found_by_what_names_them(records: Records) -> None:
    event = records.create("event", {"note": "Moved to Bonn"}, HAND)
    assert records.find("moved to bonn").number == event.number
    fact = records.create("fact", {"note": "Bonn is a city."}, HAND)
    assert (fact.fact.subject, records.find("bonn is a city.", "fact").number) == ("", fact.number)
    records.create("conversation", {"summary": "Moved to Bonn"}, HAND)
    assert records.find("Moved to Bonn", "event").number == event.number
    with pytest.raises(UserError, match="2 memories called"):
        records.find("Moved to Bonn")


def test_what_was_taken_from_talk_without_fields_is_read(records: Records) -> None:
    learn(records, "Moved to Bonn in May.", USER, "event")
    learn(records, "Anna is the user's sister.", "Anna", "person")
    fact = learn(records, "The user has a cat.", USER)
    assert [(one.kind.name, one.name) for one in records.listed()] == [
        ("person", "Anna"), ("event", "Moved to Bonn in May."),
    ]  # fmt: skip
    assert records.get(fact.id).value.note == "The user has a cat."
    assert records.get(fact.id).value.source == "talk"
    with pytest.raises(NotFound, match="kind 'mood', which is not declared"):
        records.get(learn(records, "Sad.", USER, "mood").id)


BOOK = "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Book:\n    title: str\n"


def test_sentences_about_a_person_are_no_second_person(records: Records) -> None:
    for text in ("Anna is the user's sister.", "Anna is a cellist."):
        learn(records, text, "Anna", "person")
    assert [one.name for one in records.people()] == ["Anna"]
    assert records.change(records.find("Anna"), {"alive": False}, HAND).value.alive is False
    records.undo(records.find("Anna"), HAND)
    anna = person(records, "Anna", "sister")
    assert [one.number for one in records.people()] == [anna.number]
    assert [fact.text for fact in facts_about(records.ledger, anna, records.people())[0]] == [
        "Anna is a cellist.", "Anna is the user's sister.",
    ]  # fmt: skip


def test_a_kind_that_was_declared_anew_hides_no_other(db: SqliteDatabase, tmp_path: Path) -> None:
    folder = tmp_path / "kinds"
    folder.mkdir()
    (folder / "book.py").write_text(f"{BOOK}    pages: str = ''\n")
    book = kept_by(db, "me", None, folder).create("book", {"title": "Dune", "pages": "many"}, HAND)
    (folder / "book.py").write_text(f"{BOOK}    pages: int\n")
    records = kept_by(db, "me", None, folder)
    event = records.create("event", {"note": "Read"}, HAND)
    assert [one.number for one in records.listed()] == [event.number]
    with pytest.raises(StorageError, match="does not fit its kind book any more"):
        records.get(book.number)


# Relations ------------------------------------------------------------------------------------------------------------


def test_relations_are_seen_from_both_sides(records: Records) -> None:
    anna = person(records, "Anna", "sister", relationships={"bobby": "husband", "Zoe": "teacher"})
    bob = person(records, "Bob", aliases=("Bobby",))
    person(records, "Noor", USER, relationships={"Eve": "boss"})
    people = records.people()
    ties = relations(people)
    assert Relation(USER, "Anna", "sister") in ties and Relation(USER, "Eve", "boss") in ties
    assert related(bob, ties) == [Relation("Anna", "Bob", "husband")]
    assert len(related(anna, ties)) == 3
    assert Relation("Anna", "Zoe", "teacher") in ties, "who is no person of ours yet is named all the same"


def test_the_page_of_a_person_has_the_facts_about_it_however_they_call_it(records: Records) -> None:
    anna = person(records, "Anna", "sister", aliases=("Annie",))
    for about in ("Anna", "annie", "sister", "my sister", USER, "Bob"):
        learn(records, f"{about} likes tea.", about)
    facts, total = facts_about(records.ledger, anna, records.people(), limit=3)
    assert total == 4 and [fact.about for fact in facts] == ["my sister", "sister", "annie"]
    person(records, "Eva", "sister")
    assert facts_about(records.ledger, anna, records.people())[1] == 2, "there are two who are the sister now"
    me = person(records, "Noor", USER)
    assert [fact.text for fact in facts_about(records.ledger, me, records.people())[0]] == ["user likes tea."]


# Conversations --------------------------------------------------------------------------------------------------------


def test_a_conversation_has_its_words_or_says_where_they_stand(db: SqliteDatabase, records: Records) -> None:
    with db.write() as tx:
        agent = Roster(db, "me").make(tx, "ada", {}, "You are.", NOW)
        said = [user_message("Hello", NOW), answer("Hi!", (), "Hi!", NOW), user_message("Soup?", NOW)]
        MessageLog(db, agent).append(tx, said, 1)
    kind = records.kinds.find("conversation")
    talk = linked(db, "me", kind.make({"summary": "A greeting", "agent": "ada", "first": 1, "last": 2}))
    Roster(db, "me").rename("ada", "eva")
    assert words(db, "me", talk) == "user: Hello\neva: Hi!"
    assert words(db, "me", kind.make({"summary": "x", "transcript": "a: b"})) == "a: b"
    assert words(db, "me", kind.make({"summary": "x"})) == ""
    with pytest.raises(UserError, match="eva has no message 4"):
        linked(db, "me", kind.make({"summary": "x", "agent": "eva", "first": 1, "last": 4}))
    with pytest.raises(NotFound):
        words(db, "you", talk)


# Whatever comes -------------------------------------------------------------------------------------------------------

FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(st.characters(categories=["L"]), min_size=1, max_size=8),
        "personality": st.text(max_size=12),
        "alive": st.booleans(),
        "details": st.lists(st.text(max_size=5), max_size=3),
    },
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(FIELDS, max_size=6), st.data())
def test_any_changes_can_be_undone_down_to_the_beginning(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, object]], data: st.DataObject
) -> None:
    db = SqliteDatabase(tmp_path_factory.mktemp("any") / "memagent.db")
    try:
        records = kept_by(db)
        now = person(records, "Anna", "sister")
        was = [now]
        for fields in changes:
            now = records.change(now, fields, HAND)
            if now != was[-1]:
                was.append(now)
        assert [step.record.value for step in records.history(now)] == [one.value for one in was]
        for before in reversed(was[:-1]):
            now = records.undo(now, HAND)
            assert now.value == before.value
        assert records.count() == 1
    finally:
        db.close()
