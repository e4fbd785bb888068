"""What a person or a model may type, and what it finds; and that nobody finds what is another's."""

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import NOW, new_agent, new_database, say

from memagent.errors import ToolError
from memagent.memory.archival import ArchivalMemory
from memagent.memory.recall import RecallMemory
from memagent.memory.search import MOST_RESULTS, Query


@pytest.fixture
def db(tmp_path):
    database = new_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def agent(db):
    return new_agent(db)


def texts(page):
    return [found.text for found in page.results]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    database = new_database(tmp_path_factory.mktemp("shared"))
    agent = new_agent(database)
    say(database, agent, "a plain sentence", "ein zweiter Satz", "日本語の文", "100% of column: x")
    yield database, agent
    database.close()


SYNTAX = [
    '" OR', '"', '""', "NEAR(", "NEAR(a b, 2)", "*", "sent*", "column:", "said : x", "agent : y", "{said agent} : x",
    "a AND", "NOT", "OR OR OR", "(((", "-x", "^plain", "a + b", "x'; DROP TABLE messages; --", "%", "_", "\\", "\\%",
    "\0", "a\0b", "🎉", "\ud800", "́", "''", "it's", "a" * 100_000, "word " * 10_000, "語" * 5000, "?" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("query", SYNTAX, ids=range(len(SYNTAX)))
def test_syntax_is_only_words(shared, query):
    database, agent = shared
    page = RecallMemory(database, agent).search(query)
    assert 0 <= len(page.results) <= page.total <= 4
    ArchivalMemory(database, agent, None).search(query)


@settings(deadline=None, max_examples=150)
@given(st.text(st.characters(), min_size=1, max_size=60))
def test_any_text_can_be_searched_for(shared, query):
    database, agent = shared
    try:
        page = RecallMemory(database, agent).search(query)
    except ToolError as error:
        assert not query.strip() and "empty" in error.message
    else:
        assert len(page.results) == min(page.total, 5)


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(categories=["L", "N"]), min_size=2, max_size=20))
def test_a_word_that_was_said_is_found(shared, word):
    database, _ = shared
    agent = new_agent(database)
    say(database, agent, "something else", f"they said {word} then")
    found = RecallMemory(database, agent).search(word)
    assert f"they said {word} then" in texts(found)


def test_words_are_stemmed_and_accents_do_not_matter(db, agent):
    say(db, agent, "She was painting all day", "A café by the sea", "nothing to see")
    recall = RecallMemory(db, agent)
    assert texts(recall.search("paintings")) == ["She was painting all day"]
    assert texts(recall.search("CAFE")) == ["A café by the sea"]


def test_small_words_do_not_match(db, agent):
    say(db, agent, "what is the time", "the guitar is old", "is it the one")
    assert texts(RecallMemory(db, agent).search("What is the guitar?")) == ["the guitar is old"]


def test_small_words_alone_do_match(db, agent):
    say(db, agent, "to be or not to be", "tomato, beer, ornate")
    assert texts(RecallMemory(db, agent).search("to be or not to be")) == ["to be or not to be"]


def test_rarer_words_and_more_of_them_come_first(db, agent):
    say(db, agent, *["so it was said"] * 20, *["the dog barked"] * 5, "my violin broke", "the dog and my violin")
    found = texts(RecallMemory(db, agent).search("dog violin"))
    assert found[:3] == ["the dog and my violin", "my violin broke", "the dog barked"]


def test_words_side_by_side_come_first(db, agent):
    say(db, agent, *["filler text"] * 10, "the red bicycle in town", "the bicycle in red town")
    assert texts(RecallMemory(db, agent).search("red bicycle")) == [
        "the red bicycle in town",
        "the bicycle in red town",
    ]


def test_of_equals_the_newest_comes_first_on_stable_pages(db, agent):
    for day in range(1, 8):  # each by itself: what is said around a message counts too
        say(db, agent, "the same words", created=f"2026-05-0{day}T10:00:00+00:00")
    recall = RecallMemory(db, agent)
    pages = [recall.search("same words", page, 3) for page in range(4)]
    assert [[found.id for found in page.results] for page in pages] == [[7, 6, 5], [4, 3, 2], [1], []]
    assert {page.total for page in pages} == {7}


def test_pages_have_bounds(db, agent):
    say(db, agent, "word")
    recall = RecallMemory(db, agent)
    assert recall.search("word", page=10**30).total == 1
    for page, size in ((-1, 5), (0, 0), (0, MOST_RESULTS + 1)):
        with pytest.raises(ToolError, match="Pages count from 0"):
            recall.search("word", page, size)


@pytest.mark.parametrize("query", ["", "   ", "\n\t"])
def test_nothing_to_look_for(db, agent, query):
    with pytest.raises(ToolError, match="empty"):
        RecallMemory(db, agent).search(query)


def test_wildcards_are_characters(db, agent):
    say(db, agent, "50% off", "under_score", "plain", "back\\slash")
    recall = RecallMemory(db, agent)
    assert texts(recall.search("%")) == ["50% off"]
    assert texts(recall.search("_")) == ["under_score"]
    assert texts(recall.search("\\")) == ["back\\slash"]


def test_scripts_without_spaces(db, agent):
    say(
        db,
        agent,
        "昨日東京タワーに行きました",
        "我喜欢在公园里跑步",
        "ฉันชอบกินข้าวผัด",
        "오늘 학교에서 만났어요",
        "I went to Tokyo",
    )
    recall = RecallMemory(db, agent)
    assert texts(recall.search("東京"))[0] == "昨日東京タワーに行きました"
    assert texts(recall.search("你喜欢跑步吗"))[0] == "我喜欢在公园里跑步"
    assert texts(recall.search("ข้าวผัด"))[0] == "ฉันชอบกินข้าวผัด"
    assert texts(recall.search("학교"))[0] == "오늘 학교에서 만났어요"
    assert set(texts(recall.search("Tokyo 東京"))) == {"昨日東京タワーに行きました", "I went to Tokyo"}
    assert recall.search("火山").total == 0


def test_emoji_are_found_where_nothing_else_is_asked(db, agent):
    say(db, agent, "great 🎉", "great")
    assert texts(RecallMemory(db, agent).search("🎉")) == ["great 🎉"]


def test_an_identifier_is_found_among_its_likes(db, agent):
    chance = random.Random(1)
    names = ["-".join("".join(chance.choices("0123456789abcdef", k=4)) for _ in range(5)) for _ in range(300)]
    say(db, agent, *(f"the value of {name} is {n}" for n, name in enumerate(names)))
    recall = RecallMemory(db, agent)
    for name in names[::30]:
        assert name in texts(recall.search(name, size=1))[0]


def test_a_long_query_is_cut_to_what_counts():
    query = Query.of(" ".join(f"word{n}" for n in range(500)))
    assert len(query.words.words) + len(query.words.phrases) < 60


class ByLetters:
    """An embedder that any text has a place in: how often each letter is in it."""

    model, dimension = "letters", 26

    def embed(self, texts):
        from memagent.embeddings import packed

        return [packed([text.lower().count(letter) for letter in string.ascii_lowercase]) for text in texts]


WORDS = st.sampled_from(["apple", "pear", "dog", "cat", "run", "running", "東京", "京都", "ข้าว", "%", "_", "🎉", "the"])
SENTENCES = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), max_size=6)


@settings(deadline=None, max_examples=40)
@given(mine=SENTENCES, theirs=SENTENCES, query=st.lists(WORDS, min_size=1, max_size=4).map(" ".join))
def test_nobody_finds_what_is_anothers(shared, mine, theirs, query):
    database, _ = shared
    stored = {}
    for mark, said in (("mine", mine), ("theirs", theirs)):
        agent = new_agent(database)
        archive = ArchivalMemory(database, agent, ByLetters())
        marked = [f"{text} {mark}" for text in said]
        say(database, agent, *marked)
        for text in marked:
            prepared = archive.prepare(text)
            with database.write() as tx:
                archive.store(tx, prepared, turn=1, now=NOW)
        stored[agent] = (mark, set(marked), RecallMemory(database, agent), archive)
    for mark, marked, recall, archive in stored.values():
        assert recall.total() <= 6
        assert archive.total() == len(marked)
        for search in (
            lambda q: recall.search(q, size=50), lambda q: archive.search(q, size=50),
            lambda q: recall.search_dates(None, None, size=50), lambda q: archive.all(size=50),
        ):  # fmt: skip
            for asked in (query, f"{query} mine theirs"):
                page = search(asked)
                assert len(page.results) == page.total
                assert all(found.text.endswith(f" {mark}") for found in page.results)
