"""What a search finds in a conversation and in notes: with the limits inside, on whole pages, and why."""

import string
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import NOW, new_agent, new_database, say

from memagent.embeddings import packed
from memagent.errors import EmbeddingError, NotFound, ToolError
from memagent.memory import columns, finding, ranking, talk, tally
from memagent.memory.archival import ArchivalMemory
from memagent.memory.finding import Limits
from memagent.memory.question import Question
from memagent.memory.recall import RecallMemory
from memagent.memory.search import Query
from memagent.storage import Spread, sqlite_words


class ByLetters:
    """An embedder that any text has a place in: how often each letter is in it."""

    model, dimension = "letters", 26

    def __init__(self):
        self.broken = False

    def embed(self, texts):
        if self.broken:
            raise EmbeddingError("out of order")
        return [packed([text.lower().count(letter) + 0.01 for letter in string.ascii_lowercase]) for text in texts]


@pytest.fixture
def db(tmp_path):
    database = new_database(tmp_path)
    yield database
    database.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    database = new_database(tmp_path_factory.mktemp("shared"))
    yield database
    database.close()


@pytest.fixture
def agent(db):
    return new_agent(db)


@pytest.fixture
def recall(db, agent):
    return RecallMemory(db, agent)


def texts(page):
    return [found.text for found in page.results]


def keep(archive, *notes, tags=(), now=NOW):
    for note in notes:
        prepared = archive.prepare(note, tags)
        with archive._database.write() as tx:
            archive.store(tx, prepared, turn=1, now=now)


# In a conversation ----------------------------------------------------------------------------------------------------


def test_a_message_is_found_by_its_meaning_once_it_is_embedded(db, agent):
    embedder = ByLetters()
    recall = RecallMemory(db, agent, embedder)
    say(db, agent, "abba abba", "zzz", "yyy")
    page = recall.search("baab")
    assert texts(page) == ["abba abba"] and page.results[0].why.startswith("meaning ")
    assert db.rows("SELECT count(*) FROM messages_vectors")[0][0] == 3
    assert recall.catch_up() == 0


@pytest.mark.parametrize("sign", ['"', "%", "?!", "🎂"])
def test_signs_are_found_where_they_stand_and_mean_nothing(db, agent, sign):
    say(db, agent, "no sign at all", f"with {sign} in it")
    recall = RecallMemory(db, agent, ByLetters())
    assert texts(recall.search(sign)) == [f"with {sign} in it"]


def test_while_the_embedder_is_down_words_alone_are_found(db, agent):
    embedder = ByLetters()
    recall = RecallMemory(db, agent, embedder)
    embedder.broken = True
    say(db, agent, "abba sang", "zzz")
    assert texts(recall.search("abba")) == ["abba sang"]
    assert recall.search("baab").total == 0
    embedder.broken = False
    assert texts(recall.search("baab")) == ["abba sang"]


def test_few_new_messages_wait_until_they_are_searched(db, agent):
    recall = RecallMemory(db, agent, ByLetters())
    say(db, agent, *["abc"] * 3)
    assert recall.catch_up(least=4) == 0
    assert recall.catch_up(least=3) == 3


def test_what_was_said_next_to_a_match_can_be_found_by_times_and_roles(db, agent, recall):
    for month, role, said in (
        (4, "user", "the owl in april"),
        (5, "assistant", "the owl in may"),
        (6, "user", "an owl"),
    ):
        say(db, agent, said, role=role, created=f"2026-0{month}-10T10:00:00+00:00")
    assert set(texts(recall.search("owl", since=date(2026, 5, 1)))) == {"the owl in may", "an owl"}
    page = recall.search("owl", since=date(2026, 5, 1), until=date(2026, 5, 31))
    assert texts(page) == ["the owl in may"] and page.total == 1
    assert texts(recall.search("owl", role="you")) == ["the owl in may"]
    assert recall.search("owl", role="user").total == 2
    assert recall.search("owl", role="nobody").total == 0
    with pytest.raises(ToolError, match="is after"):
        recall.search("owl", since=date(2026, 5, 2), until=date(2026, 5, 1))


def test_a_time_in_the_question_brings_what_was_said_then(db, agent, recall):
    for month in range(1, 13):
        say(db, agent, "We went for a walk by the lake", created=f"2025-{month:02}-10T10:00:00+00:00")
    first = recall.search("Where did we walk in June 2025?", size=1).results[0]
    assert first.when.month == 6 and "date" in first.why
    first = recall.search("our walk two months ago", size=1, now=date(2025, 9, 10)).results[0]
    assert first.when.month == 7


def test_an_answer_is_told_by_its_question(db, agent, recall):
    say(db, agent, *[f"filler line {n}" for n in range(12)], created="2025-01-01T10:00:00+00:00")
    say(db, agent, "Which instrument does your sister play?", created="2025-02-01T10:00:00+00:00")
    say(db, agent, "She plays, with great joy.", role="assistant", created="2025-02-01T10:01:00+00:00")
    say(db, agent, *[f"He plays line {n}" for n in range(12)], created="2025-03-01T10:00:00+00:00")
    assert "She plays, with great joy." in texts(recall.search("which instrument sister plays", size=3))


def test_a_result_says_why_it_was_found(db, agent, recall):
    say(db, agent, "bees make honey", "bees fly")
    assert recall.search("bees honey").results[0].why == "words: bees, honey"


def test_the_very_words_come_first(db, agent, recall):
    say(db, agent, *["to be, or perhaps to be not"] * 4, "he said to be or not to be", "not or be to to be")
    assert texts(recall.search("to be or not to be"))[0] == "he said to be or not to be"


def test_what_is_before_and_what_comes_later_is_seen(db, agent, recall):
    say(db, agent, "a red boat")
    assert recall.search("boat").total == 1
    say(db, agent, "a blue boat")
    assert recall.search("boat").total == 2
    assert texts(recall.search("boat", before_seq=2)) == ["a red boat"]


def test_speakers_are_told_by_their_names(db, agent, recall):
    lines = ["Anna: I hiked", "Ben: I swam", "Anna: so nice", "Ben: yes", "Anna: bye", "Ben: bye", "Note: bye"]
    say(db, agent, *lines)
    recall.search("bye")
    told = recall._finder._talk
    assert sorted(told.speakers()) == ["anna", "ben"]
    question = Question.of(Query.of("Where did Ben swim in May?"), told.speakers(), NOW.date())
    assert question.people == {"ben"}
    assert question.gist == "swim"
    assert Question.of(Query.of("Anna and Ben"), told.speakers(), NOW.date()).people == frozenset()


# In notes -------------------------------------------------------------------------------------------------------------


def test_notes_are_searched_within_limits(db, agent):
    archive = ArchivalMemory(db, agent, ByLetters())
    keep(archive, "an owl by day", tags=["birds"])
    keep(archive, "an owl by night", tags=["birds", "night"], now=NOW + timedelta(days=3))
    keep(archive, "owl and mouse", now=NOW + timedelta(days=6))
    assert archive.search("owl", tags=["birds"]).total == 2
    assert texts(archive.search("owl", tags=["birds", "night"])) == ["an owl by night"]
    day = (NOW + timedelta(days=3)).date()
    assert texts(archive.search("owl", since=day, until=day)) == ["an owl by night"]
    assert archive.search("owl", source="you").total == 3
    assert archive.search("owl", own=False).total == 0
    with pytest.raises((ToolError, NotFound), match="no source"):
        archive.search("owl", source="papers")


# Pages and walls ------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["apple", "pear", "dog", "cat", "runs", "running", "東京", "café", "%", "the", "In May"])
SENTENCES = st.lists(st.lists(WORDS, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=12)


@settings(deadline=None, max_examples=30)
@given(
    said=SENTENCES,
    query=st.lists(WORDS, min_size=1, max_size=4).map(" ".join),
    size=st.integers(1, 5),
    mean=st.booleans(),
)
def test_pages_part_all_that_is_found(shared, said, query, size, mean):
    agent = new_agent(shared)
    say(shared, agent, *said)
    recall = RecallMemory(shared, agent, ByLetters() if mean else None)
    first = recall.search(query, 0, size)
    pages = [recall.search(query, page, size) for page in range(ceil(first.total / size) + 1)]
    ids = [found.id for page in pages for found in page.results]
    assert len(ids) == len(set(ids)) == first.total <= len(said)
    assert {page.total for page in pages} == {first.total}


def test_pages_are_whole_where_more_matches_than_is_ranked(db, agent, recall):
    say(db, agent, *(f"record {n} of a {'dog' if n % 3 else 'cat'}" for n in range(500)))
    for query in ("record", "record dog", "cat"):
        first = recall.search(query, 0, 60)
        ids = [found.id for page in range(12) for found in recall.search(query, page, 60).results]
        assert len(ids) == len(set(ids)) == first.total
    assert recall.search("cat").total == 167
    assert recall.search("record", before_seq=101).total == 100


# With and without numpy -----------------------------------------------------------------------------------------------

ROWS = st.lists(st.integers(1, 40), max_size=25, unique=True).map(sorted)


@settings(deadline=None)
@given(
    lists=st.lists(ROWS, min_size=3, max_size=3),
    allowed=st.none() | st.sets(st.integers(1, 40)),
    below=st.integers(1, 50),
)
def test_the_sums_are_the_same_without_numpy(lists, allowed, below):
    question = Question.of(Query.of("green Boat"), (), NOW.date())
    spreads = [Spread(lists[0], [0.5 + n % 3 for n in range(len(lists[0]))]), *(Spread(rows) for rows in lists[1:])]
    made = []
    for kind in (tally.Tally, tally.QuickTally):
        parts = tally._parts(question, [1.5, 2.0], spreads, [1.5, 2.0, 3.0])
        one = kind(question, [1.5, 2.0])
        one._add_up(parts, None, allowed, below)
        every = list(range(1, 41))
        sums = one.sums(every)
        columns = [sums.strength, sums.telling, sums.phrases, sums.words, *one.telling(every)]
        made.append(
            (
                one.total, one.best(7), one.best_telling(9, None), one.rest(2, 9, {3, 4}), one.most,
                [column.tolist() for column in columns],
            )
        )  # fmt: skip
    assert made[0] == made[1]


def test_the_network_gives_the_same_without_numpy():
    for network in ranking._networks().values():
        made = {name: [0.1 * n, 1.0, -3.0] for n, name in enumerate(network.names)}
        assert network._plainly([made[name] for name in network.names]) == pytest.approx(network.run(made), rel=1e-6)


def without_numpy(patch):
    for module in (columns, finding, ranking, sqlite_words, talk, tally):
        patch.setattr(module, "possible", lambda: False)


def test_without_numpy_a_conversation_is_searched_all_the_same(db, agent, monkeypatch):
    say(db, agent, "Anna: the cat sat", "Ben: the dog ran", "Anna: a cat again", created="2025-05-01T10:00:00+00:00")
    quick = RecallMemory(db, agent).search("cat in May")
    without_numpy(monkeypatch)
    plain = RecallMemory(db, agent).search("cat in May")
    assert texts(plain) == texts(quick) and plain.total == quick.total == 2


@pytest.mark.parametrize("query", ["Which cat did Anna see in May 2025?", "how often Ben ran", "The cat sat.", "zzz"])
def test_all_that_is_known_is_the_same_without_numpy(db, agent, monkeypatch, query):
    said = ["Anna: the cat sat", "Ben: which cat?", "Anna: the cat, in May", "Ben: I ran 3 times", "Ben: a cat ran"]
    say(db, agent, *said * 3, created="2025-05-01T10:00:00+00:00")
    say(db, agent, *said, created="2025-07-01T10:00:00+00:00", role="assistant")

    def known():
        finder = RecallMemory(db, agent)._finder
        question, candidates = finder.candidates(Query.of(query), Limits([agent]), NOW.date())
        found = candidates.evidence(question, finder._talk)
        near = [n / len(found.texts) - 0.2 for n in range(len(found.texts))]
        found = replace(found, meaning=near, gist=near)
        made = ranking.features(question, found) if found.texts else {}
        scores = ranking.scores(question, found)
        return candidates.rows, scores, {name: [float(n) for n in column] for name, column in made.items()}

    quick = known()
    assert bool(quick[0]) == (query != "zzz")
    without_numpy(monkeypatch)
    plain = known()
    assert plain[0] == quick[0]
    assert plain[1] == pytest.approx(quick[1], abs=1e-8)
    assert plain[2] == {name: pytest.approx(column, abs=1e-12) for name, column in quick[2].items()}


def test_a_damaged_row_is_told_and_breaks_nothing_else(db, agent, recall):
    say(db, agent, "an owl", created="not a time")
    with pytest.raises(Exception, match="damaged"):
        recall.search("owl")


def test_times_of_messages_may_stand_in_any_order(db, agent, recall):
    moments = [datetime(2025, month, 1, tzinfo=UTC).isoformat() for month in (6, 1, 12)]
    for moment in moments:
        say(db, agent, "an owl", created=moment)
    assert recall.search("owl").total == 3
