"""What every kind of storage must do alike: keep, page, filter, find, share, take back and forget, for many at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storages import (
    DIMENSION,
    NOW,
    Place,
    Topics,
    axis,
    contents,
    keep,
    new_agent,
    new_source,
    passage,
    say,
)

from memagent.errors import EmbeddingError, NotFound, StorageError
from memagent.memory.archival import ArchivalMemory
from memagent.memory.passages import Passage, PassageStore
from memagent.memory.recall import RecallMemory
from memagent.memory.sources import Sources, attached
from memagent.messages import storable
from memagent.roster import Roster
from memagent.storage import Database, Found, Texts, VectorIndex, Words

TEXTS = {
    "emoji": "👩‍👩‍👧‍👦 and 🇵🇹 and 👍🏽",
    "combining marks": "e\u0301 n\u0303 \u1e69 s\u0323\u0307",
    "right to left": "שלום \u202bعالم\u202c",
    "without spaces": "東京都に住んでいます。我喜欢跑步",
    "thai": "ฉันชอบวิ่ง",
    "beyond the first plane": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠜎𠜱 \U0010fffd",
    "line ends": "one\r\ntwo\rthree\n\n\ttab\v\f\x85\u2028\u2029end",
    "control characters": "\x01\x02\x1b[31m\x7f\x80\x9f",
    "marks of encodings": "\ufeffbegin \ufffe \uffff end",
    "quotes": "'single' \"double\" `back` $$dollar$$ E'\\n' \\x00 %s %(a)s ? :a @b",
    "blanks": "  two before, two after  ",
    "accents": "Ærøskøbing, Łódź, naïve façade, İstanbul, straße",
}
HOSTILE = [
    "'; DROP TABLE passages; --", '"', "''", "\\", "%", "_", "100%_", "NEAR(a b)", "text : x", "a AND NOT b", "^x*",
    "(", '") OR 1=1 --', "{a b}: c", "a & b | !c <-> d:*", "$1", "${x}", "?", "\u0000x", "{}", "[]", "null",
]  # fmt: skip


def texts(found: Sequence[Passage] | Sequence[Found]) -> list[str]:
    return [each.text for each in found]


def by_words(store: PassageStore, query: str, **filters: Any) -> list[Passage]:
    """What has these words, whatever it means."""
    return PassageStore(store.database, store.shelf, None).query(query, **filters)


def index_of(store: PassageStore) -> VectorIndex:
    return store.database.vectors("passages", store.embedder.model, store.embedder.dimension)


def numbers_with(store: PassageStore, *vectors: bytes, first: int = 1) -> list[int]:
    """Passages with these vectors; returns their numbers."""
    passages = [passage(f"passage {note}", note) for note in range(first, first + len(vectors))]
    with store.database.write() as tx:
        return store.insert_many(tx, passages, vectors)


# Keeping --------------------------------------------------------------------------------------------------------------


def test_a_passage_comes_back_as_it_was_kept(db: Database, store: PassageStore) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, 678901, timezone(timedelta(hours=-9, minutes=-30)))
    kept = passage("Some text", 7, 3, created=when, tags=("a", "b c"), place="a.md, p. 3 › Top", turn=12)
    with db.write() as tx:
        number = store.insert(tx, kept)
    assert store.get(number) == replace(kept, id=number)
    assert store.get(number).created.utcoffset() == when.utcoffset(), "the clock on the wall is kept too"


def test_many_passages_get_growing_numbers_in_their_order(db: Database, store: PassageStore) -> None:
    numbers = keep(store, *(f"text {n}" for n in range(300)))
    assert numbers == sorted(set(numbers)) and len(numbers) == 300
    assert [store.get(number).text for number in numbers[::50]] == [f"text {n}" for n in range(0, 300, 50)]


def test_no_passages_are_no_work(db: Database, store: PassageStore) -> None:
    with db.write() as tx:
        assert store.insert_many(tx, []) == []
    assert store.size() == 0 and store.get_all() == [] and list(store.get_all_paginated()) == []


def test_what_is_not_there_is_none(db: Database, store: PassageStore) -> None:
    [number] = keep(store, "mine")
    assert store.get(10**15) is None
    assert PassageStore(db, new_agent(db), None).get(number) is None, "nor is what stands on another shelf"


def test_a_part_of_a_note_is_there_once(db: Database, store: PassageStore) -> None:
    keep(store, "first")
    with pytest.raises(StorageError), db.write() as tx:
        store.insert(tx, passage("other", 2))
        store.insert(tx, passage("second", 1))
    assert texts(store.get_all()) == ["first"]


def test_a_number_never_comes_back(db: Database, store: PassageStore) -> None:
    numbers = keep(store, "one", "two")
    with db.write() as tx:
        store.delete(tx, 2)
    assert keep(store, "three", first=2)[0] > max(numbers)


@pytest.mark.parametrize("kind", TEXTS)
def test_unicode_comes_back_to_the_letter(db: Database, store: PassageStore, kind: str) -> None:
    text = TEXTS[kind]
    [number] = keep(store, text, tags=(text,), place=text)
    found = store.get(number)
    assert (found.text, found.tags, found.place) == (text, (text,), text)
    assert texts(store.query(vector=store.vectors_of([text])[0], tags=[text], places=[text])) == [text]


@pytest.mark.parametrize("bad", ["\0", "a\0b", "\ud800", "x\udfffy", "\ud83d \ude00"])
def test_what_databases_refuse_is_replaced_at_the_boundary(db: Database, store: PassageStore, bad: str) -> None:
    [number] = keep(store, bad, place=bad)
    assert store.get(number).text == store.get(number).place == storable(bad)
    assert "\ufffd" in store.get(number).text


@settings(max_examples=40)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=8))
def test_any_text_comes_back(db: Database, some: list[str]) -> None:
    store = PassageStore(db, new_agent(db), Topics())
    numbers = keep(store, *some)
    assert [store.get(number).text for number in numbers] == [storable(text) for text in some]


def test_a_long_text_is_kept_whole(db: Database, store: PassageStore) -> None:
    text = "".join(f"Line {n} of a long text, with an ü.\n" for n in range(30_000))
    [number] = keep(store, text)
    assert store.get(number).text == text


# Paging ---------------------------------------------------------------------------------------------------------------


def test_pages_hold_everything_once_in_one_order(store: PassageStore) -> None:
    keep(store, *(f"text {n}" for n in range(1, 24)))
    pages = [store.get_all(start, 5) for start in range(0, 30, 5)]
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3, 0]
    assert [found.note for page in pages for found in page] == list(range(23, 0, -1)), "the newest note first"
    assert store.size() == 23


def test_parts_of_a_note_stay_in_their_order(db: Database, store: PassageStore) -> None:
    with db.write() as tx:
        store.insert_many(tx, [passage(f"{note}.{part}", note, part) for part in (2, 0, 1) for note in (1, 2)])
    assert texts(store.get_all()) == ["2.0", "2.1", "2.2", "1.0", "1.1", "1.2"]


def test_a_page_past_the_end_is_empty(store: PassageStore) -> None:
    keep(store, "one")
    assert store.get_all(1) == store.get_all(10**9) == []


def test_going_through_all_meets_each_once_and_what_comes_in_meanwhile(db: Database, store: PassageStore) -> None:
    keep(store, *(f"text {n}" for n in range(10)))
    met = []
    for page in store.get_all_paginated(4):
        if not met:
            keep(store, "late", first=100)
            with db.write() as tx:
                store.delete(tx, 10)  # it stands on a later page
        met += texts(page)
    assert met == [*(f"text {n}" for n in range(9)), "late"]


def test_pages_stay_true_when_something_is_taken_back(db: Database, store: PassageStore) -> None:
    keep(store, *(f"kept {n}" for n in range(5)), turn=1)
    keep(store, *(f"gone {n}" for n in range(5)), first=6, turn=2)
    with db.write() as tx:
        store.undo_turn(tx, 2, NOW)
    assert texts(store.get_all(0, 3)) == ["kept 4", "kept 3", "kept 2"]
    assert store.size() == len(store.get_all()) == 5
    assert sum(map(len, store.get_all_paginated(2))) == 5


def test_it_tells_what_was_loaded(store: PassageStore) -> None:
    keep(store, "one", place="b.md")
    keep(store, "two", "three", first=2, place="a.md")
    keep(store, "a note", first=4)
    assert store.list_loaded_data() == ["a.md", "b.md"]


# Filters --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def library(db: Database) -> PassageStore:
    """Six passages about walks, told apart by tag, day and place."""
    store = PassageStore(db, new_source(db), Topics())
    for note, (tags, day, place) in enumerate(
        [
            (("red",), 1, "a.md"), (("red", "blue"), 2, "a.md"), (("blue",), 3, "b.md"),
            ((), 4, "b.md"), (("redder",), 5, "c.md"), (("Red",), 6, "c.md"),
        ],
        1,
    ):  # fmt: skip
        when = datetime(2026, 5, day, 23, 30, tzinfo=timezone(timedelta(hours=2)))
        keep(store, f"a walk number {note}", first=note, tags=tags, place=place, created=when)
    return store


@pytest.mark.parametrize("how", ["words", "vector"])
@pytest.mark.parametrize(
    "filters, expected",
    [
        ({}, {1, 2, 3, 4, 5, 6}),
        ({"tags": ["red"]}, {1, 2}),
        ({"tags": ["red", "blue"]}, {2}),
        ({"tags": ["re"]}, set()),
        ({"places": ["a.md"]}, {1, 2}),
        ({"places": ["a.md", "c.md"]}, {1, 2, 5, 6}),
        ({"places": ["A.md"]}, set()),
        ({"since": date(2026, 5, 3)}, {3, 4, 5, 6}),
        ({"until": date(2026, 5, 3)}, {1, 2, 3}),
        ({"since": date(2026, 5, 2), "until": date(2026, 5, 2)}, {2}),
        ({"since": date(2026, 5, 4), "tags": ["red"]}, set()),
        ({"until": date(2026, 5, 4), "tags": ["blue"], "places": ["b.md"]}, {3}),
    ],
)  # fmt: skip
def test_filters_hold_for_words_and_for_vectors(library: PassageStore, how: str, filters: dict, expected: set) -> None:
    if how == "words":
        found = by_words(library, "walk", **filters)
    else:
        found = library.query(vector=library.vectors_of(["a walk number"])[0], **filters)
    assert {each.note for each in found} == expected


def test_a_filter_is_applied_inside_the_search_not_after_it(db: Database, store: PassageStore) -> None:
    numbers_with(store, *[axis(1.0)] * 400)
    with db.write() as tx:
        store.insert_many(tx, [passage("far but right", 1000, tags=("rare",))], [axis(0.1, 1.0)])
    assert texts(store.query(vector=axis(1.0), count=3, tags=["rare"])) == ["far but right"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_is_asked_for_is_syntax(db: Database, store: PassageStore, hostile: str) -> None:
    keep(store, "other words", "more of them")
    [number] = keep(store, f"before {hostile} after", first=9, tags=(hostile,), place=hostile)
    found = by_words(store, f"before {hostile}", tags=[hostile], places=[hostile])
    assert [each.id for each in found] == [number]
    assert number in {each.id for each in store.query(f"before {hostile}")}, "by words and meaning as well"
    assert store.size() == 3 and db.rows("SELECT count(*) FROM agents")[0][0] > 0


@pytest.mark.parametrize("wild", ["%", "_", "\\", "我%", "喜_跑"])
def test_a_wildcard_stands_for_itself(store: PassageStore, wild: str) -> None:
    keep(store, "我喜欢跑步", "nothing of the kind", f"this has {wild} in it")
    assert f"this has {wild} in it" in texts(by_words(store, wild, count=1))


def test_words_and_meaning_are_searched_as_one(store: PassageStore) -> None:
    keep(store, "a walk in town", "a song of the sea", "nothing at all")
    assert texts(store.query("town walk", count=1)) == ["a walk in town"]
    meant = store.vectors_of(["a song of the sea"])[0]
    assert set(texts(store.query("walk", meant, count=2))) == {"a walk in town", "a song of the sea"}
    assert texts(store.query(vector=meant, count=1)) == ["a song of the sea"]
    assert store.query() == [] and by_words(store, "elephants") == []


# Finding by meaning ---------------------------------------------------------------------------------------------------


def test_it_is_told_where_each_word_stands_and_how_strongly(db: Database, store: PassageStore) -> None:
    often, once, none = keep(store, "owls, owls and an owl", "one owl and some mice that ran here", "nothing of it")
    keep(PassageStore(db, new_agent(db), None), "an owl of somebody else")
    index = db.words(Texts("passages", "text", "shelf", "t.undone IS NULL"))
    owl, mice, side, gone = index.spread(Words(("owl", "Mice"), ("some mice", "zebra")), [store.shelf])
    assert [list(found.rows) for found in (owl, mice, side, gone)] == [[often, once], [once], [once], []]
    strengths = list(owl.strengths)
    assert strengths[0] > strengths[1] > 0 and 0.3 < strengths[1] < 2.2
    [within] = index.spread(Words(("owl",)), [store.shelf], where="t.id > ?", values=[often])
    assert list(within.rows) == [once]
    assert none not in (*owl.rows, *mice.rows)


def test_the_nearest_come_first_and_say_how_near(store: PassageStore) -> None:
    same, near, far, _ = numbers_with(store, axis(1.0), axis(1.0, 0.5), axis(0.2, 1.0), axis(0.0, 0.0, 1.0))
    found = index_of(store).near(axis(1.0), 3, [store.shelf])
    assert list(found) == [same, near, far]
    assert found[same] == pytest.approx(1.0, abs=1e-5)
    assert found[near] == pytest.approx(1 / 1.25**0.5, abs=1e-5)


def test_more_are_wanted_than_there_are(store: PassageStore) -> None:
    numbers = numbers_with(store, axis(1.0), axis(0.0, 1.0))
    assert index_of(store).near(axis(1.0), 50, [store.shelf]).keys() == set(numbers)


def test_what_points_away_is_further_than_what_has_nothing_in_common(store: PassageStore) -> None:
    away, nothing, alike = numbers_with(store, axis(-1.0), axis(0.0, 1.0), axis(1.0))
    assert list(index_of(store).near(axis(1.0), 9, [store.shelf])) == [alike, nothing, away]


def test_nothing_is_near_where_nothing_is(db: Database, store: PassageStore) -> None:
    index = index_of(store)
    assert not index.any([store.shelf]) and index.near(axis(1.0), 5, [store.shelf]) == {}
    assert index.closeness([axis(1.0)], [1, 2], [store.shelf]) == [{}]
    assert not index.any([]) and index.near(axis(1.0), 5, []) == {}
    numbers_with(store, axis(1.0))
    assert index.any([store.shelf]) and not index.any([new_agent(db)])


def test_only_those_that_are_asked_for_are_found(store: PassageStore) -> None:
    numbers = numbers_with(store, *(axis(1.0, n / 10) for n in range(20)))
    index = index_of(store)
    assert list(index.near(axis(1.0), 3, [store.shelf], numbers[10:])) == numbers[10:13]
    assert index.near(axis(1.0), 3, [store.shelf], []) == {}
    assert index.near(axis(1.0), 3, [store.shelf], [10**15]) == {}
    many = [*range(10**9, 10**9 + 5000), numbers[7]]
    assert list(index.near(axis(1.0), 3, [store.shelf], many)) == [numbers[7]], "however many they are"


def test_closeness_of_some(db: Database, store: PassageStore) -> None:
    first, second = numbers_with(store, axis(1.0), axis(0.0, 1.0))
    with db.write() as tx:
        bare = store.insert(tx, passage("without a vector", 9))
    both = [axis(1.0), axis(0.0, 1.0)]
    one, other = index_of(store).closeness(both, [bare, second, first, 10**15], [store.shelf])
    assert one == {first: pytest.approx(1.0, abs=1e-5), second: pytest.approx(0.0, abs=1e-5)}
    assert other == {first: pytest.approx(0.0, abs=1e-5), second: pytest.approx(1.0, abs=1e-5)}
    assert index_of(store).closeness(both, [first], [new_agent(db)]) == [{}, {}]
    assert index_of(store).closeness(both, [bare, second, first], [store.shelf], sure=True) == [one, other]


def test_several_shelves_are_searched_as_one(db: Database) -> None:
    stores = [PassageStore(db, new_agent(db), Topics()) for _ in range(3)]
    numbers = [numbers_with(store, axis(1.0, n / 10)) for n, store in enumerate(stores)]
    found = index_of(stores[0]).near(axis(1.0), 10, [stores[0].shelf, stores[2].shelf])
    assert list(found) == [*numbers[0], *numbers[2]]


def test_a_vector_of_zeros_is_near_to_nothing(store: PassageStore) -> None:
    zero, one = numbers_with(store, axis(0.0), axis(1.0))
    found = index_of(store).near(axis(1.0), 5, [store.shelf])
    assert found[one] == pytest.approx(1.0, abs=1e-5) and found.get(zero, 0.0) == pytest.approx(0.0, abs=1e-5)
    assert index_of(store).near(axis(0.0), 5, [store.shelf]).keys() <= {zero, one}


def test_what_is_new_is_found_at_once(place: Place, store: PassageStore) -> None:
    numbers_with(store, axis(0.0, 1.0))
    assert len(index_of(store).near(axis(1.0), 9, [store.shelf])) == 1
    [second] = numbers_with(store, axis(1.0), first=2)
    assert next(iter(index_of(store).near(axis(1.0), 9, [store.shelf]))) == second
    with place.opened() as other:
        [third] = numbers_with(PassageStore(other, store.shelf, Topics()), axis(1.0, 0.1), first=3)
    assert list(index_of(store).near(axis(1.0), 2, [store.shelf])) == [second, third], "whoever stored it"


def test_what_is_deleted_is_gone_at_once(place: Place, db: Database, store: PassageStore) -> None:
    numbers = numbers_with(store, *(axis(1.0, n / 10) for n in range(6)))
    index = index_of(store)
    assert list(index.near(axis(1.0), 2, [store.shelf])) == numbers[:2]
    with db.write() as tx:
        assert store.delete(tx, 1) == 1
    assert list(index.near(axis(1.0), 2, [store.shelf])) == numbers[1:3]
    with place.opened() as other, other.write() as tx:
        PassageStore(other, store.shelf, None).delete(tx, 2)
    assert list(index.near(axis(1.0), 2, [store.shelf])) == numbers[2:4], "whoever deleted it"
    assert index.closeness([axis(1.0)], numbers, [store.shelf])[0].keys() == set(numbers[2:])


def test_what_is_taken_back_is_gone_at_once(db: Database, store: PassageStore) -> None:
    keep(store, "a walk", turn=1)
    keep(store, "a walk in town", first=2, turn=2)
    vector = store.vectors_of(["a walk in town"])[0]
    assert texts(store.query(vector=vector)) == ["a walk in town", "a walk"]
    with db.write() as tx:
        assert store.undo_turn(tx, 2, NOW) == 1
        assert store.undo_turn(tx, 2, NOW) == 0
    assert texts(store.query(vector=vector)) == texts(by_words(store, "walk town")) == ["a walk"]


def test_what_was_not_committed_is_not_found(db: Database, store: PassageStore) -> None:
    index = index_of(store)
    with pytest.raises(KeyboardInterrupt), db.write() as tx:
        store.insert_many(tx, [passage("never")], [axis(1.0)])
        raise KeyboardInterrupt
    assert index.near(axis(1.0), 5, [store.shelf]) == {} and not index.any([store.shelf])
    [number] = numbers_with(store, axis(1.0))
    assert list(index.near(axis(1.0), 5, [store.shelf])) == [number]


def test_a_vector_that_is_made_anew_counts(db: Database, store: PassageStore) -> None:
    one, two = numbers_with(store, axis(1.0), axis(0.0, 1.0))
    index = index_of(store)
    assert next(iter(index.near(axis(1.0), 1, [store.shelf]))) == one
    with db.write() as tx:
        for number, vector in ((one, axis(0.0, 1.0)), (two, axis(1.0))):
            store.waiting.keep(tx, number, vector)
    assert list(index.near(axis(1.0), 1, [store.shelf])) == [two]
    assert index.near(axis(1.0), 2, [store.shelf])[one] == pytest.approx(0.0, abs=1e-5)


def test_many_deleted_do_not_hide_those_that_are_left(db: Database, store: PassageStore) -> None:
    numbers = numbers_with(store, *(axis(1.0, n / 1000) for n in range(300)))
    index = index_of(store)
    index.near(axis(1.0), 5, [store.shelf])
    with db.write() as tx:
        for note in range(1, 291):
            store.delete(tx, note)
    assert list(index.near(axis(1.0), 5, [store.shelf])) == numbers[290:295]


def test_the_vectors_of_messages_are_found_too(db: Database, agent: str) -> None:
    say(db, agent, "hello", "good bye", "again")
    items = [row[0] for row in db.rows("SELECT id FROM messages WHERE agent = ? ORDER BY seq", agent)]
    with db.write() as tx:
        tx.add_many(
            "INSERT INTO messages_vectors (item, shelf, model, vector) VALUES (?, ?, 'topics', ?)",
            [(items[0], agent, axis(1.0)), (items[1], agent, axis(1.0, 1.0))],
        )
    index = db.vectors("messages", "topics", DIMENSION)
    assert list(index.near(axis(1.0), 5, [agent])) == items[:2]
    with db.write() as tx:
        tx.run("UPDATE messages SET undone = ? WHERE agent = ? AND seq = 1", NOW.isoformat(), agent)
    assert list(index.near(axis(1.0), 5, [agent])) == items[1:2]


def test_saving_what_is_kept_for_speed_changes_nothing(db: Database, store: PassageStore) -> None:
    store.save()
    [number] = numbers_with(store, axis(1.0))
    store.save()
    assert list(index_of(store).near(axis(1.0), 5, [store.shelf])) == [number]
    PassageStore(db, store.shelf, None).save()


# Models and dimensions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [1, DIMENSION - 1, DIMENSION + 1, 1536])
def test_a_vector_of_another_dimension_is_refused_with_both_named(
    db: Database, store: PassageStore, wrong: int
) -> None:
    odd = axis(1.0, dimension=wrong)
    keep(store, "right")
    with pytest.raises(EmbeddingError) as refused, db.write() as tx:
        store.insert(tx, passage("wrong", 2), odd)
    assert {str(DIMENSION), str(wrong)} <= set(refused.value.message.replace(",", " ").replace(".", " ").split())
    for ask in (
        lambda: index_of(store).near(odd, 3, [store.shelf]),
        lambda: index_of(store).closeness([odd], [1], [store.shelf]),
    ):
        with pytest.raises(StorageError) as refused:
            ask()
        assert {str(DIMENSION), str(wrong)} <= set(refused.value.message.replace(",", " ").replace(".", " ").split())
    assert texts(store.get_all()) == ["right"], "nothing of it was kept"


def test_another_model_makes_its_own_vectors(db: Database, store: PassageStore) -> None:
    keep(store, "a walk", "a song")
    newer = PassageStore(db, store.shelf, Topics("newer", 24))
    assert not index_of(newer).any([store.shelf]) and newer.query(vector=axis(1.0, dimension=24)) == []
    assert newer.catch_up() == 2 and newer.catch_up() == 0
    assert texts(newer.query(vector=newer.vectors_of(["song"])[0], count=1)) == ["a song"]
    assert not index_of(store).any([store.shelf]), "there is one vector of a passage"
    assert index_of(store).near(axis(1.0), 5, [store.shelf]) == {}
    assert store.catch_up() == 2
    assert texts(store.query(vector=store.vectors_of(["walk"])[0], count=1)) == ["a walk"]


def test_the_same_model_in_another_dimension_is_another_model(db: Database, store: PassageStore) -> None:
    keep(store, "a walk")
    wider = PassageStore(db, store.shelf, Topics("topics", 32))
    assert not index_of(wider).any([store.shelf])
    assert index_of(wider).near(axis(1.0, dimension=32), 5, [store.shelf]) == {}
    assert wider.catch_up() == 1
    assert texts(wider.query(vector=wider.vectors_of(["walk"])[0])) == ["a walk"]


def test_two_models_stand_beside_each_other(db: Database, store: PassageStore) -> None:
    other = PassageStore(db, new_agent(db), Topics("other/model: with 'signs' é", 8))
    keep(store, "mine")
    keep(other, "theirs")
    assert texts(store.query(vector=store.vectors_of(["mine"])[0])) == ["mine"]
    assert texts(other.query(vector=other.vectors_of(["theirs"])[0])) == ["theirs"]
    assert index_of(store).near(axis(1.0), 5, [other.shelf]) == {}


def test_what_has_no_vector_yet_is_found_by_words_and_embedded_later(db: Database, store: PassageStore) -> None:
    with db.write() as tx:
        store.insert_many(tx, [passage(f"a walk {n}", n) for n in range(1, 8)])
    assert len(by_words(store, "walk")) == 7 and not index_of(store).any([store.shelf])
    assert [store.catch_up(3), store.catch_up(3), store.catch_up(3), store.catch_up(3)] == [3, 3, 1, 0]
    assert len(index_of(store).near(store.vectors_of(["walk"])[0], 9, [store.shelf])) == 7


# Updating, deleting, taking back --------------------------------------------------------------------------------------


def test_tags_are_changed_for_all_parts_of_a_note(db: Database, store: PassageStore) -> None:
    with db.write() as tx:
        store.insert_many(tx, [passage(f"part {part}", 1, part, tags=("old",)) for part in range(3)])
        store.insert(tx, passage("another", 2, tags=("old",)))
        store.update_tags(tx, 1, ["new", "ünd 'more'"])
    assert [found.tags for found in store.get_all()] == [("old",), *[("new", "ünd 'more'")] * 3]
    assert texts(by_words(store, "part another", tags=["old"])) == ["another"]
    assert len(by_words(store, "part", tags=["ünd 'more'"])) == 3


def test_a_deleted_note_is_gone_from_everywhere(db: Database, store: PassageStore) -> None:
    one, two = keep(store, "the first walk", "the second walk")
    with db.write() as tx:
        assert store.delete(tx, 1) == 1
        assert store.delete(tx, 1) == store.delete(tx, 77) == 0
    assert store.get(one) is None and store.size() == 1
    assert texts(store.get_all()) == texts(by_words(store, "walk")) == ["the second walk"]
    assert texts([p for page in store.get_all_paginated() for p in page]) == ["the second walk"]
    assert [row[0] for row in db.rows("SELECT item FROM passages_vectors WHERE shelf = ?", store.shelf)] == [two]


def test_what_is_taken_back_is_not_listed_and_not_counted(db: Database, store: PassageStore) -> None:
    [kept], [gone] = keep(store, "kept", turn=1), keep(store, "gone", first=2, turn=2)
    with db.write() as tx:
        store.undo_turn(tx, 2, NOW)
    assert store.get(gone) is None and store.get(kept) is not None
    assert store.size() == 1 and by_words(store, "gone") == [] and store.list_loaded_data() == []
    assert db.rows("SELECT count(*) FROM passages WHERE shelf = ?", store.shelf)[0][0] == 2, "it is there as undone"


def test_an_agent_goes_with_all_it_has(db: Database, store: PassageStore) -> None:
    name, other = f"goes-{uuid4().hex}", PassageStore(db, new_agent(db), Topics())
    going = PassageStore(db, new_agent(db, name=name), Topics())
    for each in (going, other):
        keep(each, "a walk")
        say(db, each.shelf, "hello")
    Roster(db, "me").delete(name)
    for table in ("passages", "passages_vectors", "messages"):
        assert contents(db, table, going.shelf) == [] and len(contents(db, table, other.shelf)) == 1
    assert RecallMemory(db, going.shelf).search("hello").total == 0 and by_words(going, "walk") == []
    assert index_of(going).near(going.vectors_of(["walk"])[0], 5, [going.shelf, other.shelf]).keys() == {
        found.id for found in other.get_all()
    }


# Isolation and sharing ------------------------------------------------------------------------------------------------


def test_agents_do_not_see_each_other(db: Database) -> None:
    one, two = (PassageStore(db, new_agent(db), Topics()) for _ in range(2))
    keep(one, "a secret walk")
    keep(two, "an open walk")
    say(db, one.shelf, "the secret is out")
    say(db, two.shelf, "nothing is secret")
    assert texts(by_words(two, "walk secret")) == texts(two.get_all()) == ["an open walk"]
    assert texts(two.query(vector=two.vectors_of(["a secret walk"])[0])) == ["an open walk"]
    recall = RecallMemory(db, two.shelf)
    assert texts(recall.search("secret").results) == texts(recall.search_dates(None, None).results)
    assert recall.total() == 1


def test_one_agent_can_not_change_anothers(db: Database) -> None:
    one, two = (PassageStore(db, new_agent(db), Topics()) for _ in range(2))
    keep(one, "a walk", tags=("mine",), turn=1)
    before = contents(db, "passages", one.shelf)
    with db.write() as tx:
        assert two.delete(tx, 1) == two.undo_turn(tx, 1, NOW) == 0
        two.update_tags(tx, 1, ["theirs"])
    assert contents(db, "passages", one.shelf) == before


def test_owners_do_not_see_each_other(db: Database) -> None:
    mine, theirs = f"me-{uuid4().hex}", f"them-{uuid4().hex}"
    agent = new_agent(db, mine, "ada")
    source = new_source(db, mine, "papers")
    assert [entry.name for entry in Roster(db, mine).all()] == ["ada"] and Roster(db, theirs).all() == []
    assert Sources(db, theirs).all() == [] and not Roster(db, theirs).exists("ada")
    for forbidden in (Roster(db, theirs).find, Roster(db, theirs).delete, Sources(db, theirs).find):
        with pytest.raises(NotFound):
            forbidden("ada" if forbidden.__self__.__class__ is Roster else "papers")
    stranger = new_agent(db, theirs, "ada")
    with db.write() as tx:
        assert not Sources(db, theirs).attach(tx, source, stranger, NOW)
        assert not Sources(db, mine).attach(tx, source, stranger, NOW)
        Sources(db, theirs).delete(tx, source)
        assert Sources(db, mine).attach(tx, source, agent, NOW)
    assert attached(db, stranger) == {} and attached(db, agent) == {source: "papers"}


def test_an_attached_source_is_shared_and_not_copied(db: Database) -> None:
    owner = f"me-{uuid4().hex}"
    agents = [new_agent(db, owner) for _ in range(3)]
    source, sources = new_source(db, owner, "papers"), Sources(db, owner)
    keep(PassageStore(db, source, Topics()), "the speed of light", place="physics.md")
    with db.write() as tx:
        assert [sources.attach(tx, source, agent, NOW) for agent in agents] == [True] * 3
        assert not sources.attach(tx, source, agents[0], NOW)
    for agent in agents:
        [found] = ArchivalMemory(db, agent, Topics()).search("light").results
        assert (found.text, found.source, found.place) == ("the speed of light", "papers", "physics.md")
    assert len(contents(db, "passages", source)) == 1
    with db.write() as tx:
        assert sources.detach(tx, source, agents[0]) and not sources.detach(tx, source, agents[0])
    assert ArchivalMemory(db, agents[0], Topics()).search("light").total == 0
    assert ArchivalMemory(db, agents[1], Topics()).search("light").total == 1


def test_a_source_goes_with_its_passages_for_everyone(db: Database) -> None:
    owner = f"me-{uuid4().hex}"
    agent, source = new_agent(db, owner), new_source(db, owner, "papers")
    keep(PassageStore(db, source, Topics()), "the speed of light")
    with db.write() as tx:
        Sources(db, owner).attach(tx, source, agent, NOW)
        Sources(db, owner).delete(tx, source)
    assert attached(db, agent) == {} and Sources(db, owner).all() == []
    assert contents(db, "passages", source) == contents(db, "passages_vectors", source) == []
    assert ArchivalMemory(db, agent, Topics()).search("light").total == 0


@pytest.mark.parametrize("name", ["it's", 'say "so"', "100%", "a_b", "back\\slash", "été 東京", "-- x", "semi;colon"])
def test_names_are_only_names(db: Database, name: str) -> None:
    owner = f"owner of {name} {uuid4().hex}"
    source = new_source(db, owner, name)
    assert Sources(db, owner).find(name).id == source
    agent = new_agent(db, owner, "ada")
    with db.write() as tx:
        Sources(db, owner).attach(tx, source, agent, NOW)
    assert attached(db, agent) == {source: name}
    with pytest.raises(NotFound):
        Sources(db, owner).find(name + "%")


# Transactions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_what_is_rolled_back_leaves_nothing(db: Database, store: PassageStore, error: type[BaseException]) -> None:
    keep(store, "before", tags=("t",), turn=1)
    before = {table: contents(db, table, store.shelf) for table in ("passages", "passages_vectors", "messages")}
    with pytest.raises(error), db.write() as tx:
        store.insert_many(tx, [passage("during", 2)], [axis(1.0)])
        store.update_tags(tx, 1, ["changed"])
        store.undo_turn(tx, 1, NOW)
        store.delete(tx, 1)
        tx.run(
            "INSERT INTO messages (agent, seq, turn, role, kind, content, said, created) "
            "VALUES (?, 1, 1, 'user', 'user', 'during', 'during', ?)",
            store.shelf, NOW.isoformat(),
        )  # fmt: skip
        raise error
    assert {table: contents(db, table, store.shelf) for table in before} == before
    assert by_words(store, "during") == [] and texts(by_words(store, "before")) == ["before"]
    assert RecallMemory(db, store.shelf).search("during").total == 0
    keep(store, "after", first=2)
    assert store.size() == 2


def test_a_failed_statement_undoes_its_whole_transaction(db: Database, store: PassageStore) -> None:
    with pytest.raises(StorageError), db.write() as tx:
        store.insert(tx, passage("first", 1))
        tx.run("INSERT INTO no_such_table VALUES (?)", 1)
    with pytest.raises(StorageError), db.write() as tx:
        store.insert(tx, passage("second", 1))
        tx.run("INSERT INTO messages (agent, seq) VALUES (?, ?)", store.shelf, None)
    assert store.size() == 0
    keep(store, "works again")
    assert store.size() == 1


def test_a_row_needs_its_agent(db: Database) -> None:
    with pytest.raises(StorageError):
        say(db, "nobody", "hello")
    assert RecallMemory(db, "nobody").total() == 0


def test_writing_tells_numbers_and_counts_and_sees_itself(db: Database, store: PassageStore) -> None:
    insert = "INSERT INTO passages (shelf, note, part, text, created) VALUES (?, ?, 0, ?, ?)"
    with db.write() as tx:
        first = tx.add(insert, store.shelf, 1, "one", NOW.isoformat())
        more = tx.add_many(insert, [(store.shelf, note, f"text {note}", NOW.isoformat()) for note in range(2, 6)])
        assert tx.rows("SELECT count(*) FROM passages WHERE shelf = ?", store.shelf)[0][0] == 5
        assert tx.run("UPDATE passages SET text = text || '!' WHERE shelf = ? AND note > 3", store.shelf) == 2
        assert tx.run("DELETE FROM passages WHERE shelf = ? AND note = 99", store.shelf) == 0
        assert tx.add_many(insert, []) == []
    assert [first, *more] == sorted({first, *more})
    assert [store.get(number).text for number in [first, *more]] == ["one", "text 2", "text 3", "text 4!", "text 5!"]


def test_others_see_a_transaction_when_it_is_done(place: Place, db: Database, store: PassageStore) -> None:
    with place.opened() as other:
        beside = PassageStore(other, store.shelf, Topics())
        with db.write("agent", hasty=True) as tx:  # that one does not wait for the disk is no matter
            store.insert_many(tx, [passage("new")], [axis(1.0)])
            assert beside.size() == 0 and by_words(beside, "new") == []
            assert index_of(beside).near(axis(1.0), 5, [store.shelf]) == {}
        assert beside.size() == 1 and texts(by_words(beside, "new")) == ["new"]
        assert len(index_of(beside).near(axis(1.0), 5, [store.shelf])) == 1


def test_a_transaction_inside_another_is_refused(db: Database, store: PassageStore) -> None:
    with pytest.raises(StorageError, match="inside another"), db.write() as tx:
        store.insert(tx, passage("outer"))
        with db.write() as inner:
            store.insert(inner, passage("inner", 2))
    assert store.size() == 0


def test_a_snapshot_is_of_one_moment(place: Place, db: Database, store: PassageStore) -> None:
    keep(store, "before")
    with place.opened() as other, db.snapshot():
        assert texts(store.get_all()) == ["before"]
        keep(PassageStore(other, store.shelf, Topics()), "meanwhile", first=2)
        assert texts(store.get_all()) == texts(by_words(store, "before meanwhile")) == ["before"]
        assert store.size() == 1
    assert store.size() == 2


# Many at once ---------------------------------------------------------------------------------------------------------


def test_threads_write_at_once(db: Database) -> None:
    stores = [PassageStore(db, new_agent(db), Topics()) for _ in range(6)]

    def work(store: PassageStore) -> list[int]:
        return [number for n in range(1, 16) for number in keep(store, f"text {n}", first=n)]

    with ThreadPoolExecutor(6) as pool:
        numbers = [number for some in pool.map(work, stores) for number in some]
    assert len(set(numbers)) == 6 * 15
    for store in stores:
        assert texts(store.get_all()) == [f"text {n}" for n in range(15, 0, -1)]
        assert len(index_of(store).near(store.vectors_of(["text"])[0], 50, [store.shelf])) == 15


def test_threads_that_count_on_one_shelf_do_not_miscount(db: Database, store: PassageStore) -> None:
    def work(_: int) -> None:
        for _ in range(8):
            with db.write() as tx:
                last = tx.rows("SELECT max(note) FROM passages WHERE shelf = ?", store.shelf)[0][0] or 0
                store.insert(tx, passage("one more", last + 1))

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, range(5)))
    assert [found.note for found in store.get_all(limit=100)] == list(range(40, 0, -1))


def test_threads_search_while_others_write(db: Database, store: PassageStore) -> None:
    done, errors = threading.Event(), []

    def search() -> None:
        vector, seen = store.vectors_of(["text"])[0], 0
        while not done.is_set():
            try:
                found = index_of(store).near(vector, 100, [store.shelf])
                assert len(found) >= seen, "what was found once is found again"
                seen = len(found)
            except BaseException as error:
                errors.append(error)
                return

    searching = [threading.Thread(target=search) for _ in range(2)]
    for thread in searching:
        thread.start()
    for note in range(1, 31):
        keep(store, f"text {note}", first=note)
    done.set()
    for thread in searching:
        thread.join()
    assert errors == [] and len(by_words(store, "text", count=50)) == 30


WRITE = """
from storages import Topics, keep
from memagent.memory.passages import PassageStore
shelf, first = words[0], int(words[1])
store = PassageStore(database, shelf, Topics())
for note in range(first, first + 10):
    keep(store, f"text {note}", first=note)
    found = database.vectors("passages", "topics", 16).near(store.vectors_of([f"text {note}"])[0], 500, [shelf])
print(len(found) >= 10)
"""


@pytest.mark.slow
def test_processes_write_and_search_at_once(place: Place, store: PassageStore) -> None:
    started = [place.start(WRITE, store.shelf, str(100 * n)) for n in range(1, 4)]
    assert [process.communicate()[0].strip() for process in started] == ["True"] * 3
    assert store.size() == 30
    assert len(index_of(store).near(store.vectors_of(["text"])[0], 99, [store.shelf])) == 30


KILLED = """
import os, signal
from storages import Topics, keep, passage
from memagent.memory.passages import PassageStore
store = PassageStore(database, words[0], Topics())
keep(store, "kept")
database.vectors("passages", "topics", 16).near(store.vectors_of(["kept"])[0], 5, [words[0]])
with database.write() as tx:
    store.insert_many(tx, [passage("never", 2)], store.vectors_of(["never"]))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_whole_transactions(place: Place, store: PassageStore) -> None:
    process = place.start(KILLED, store.shelf)
    process.communicate()
    assert process.returncode == -9
    assert texts(store.get_all()) == ["kept"] == texts(by_words(store, "kept never"))
    assert len(index_of(store).near(store.vectors_of(["never"])[0], 5, [store.shelf])) == 1
    keep(store, "after", first=2)
    assert texts(by_words(store, "after")) == ["after"]


# Restart --------------------------------------------------------------------------------------------------------------


def test_everything_is_there_after_a_restart(fresh: Place) -> None:
    with fresh.opened() as database:
        agent = new_agent(database, "me", "ada")
        store = PassageStore(database, agent, Topics())
        numbers = keep(store, "a walk", "a song", TEXTS["emoji"], tags=("t",), place="a.md", turn=3)
        say(database, agent, "hello there")
        near = index_of(store).near(store.vectors_of(["song"])[0], 3, [agent])
        before = {table: contents(database, table, agent) for table in ("passages", "passages_vectors", "messages")}
    with fresh.opened() as database:
        store = PassageStore(database, Roster(database, "me").find("ada").id, Topics())
        assert {table: contents(database, table, store.shelf) for table in before} == before
        assert index_of(store).near(store.vectors_of(["song"])[0], 3, [store.shelf]) == pytest.approx(near)
        assert texts(by_words(store, "song")) == ["a song"]
        assert RecallMemory(database, store.shelf).search("hello").total == 1
        assert keep(store, "later", first=9)[0] > max(numbers)


def test_closing_twice_and_opening_twice_is_allowed(fresh: Place) -> None:
    first, second = fresh.open(), fresh.open()
    agent = new_agent(first)
    first.close()
    first.close()
    assert [row[0] for row in second.rows("SELECT id FROM agents")] == [agent]
    second.close()


# What was said --------------------------------------------------------------------------------------------------------


def test_what_was_said_is_found_by_words_and_by_day(db: Database, agent: str) -> None:
    say(db, agent, "I like jazz", "Jazz, and blues", first=datetime(2026, 5, 1, 10, tzinfo=UTC))
    say(db, agent, "Jazz again", role="assistant", first=datetime(2026, 5, 2, 10, tzinfo=UTC))
    recall = RecallMemory(db, agent)
    assert recall.search("JAZZ", size=2).total == recall.total() == 3
    assert texts(recall.search("blues").results) == ["Jazz, and blues"]
    assert texts(recall.search_dates(date(2026, 5, 2), date(2026, 5, 2)).results) == ["Jazz again"]
    pages = [texts(recall.search_dates(None, None, page, 2).results) for page in range(3)]
    assert pages == [["I like jazz", "Jazz, and blues"], ["Jazz again"], []]


def test_instants_are_compared_whatever_zone_a_message_was_written_in(db: Database, agent: str) -> None:
    east, west = timezone(timedelta(hours=9)), timezone(timedelta(hours=-8))
    say(db, agent, "from the east", first=datetime(2026, 5, 2, 1, tzinfo=east))  # 16:01 UTC on the first
    say(db, agent, "from the west", first=datetime(2026, 5, 1, 7, tzinfo=west))  # 15:02 UTC on the first
    recall = RecallMemory(db, agent)
    after = recall.search_dates(datetime(2026, 5, 1, 15, 30, tzinfo=UTC), None)
    assert texts(after.results) == ["from the east"]
    until = recall.search_dates(None, datetime(2026, 5, 1, 15, 30, tzinfo=UTC))
    assert texts(until.results) == ["from the west"]


@pytest.mark.parametrize("query", [*HOSTILE[:1], *HOSTILE[6:13], "跑", "C++", "don't", "e-mail@example.com"])
def test_no_query_of_what_was_said_is_syntax(db: Database, agent: str, query: str) -> None:
    say(db, agent, f"it was {query} that she said", "something else 別")
    recall = RecallMemory(db, agent)
    assert texts(recall.search(f"she {query}", size=1).results) == [f"it was {query} that she said"]


def test_accents_and_forms_of_a_word_are_found(db: Database, agent: str) -> None:
    say(db, agent, "We visited cafés", "nothing")
    recall = RecallMemory(db, agent)
    for query in ("cafe", "café", "CAFÉS", "visiting"):
        assert texts(recall.search(query).results) == ["We visited cafés"], query


# Ten thousand ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ten_thousand_rows(fresh: Place) -> None:
    with fresh.opened() as database:
        store = PassageStore(database, new_source(database), Topics())
        count, size = 10_000, 2500
        for first in range(0, count, size):
            passages = [
                passage(f"record {n} of the list", n, tags=(f"t{n % 10}",), place=f"{n % 7}.md")
                for n in range(first, first + size)
            ]
            vectors = [axis(1.0, n / count, (n * 7919 % 101) / 101) for n in range(first, first + size)]
            with database.write() as tx:
                store.insert_many(tx, passages, vectors)
        assert store.size() == count
        assert [len(page) for page in store.get_all_paginated(3000)] == [3000, 3000, 3000, 1000]
        assert [found.note for found in store.get_all(9998)] == [1, 0]
        assert texts(by_words(store, "9876", count=1)) == ["record 9876 of the list"]
        # All of its numbers are known: what is nearest can be told without a search.
        exact = sorted(range(count), key=lambda n: (n / count) ** 2 + ((n * 7919 % 101) / 101) ** 2)
        assert [found.note for found in store.query(vector=axis(1.0), count=10)] == exact[:10]
        tagged = [n for n in exact if n % 10 == 3 and n % 7 == 2]
        found = store.query(vector=axis(1.0), count=10, tags=["t3"], places=["2.md"])
        assert [each.note for each in found] == tagged[:10]
        with database.write() as tx:
            for note in exact[:5]:
                store.delete(tx, note)
        assert [found.note for found in store.query(vector=axis(1.0), count=10)] == exact[5:15]
    with fresh.opened() as database:
        store = PassageStore(database, store.shelf, Topics())
        assert [found.note for found in store.query(vector=axis(1.0), count=10)] == exact[5:15]


# What the suite's own parts promise -----------------------------------------------------------------------------------


def test_json_is_kept_to_the_letter(db: Database) -> None:
    settings, name = {"a": [1, 2.5, None, True], "ü": {"'": '"'}}, f"json-{uuid4().hex}"
    with db.write() as tx:
        agent = Roster(db, "me").make(tx, name, settings, "You are …", NOW)
    assert Roster(db, "me").find(name).settings == settings
    assert json.loads(db.rows("SELECT settings FROM agents WHERE id = ?", agent)[0][0]) == settings
