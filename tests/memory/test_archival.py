"""Notes are kept whole, found by words and meaning, and gone the moment they are deleted or taken back."""

import logging
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import NOW, new_agent, new_database

from memagent.embeddings import packed
from memagent.errors import EmbeddingError, NotFound, ToolError
from memagent.memory import finding
from memagent.memory.archival import ArchivalMemory
from memagent.memory.finding import BY_MEANING, BY_WORDS
from memagent.messages import estimate
from memagent.sources.chunk import TOKENS
from memagent.storage.sqlite import SqliteDatabase

ABOUT = [
    {"pet", "dog", "cat", "puppy", "kitten", "animal"},
    {"music", "violin", "guitar", "song", "melody"},
    {"food", "bread", "soup", "dinner", "meal"},
]


class Topics:
    """An embedder that knows what a few words are about: one number for each topic, and one that is always 0."""

    def __init__(self, model="topics", dimension=4):
        self.model = model
        self.dimension = dimension
        self.asked = []
        self.broken = False

    def embed(self, texts):
        self.asked += texts
        if self.broken:
            raise EmbeddingError("The embedding service is away.")
        return [self._vector(text) for text in texts]

    def _vector(self, text):
        words = text.lower().split()
        return packed([*(sum(word in topic for word in words) for topic in ABOUT), 0.0])


@pytest.fixture
def db(tmp_path):
    database = new_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def agent(db):
    return new_agent(db)


@pytest.fixture
def embedder():
    return Topics()


@pytest.fixture
def archive(db, agent, embedder):
    return ArchivalMemory(db, agent, embedder)


def keep(archive, *texts, tags=(), turn=1, now=NOW):
    """Store texts as the PersistenceManager does; returns the parts of each."""
    parts = []
    for text in texts:
        prepared = archive.prepare(text, tags)
        with archive._database.write() as tx:
            parts.append(archive.store(tx, prepared, turn=turn, now=now))
    return parts


def texts(page):
    return [found.text for found in page.results]


def vectors(db):
    return db.rows("SELECT count(*) FROM passages_vectors")[0][0]


# Keeping --------------------------------------------------------------------------------------------------------------


def test_a_note_is_found_with_all_that_belongs_to_it(archive):
    when = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert keep(archive, "Bob's violin is from 1780.", tags=["Bob", "music"], now=when) == [1]
    [found] = archive.search("violin").results
    assert (found.text, found.when, found.source, found.id) == ("Bob's violin is from 1780.", when, "you", 1)
    assert found.tags == ("Bob", "music")


def test_a_long_text_is_one_note_in_parts(archive):
    text = "\n\n".join(f"Paragraph {n}. " + "It goes on for some words. " * 20 for n in range(10))
    [parts] = keep(archive, text)
    page = archive.all()
    assert parts == page.total == archive.total() == len(page.results) >= 5
    assert {found.id for found in page.results} == {1}
    assert all(estimate(found.text) <= TOKENS for found in page.results)
    assert [f"Paragraph {n}." in " ".join(texts(page)) for n in range(10)] == [True] * 10


def test_nothing_is_stored_by_preparing(archive, db):
    archive.prepare("a text")
    assert archive.total() == vectors(db) == 0


@pytest.mark.parametrize("text", ["", "  \n\t ", "\u2003"])
def test_there_must_be_a_text(archive, text):
    with pytest.raises(ToolError, match="no text"):
        archive.prepare(text)


def test_what_databases_refuse_is_replaced(archive, db):
    keep(archive, "before\0after \ud800 end", tags=["a\0b"])
    [found] = archive.search("before").results
    assert found.text == "before\ufffdafter \ufffd end"
    assert found.tags == ("a\ufffdb",)
    assert db.check() == []


def test_the_same_text_is_kept_once(archive, db, agent):
    long = "A long text that has several parts. " * 100
    first = keep(archive, "Bob likes jazz.", long)
    assert keep(archive, "Bob likes jazz.", " Bob likes jazz.\n", long, tags=["again"]) == [0, 0, 0]
    assert archive.prepare("Bob likes jazz.").parts == ()
    assert archive.total() == sum(first)
    assert keep(archive, "Bob likes jazz. And blues.", long + "One more.") != [0, 0]
    assert keep(ArchivalMemory(db, new_agent(db), None), "Bob likes jazz.") == [1]


def test_a_text_that_is_kept_again_gets_the_new_tags_too(archive, db):
    long = "A long text that has several parts. " * 100
    keep(archive, "Bob likes jazz.", long, tags=["music", "Bob"])
    keep(archive, "Bob likes jazz.", long, tags=["Bob", "friends"])
    tags = {found.tags for query in ("jazz", "long text") for found in archive.search(query).results}
    assert tags == {("music", "Bob", "friends")}, "every part has them all"
    keep(archive, "Bob likes jazz.", tags=[str(number) for number in range(20)])
    [found] = archive.search("jazz").results
    assert found.tags[:4] == ("music", "Bob", "friends", "0") and len(found.tags) == 20
    prepared = [archive.prepare("new", ["one"]), archive.prepare("new", ["two"])]
    with db.write() as tx:
        assert [archive.store(tx, each, turn=1, now=NOW) for each in prepared] == [1, 0]
    assert archive.search("new").results[0].tags == ("one", "two")


def test_the_same_text_twice_in_one_call_is_kept_once(archive, db):
    prepared = [archive.prepare("twice"), archive.prepare("twice")]
    with db.write() as tx:
        assert [archive.store(tx, each, turn=1, now=NOW) for each in prepared] == [1, 0]


def test_tags_are_checked_and_tidied(archive):
    assert archive.prepare("x", ["  a  b ", "a b", "c"]).tags == ("a b", "c")
    assert archive.prepare("x", "one").tags == ("one",)
    for tags in ([""], [" "], [3], ["x" * 61], [str(n) for n in range(21)]):
        with pytest.raises(ToolError, match="tag"):
            archive.prepare("x", tags)


@pytest.mark.slow
def test_ten_megabytes(db, agent):
    archive = ArchivalMemory(db, agent, None)
    text = "".join(f"Sentence number {n} says what it says.\n" for n in range(250_000))
    [parts] = keep(archive, text)
    assert parts == archive.total() > 8000
    assert "number 123456 says" in archive.search("123456", size=1).results[0].text


# Finding --------------------------------------------------------------------------------------------------------------


def test_meaning_is_found_without_a_word_in_common(archive):
    keep(archive, "My kitten is called Tom", "We had soup", "An old guitar")
    page = archive.search("animal")
    assert texts(page) == ["My kitten is called Tom"]
    assert page.total == 1


def test_words_and_meaning_together_come_first(archive):
    keep(archive, "a dog in the park", "a kitten in the house", "a kitten in the park", "the park is closed")
    found = texts(archive.search("puppy park"))
    assert set(found[:2]) == {"a dog in the park", "a kitten in the park"}
    assert set(found[2:]) == {"a kitten in the house", "the park is closed"}


def test_without_an_embedder_words_alone_are_found(db, agent):
    archive = ArchivalMemory(db, agent, None)
    keep(archive, "My kitten is called Tom", "We had soup")
    assert texts(archive.search("kitten")) == ["My kitten is called Tom"]
    assert archive.search("animal").total == 0
    assert archive.catch_up() == 0


def test_without_numpy_words_alone_are_found(db, agent, embedder, monkeypatch):
    monkeypatch.setattr(finding, "possible", lambda: False)
    archive = ArchivalMemory(db, agent, embedder)
    keep(archive, "My kitten is called Tom")
    assert vectors(db) == 1
    assert texts(archive.search("kitten")) == ["My kitten is called Tom"]
    assert archive.search("animal").total == 0


def test_totals_are_true_and_pages_whole_however_many_match(db, agent, archive):
    count = BY_WORDS + 150
    prepared = [archive.prepare(f"the record {n} of a {'dog' if n % 4 == 0 else 'thing'}") for n in range(count)]
    with db.write() as tx:
        for each in prepared:
            archive.store(tx, each, turn=1, now=NOW)
    keep(archive, "a kitten without the word")
    for query, size in (("record", 40), ("puppy record", 33), ("record dog", 7)):
        first = archive.search(query, 0, size)
        last = math.ceil(first.total / size)
        pages = [archive.search(query, page, size) for page in range(last + 1)]
        found = [text for page in pages for text in texts(page)]
        assert len(found) == len(set(found)) == first.total >= count
        assert {page.total for page in pages} == {first.total}
        assert texts(pages[last]) == []
    assert archive.search("puppy record", 10**20).results == []


def test_everything_can_be_listed(archive):
    keep(archive, "one", "two", "three")
    assert [texts(archive.all(page, 2)) for page in range(3)] == [["three", "two"], ["one"], []]
    assert archive.all(1, 2).total == 3


# Deleting -------------------------------------------------------------------------------------------------------------


def test_a_deleted_note_is_gone_with_its_vector(archive, db):
    keep(archive, "a dog", "a cat")
    archive.search("pet")
    with db.write() as tx:
        assert archive.delete(tx, 1) == 1
    assert texts(archive.search("pet")) == texts(archive.search("dog cat")) == ["a cat"]
    assert vectors(db) == 1
    assert db.check() == []
    with db.write() as tx, pytest.raises(NotFound):
        archive.delete(tx, 1)


def test_a_number_that_was_freed_does_not_bring_an_old_vector_back(archive, db):
    keep(archive, "we had soup", "a dog")
    archive.search("pet")
    with db.write() as tx:
        archive.delete(tx, 2)
    keep(archive, "an old guitar")
    assert archive.search("pet").total == 0
    assert texts(archive.search("melody")) == ["an old guitar"]


def test_a_turn_can_be_taken_back(archive, db):
    keep(archive, "a dog", turn=1)
    keep(archive, "a cat", "a kitten", turn=2)
    archive.search("pet")
    with db.write() as tx:
        assert archive.undo_turn(tx, 2, NOW) == 2
        assert archive.undo_turn(tx, 2, NOW) == 0
    for query in ("pet", "kitten cat dog"):
        assert texts(archive.search(query)) == ["a dog"]
        assert archive.search(query).total == 1
    assert archive.total() == archive.all().total == 1
    assert keep(archive, "a cat", turn=3) == [1]


def test_what_is_gone_does_not_hide_what_is_there(archive, db):
    keep(archive, "a puppy and our dinner", turn=1)
    prepared = [archive.prepare(f"kitten {n}") for n in range(BY_MEANING + 20)]
    with db.write() as tx:
        for each in prepared:
            archive.store(tx, each, turn=2, now=NOW)
    assert "a puppy and our dinner" not in texts(archive.search("pet", size=500))
    with db.write() as tx:
        archive.undo_turn(tx, 2, NOW)
    assert texts(archive.search("pet")) == ["a puppy and our dinner"]


def test_a_rolled_back_note_was_never_there(archive, db):
    prepared = archive.prepare("a dog")
    with pytest.raises(RuntimeError), db.write() as tx:
        archive.store(tx, prepared, turn=1, now=NOW)
        raise RuntimeError
    assert archive.search("dog").total == archive.search("pet").total == 0


def test_what_another_process_does_is_seen(archive, db, agent, embedder):
    keep(archive, "a dog")
    assert texts(archive.search("pet")) == ["a dog"]
    other_db = SqliteDatabase(db.path)
    other = ArchivalMemory(other_db, agent, embedder)
    keep(other, "a cat")
    assert set(texts(archive.search("pet"))) == {"a dog", "a cat"}
    with other_db.write() as tx:
        other.delete(tx, 1)
    assert texts(archive.search("pet")) == ["a cat"]
    other_db.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), st.sampled_from(["a dog", "my cat", "one song", "the meal", "puppy and bread"])),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("undo"), st.integers(0, 3)),
        st.tuples(st.just("search"), st.sampled_from(["pet", "music", "food", "dog"])),
    ),
    max_size=25,
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    database = new_database(tmp_path_factory.mktemp("shared"))
    yield database
    database.close()


@settings(deadline=None, max_examples=40)
@given(steps=STEPS)
def test_an_old_archive_finds_what_a_new_one_finds(shared, steps):
    agent = new_agent(shared)
    archive = ArchivalMemory(shared, agent, Topics())
    for turn, (step, what) in enumerate(steps):
        if step == "keep":
            keep(archive, what, turn=turn % 4)
        elif step == "search":
            fresh = ArchivalMemory(shared, agent, Topics())
            assert archive.search(what) == fresh.search(what)
        else:
            with shared.write() as tx:
                if step == "undo":
                    archive.undo_turn(tx, what, NOW)
                elif archive.total():
                    notes = sorted({found.id for found in archive.all().results})
                    archive.delete(tx, notes[what % len(notes)])
    fresh = ArchivalMemory(shared, agent, Topics())
    for query in ("pet", "music", "food", "dog"):
        assert archive.search(query) == fresh.search(query)


# Embedding ------------------------------------------------------------------------------------------------------------


def test_a_note_is_kept_while_the_embedder_is_away_and_gets_its_vector_later(archive, embedder, db, caplog):
    keep(archive, "a dog")
    embedder.broken = True
    with caplog.at_level(logging.WARNING):
        assert keep(archive, "a cat") == [1]
        assert texts(archive.search("cat")) == ["a cat"]
    assert "service is away" in caplog.text
    with pytest.raises(EmbeddingError):
        archive.catch_up()
    embedder.broken = False
    assert archive.catch_up() == 1
    assert archive.catch_up() == 0
    assert set(texts(archive.search("pet"))) == {"a dog", "a cat"}


def test_catching_up_goes_in_portions_and_leaves_nothing(archive, embedder, db):
    embedder.broken = True
    keep(archive, *(f"dog number {n}" for n in range(7)))
    embedder.broken = False
    assert [archive.catch_up(3) for _ in range(4)] == [3, 3, 1, 0]
    assert vectors(db) == archive.search("pet", size=50).total == 7
    embedder.broken = True
    keep(archive, "a late cat")
    embedder.broken = False
    assert [archive.catch_up(3), archive.catch_up(3)] == [1, 0]


def test_vectors_of_another_model_are_left_aside_until_made_anew(db, agent):
    keep(ArchivalMemory(db, agent, Topics("old")), "a dog", "a cat")
    new = Topics("new")
    archive = ArchivalMemory(db, agent, new)
    assert archive.search("pet").total == 0
    assert texts(archive.search("dog")) == ["a dog"]
    assert new.asked == []  # no need to embed a query that has nothing to be compared with
    assert archive.catch_up() == 2
    assert archive.search("pet").total == vectors(db) == 2


def test_vectors_of_another_dimension_are_left_aside_until_made_anew(db, agent):
    keep(ArchivalMemory(db, agent, Topics()), "a dog")
    with db.write() as tx:
        tx.run("UPDATE passages_vectors SET vector = ?", packed([1.0, 0.0]))
    archive = ArchivalMemory(db, agent, Topics())
    assert archive.search("pet").total == 0
    assert archive.catch_up() == 1
    assert archive.search("pet").total == 1


def test_a_wrong_dimension_is_told_with_both(db, agent, caplog):
    liar = Topics(dimension=768)
    archive = ArchivalMemory(db, agent, liar)
    with caplog.at_level(logging.WARNING):
        assert keep(archive, "a dog") == [1]
    assert "768" in caplog.text and "dimension 4" in caplog.text
    with pytest.raises(EmbeddingError, match="dimension 768, but gave one of dimension 4"):
        archive.catch_up()
    assert texts(archive.search("dog")) == ["a dog"]
    assert vectors(db) == 0


@pytest.mark.parametrize("numbers", [[math.nan, 1.0], [math.inf, 0.0]])
def test_numbers_that_are_none_are_refused(numbers):
    with pytest.raises(EmbeddingError, match="NaN"):
        packed(numbers)


def test_too_few_vectors_are_told(db, agent):
    class Short(Topics):
        def embed(self, texts):
            return super().embed(texts)[1:]

    archive = ArchivalMemory(db, agent, Short())
    keep(archive, "a dog")
    with pytest.raises(EmbeddingError, match="1 texts and returned 0"):
        archive.catch_up()


def test_the_index_can_be_thrown_away(archive, db, agent, embedder):
    keep(archive, "a dog")
    with db.write() as tx:
        tx.run("DELETE FROM passages_vectors")
    assert archive.search("pet").total == 0
    again = ArchivalMemory(db, agent, embedder)
    assert again.catch_up() == 1
    assert again.search("pet").total == 1
