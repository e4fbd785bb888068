"""`memagent reindex`: vectors for whatever has none, as often cut off as one likes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from command_line import MEMAGENT, Memagent
from embedding_server import EmbeddingServer, embedding_server

from memagent.config import Settings
from memagent.embeddings.prices import Price, price
from memagent.embeddings.rest import rest_of
from memagent.memory.passages import Passage, PassageStore
from memagent.memory.sources import Sources
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
Fill = Callable[..., None]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Iterator[EmbeddingServer]:
    rest_of.cache_clear()
    with embedding_server(model="m") as server:
        for name, value in {
            "EMBEDDER": "openai",
            "EMBEDDING_MODEL": "m",
            "EMBEDDING_ENDPOINT": f"{server.url}/v1",
        }.items():
            monkeypatch.setenv(f"MEMAGENT_{name}", value)
        yield server


@pytest.fixture
def fill(memagent: Memagent, home: Path) -> Fill:
    """Keep so many notes of an agent, or passages of a source, without vectors."""

    def fill(count: int, agent: str = "ada", source: str = "") -> None:
        with_agent(memagent, agent)
        database = SqliteDatabase(home / "memagent.db")
        shelf = str(database.rows("SELECT id FROM agents WHERE name = ?", agent)[0][0])
        with database.write() as tx:
            if source:
                shelf = Sources(database, "local").make(tx, source, "directory", "books", NOW)
            store = PassageStore(database, shelf, None)
            store.insert_many(tx, [Passage(n + 1, 0, f"{source or agent} text {n}", NOW) for n in range(count)])
        database.close()

    return fill


def with_agent(memagent: Memagent, name: str) -> None:
    """An agent, which has heard one message and said one."""
    if name not in memagent("list").out:
        assert memagent("ask", "hello", "--agent", name).code == 0


def vectors(home: Path, model: str = "m") -> int:
    database = SqliteDatabase(home / "memagent.db")
    try:
        return int(database.rows("SELECT count(*) FROM passages_vectors WHERE model = ?", model)[0][0])
    finally:
        database.close()


def test_what_has_no_vectors_gets_them_and_once_is_enough(
    memagent: Memagent, server: EmbeddingServer, fill: Fill, home: Path
) -> None:
    assert "nothing to embed" in memagent("reindex").out
    fill(30)
    fill(20, source="books")
    assert "– vectors: waiting: 52 of 52 texts have none of m (8)." in memagent("doctor").out
    done = memagent("reindex", "--agent", "ada")
    assert done.code == 0 and "32 texts have new vectors of m (8 dimensions)" in done.out
    assert "32 of 32 texts" in done.err and vectors(home) == 30
    assert "20 texts have new vectors" in memagent("reindex", "--source", "books").out
    assert "All 52 texts have their vectors of m" in memagent("reindex", "--all").out
    assert len([text for text in server.texts if " text " in text]) == vectors(home) == 50
    assert {"hello", "ada text 0", "books text 19"} < set(server.texts), "notes, sources, and what was said"
    assert memagent("ask", "goodbye").code == 0
    assert "✓ vectors: all 54 texts have theirs, but for 2 messages, which get theirs when" in memagent("doctor").out


def test_another_model_makes_all_anew(
    memagent: Memagent, server: EmbeddingServer, fill: Fill, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(10)
    memagent("reindex")
    server.model, server.dimension = "other", 12
    monkeypatch.setenv("MEMAGENT_EMBEDDING_MODEL", "other")
    told = memagent("doctor").out
    assert "– vectors: waiting: 12 of 12 texts have none of other (12); 12 have one of m (8)." in told
    assert "12 texts have new vectors of other (12 dimensions)" in memagent("reindex").out
    assert (vectors(home), vectors(home, "other")) == (0, 10)
    told = memagent("doctor").out
    assert "✓ embeddings: openai: other, 12 dimensions" in told and "✓ vectors: all 12 texts have theirs" in told


def test_a_chat_says_once_that_there_are_vectors_of_another_model(
    memagent: Memagent, server: EmbeddingServer, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(3)
    memagent("reindex")
    server.model = "other"
    monkeypatch.setenv("MEMAGENT_EMBEDDING_MODEL", "other")
    chat = memagent("run", "--agent", "ada", stdin=b"one\ntwo\n")
    assert (chat.out + chat.err).count("memagent reindex") == 1
    assert "memagent reindex" not in memagent("run", "--agent", "ada", stdin=b"three\n").out, "it was made good already"


def test_an_old_vector_stays_until_the_new_one_is_there(
    memagent: Memagent, server: EmbeddingServer, fill: Fill, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(40)
    memagent("reindex")
    server.model = "other"
    monkeypatch.setenv("MEMAGENT_EMBEDDING_MODEL", "other")
    monkeypatch.setenv("MEMAGENT_RETRIES", "0")
    server.fail(500, "out of memory", times=9)
    done = memagent("reindex")
    assert done.code == 3 and "out of memory" in done.err
    assert vectors(home) == 40
    server.failures.clear()
    some = len(server.asked) + 2  # the dimension, and a first batch
    server.mangled = lambda _, found: found if len(server.asked) <= some else []
    monkeypatch.setattr("memagent.cli.reindex.AT_ONCE", 16)
    done = memagent("reindex")
    assert done.code == 3 and "16 of 42 texts are done" in done.err and "the same command goes on" in done.err
    assert (vectors(home), vectors(home, "other")) == (24, 16)


def test_what_costs_something_is_asked_for(
    memagent: Memagent, server: EmbeddingServer, fill: Fill, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(30)
    monkeypatch.setattr("memagent.embeddings.prices.price", lambda *_: Price("m", 20.0, "2026-11"))
    done = memagent("reindex")
    assert done.code == 2 and "about 95 tokens, less than a cent with m ($20 for a million, 2026-11)" in done.err
    assert "--yes" in done.err and vectors(home) == 0
    assert memagent("reindex", "--yes").code == 0
    assert vectors(home) == 30


def test_what_embedding_costs() -> None:
    class Large:
        model, dimension = "text-embedding-3-large", 3072

    large: Any = Large()
    cost = price(Settings(embedder="openai"), large)
    assert cost and cost.of(2_000_000).startswith("about 2,000,000 tokens, $0.26 with text-embedding-3-large")
    assert price(Settings(embedder="openai", embedding_endpoint="http://localhost:8080/v1"), large) is None
    assert price(Settings(embedder="ollama"), large) is None and price(Settings(), large) is None
    Large.model = "something-new"
    unknown = price(Settings(embedder="azure", embedding_endpoint="https://x.openai.azure.com"), large)
    assert unknown and "1,000 tokens; what something-new costs is not known" in unknown.of(1000)


def test_choices_that_can_not_be(memagent: Memagent, fill: Fill, server: EmbeddingServer) -> None:
    fill(1)
    assert "exclude each other" in memagent("reindex", "--agent", "ada", "--all").err
    assert "no source 'nothing'" in memagent("reindex", "--source", "nothing").err
    assert memagent("reindex", "--agent", "nobody").code == 2


def test_without_an_embedder_there_is_nothing_to_do(memagent: Memagent, environment: dict[str, str]) -> None:
    done = memagent("reindex")
    assert done.code == 2 and "No embedding model is set up" in done.err


def test_an_endpoint_that_is_down_is_told(
    memagent: Memagent, fill: Fill, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(1)
    monkeypatch.setenv("MEMAGENT_EMBEDDING_ENDPOINT", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("MEMAGENT_RETRIES", "0")
    done = memagent("reindex")
    assert done.code == 3 and "Nothing answers at 127.0.0.1:9" in done.err
    told = memagent("doctor").out
    assert "✗ embeddings: Nothing answers" in told
    assert "– vectors: waiting for m to answer; 0 of 3 texts have a vector of it\n" in told
    assert "embeddings" not in memagent("doctor", "--offline").out


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_it_goes_on_after_it_was_cut_off(
    server: EmbeddingServer, fill: Fill, home: Path, ending: signal.Signals
) -> None:
    fill(1500)
    server.delay = 0.02
    begun = subprocess.Popen([*MEMAGENT, "reindex"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not vectors(home) and time.monotonic() < until:
        time.sleep(0.02)
    begun.send_signal(ending)
    _, said = begun.communicate(timeout=30)
    assert begun.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[ending]
    assert ending == signal.SIGKILL or "the same command goes on" in said
    there, asked = vectors(home), len(server.texts)
    assert 0 < there < 1500 and there % 512 == 0
    server.delay = 0
    done = subprocess.run([*MEMAGENT, "reindex"], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0 and f"{1502 - there:,} texts have new vectors" in done.stdout
    assert vectors(home) == 1500
    assert len(server.texts) - asked <= 1502 - there + 1, "something was embedded that was there already"


def test_facts_get_vectors_too(memagent: Memagent, server: EmbeddingServer, home: Path) -> None:
    for text in ("I use Shram", "I use Magnet", "I use Vim"):
        memagent("facts", "add", "--exactly", text)
    memagent("facts", "forget", "3", "--yes")
    memagent("facts", "end", "2", "--yes")
    assert "2 facts, which get theirs when they are searched" in memagent("doctor").out
    assert "2 texts have new vectors" in memagent("reindex", "--yes").out
    database = SqliteDatabase(home / "memagent.db")
    assert sorted(row[0] for row in database.rows("SELECT item FROM facts_vectors")) == [1, 2]
    database.close()
