"""Embedding models behind an address: OpenAI's protocol, Azure's and Ollama's, and all that can go wrong on the way."""

from __future__ import annotations

import logging
import math
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import chat_server, plain, raw, then_silence
from embedding_server import EmbeddingServer, embedding_server, vector_of
from hypothesis import given
from hypothesis import strategies as st

from memagent.assemble import open_embedder
from memagent.config import Settings
from memagent.embeddings import averaged, embedded, packed, unpacked
from memagent.embeddings.asked import Manner, cut
from memagent.embeddings.rest import Rest, rest_of
from memagent.endpoints.retry import Backoff
from memagent.errors import ConfigError, EmbeddingError
from memagent.messages import estimate

KEY = "sk-canary-0123456789"
QUICK = Manner(retries=2, longest_wait=60.0, timeout=5.0, sleep=lambda _: None, backoff=Backoff(first=0.0))


@pytest.fixture(autouse=True)
def rested() -> Iterator[None]:
    """No test begins while a model rests because of another: ports come back."""
    rest_of.cache_clear()
    yield
    rest_of.cache_clear()


def settings_for(home: Path, server: EmbeddingServer | str, **given: Any) -> Settings:
    url = server if isinstance(server, str) else f"{server.url}/v1"
    model = given.pop("model", "small-vectors")
    return Settings(embedder="openai", embedding_model=model, embedding_endpoint=url, home=home, **given)


def opened(settings: Settings, manner: Manner = QUICK) -> Any:
    embedder = open_embedder(settings, manner)
    assert embedder is not None
    return embedder


def expected(text: str, dimension: int = 8) -> bytes:
    return packed(vector_of(text, dimension))


def near(one: bytes, other: bytes) -> bool:
    return math.dist(unpacked(one), unpacked(other)) < 1e-4


@pytest.mark.parametrize("floats_only", [False, True], ids=["base64", "floats"])
def test_texts_become_vectors_in_their_order(tmp_path: Path, floats_only: bool) -> None:
    with embedding_server(floats_only=floats_only, key=KEY) as server:
        embedder = opened(settings_for(tmp_path, server, embedding_api_key=KEY, embedding_batch=3))
        texts = ["one", "two", "three", "one", "", "  \n", "日本語 🎉", "two"]
        vectors = embedded(embedder, texts)
        assert embedder.dimension == 8
        assert all(near(vector, expected(text)) for text, vector in zip(texts, vectors, strict=True) if text.strip())
        assert vectors[4] == vectors[5] == bytes(32)
        assert sorted(server.texts) == sorted(["dimension", "one", "two", "three", "日本語 🎉"])
        assert len(server.asked) == 3


def test_another_dimension_can_be_asked_for(tmp_path: Path) -> None:
    with embedding_server() as server:
        embedder = opened(settings_for(tmp_path, server, embedding_dimension=4))
        assert embedder.dimension == 4
        assert len(embedded(embedder, ["one"])[0]) == 16
        assert server.asked[0]["dimensions"] == 4


def test_a_dimension_that_is_not_given_is_told_with_both(tmp_path: Path) -> None:
    with embedding_server() as server:
        server.fail(400, "This model does not support specifying dimensions.")
        embedder = opened(settings_for(tmp_path, server, embedding_dimension=4))
        with pytest.raises(EmbeddingError, match=r"dimension 4, but .* of dimension 8.*embedding_dimension to 8"):
            embedder.embed(["one"])


def test_a_model_that_was_changed_behind_its_name(tmp_path: Path) -> None:
    with embedding_server() as server:
        opened(settings_for(tmp_path, server)).embed(["one"])
        server.dimension = 12
        with pytest.raises(EmbeddingError, match=r"dimension 8, but gives them of dimension 12.*memagent reindex"):
            opened(settings_for(tmp_path, server)).embed(["two"])


def test_azure_is_asked_at_its_deployment(tmp_path: Path) -> None:
    with embedding_server(key=KEY) as server:
        settings = settings_for(tmp_path, server.url, model="my vectors", embedding_api_key=KEY)
        vectors = embedded(opened(replace(settings, embedder="azure")), ["one"])
        assert near(vectors[0], expected("one"))
        path, headers = server.seen[0]
        assert path == "/openai/deployments/my%20vectors/embeddings?api-version=2024-10-21"
        assert headers["api-key"] == KEY and "authorization" not in headers


def test_azure_needs_an_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Azure has no address"):
        open_embedder(Settings(embedder="azure", embedding_model="x", home=tmp_path))


def test_ollama_is_asked_in_its_own_words(tmp_path: Path) -> None:
    with embedding_server(model="nomic") as server:
        settings = replace(settings_for(tmp_path, server, model="nomic:latest"), embedder="ollama")
        embedder = opened(settings)
        assert embedder.model == "nomic"
        assert near(embedded(embedder, ["one"])[0], expected("one"))
        assert server.seen[0][0] == "/api/embed"
        assert server.asked[0]["truncate"] is False
        with pytest.raises(EmbeddingError, match=r"no model named 'other'.*ollama pull other"):
            opened(replace(settings, embedding_model="other")).embed(["one"])


def test_the_key_of_the_chat_goes_to_no_other_address(tmp_path: Path) -> None:
    with embedding_server(key=KEY) as server, embedding_server() as stranger:
        chat = Settings(endpoint=f"{server.url}/v1", api_key=KEY, embedder="openai", home=tmp_path)
        opened(replace(chat, embedding_model="small-vectors")).embed(["one"])
        assert server.seen[-1][1]["authorization"] == f"Bearer {KEY}"
        opened(replace(chat, embedding_model="small-vectors", embedding_endpoint=f"{stranger.url}/v1")).embed(["one"])
        assert "authorization" not in stranger.seen[-1][1]


def test_nothing_is_sent_anywhere_unless_it_was_chosen(tmp_path: Path) -> None:
    embedder = open_embedder(Settings(api_key=KEY, endpoint="http://127.0.0.1:9/v1", home=tmp_path))
    assert embedder is None or embedder.model.startswith("wordllama")
    with pytest.raises(ConfigError, match="no key for OpenAI's embeddings"):
        open_embedder(Settings(provider="ollama", embedder="openai", home=tmp_path))
    with pytest.raises(ConfigError, match="No embedding model is chosen"):
        open_embedder(Settings(embedder="ollama", home=tmp_path))


def test_many_texts_go_in_batches_by_number_and_by_length(tmp_path: Path) -> None:
    with embedding_server() as server:
        embedder = opened(settings_for(tmp_path, server))
        short, long = [f"text {n}" for n in range(50)], [f"{n} " + "word " * 3000 for n in range(5)]
        assert len(embedded(embedder, short + long)) == 55
        sizes = [len(body["input"]) for body in server.asked[1:]]
        assert sum(sizes) == 55 and max(sizes) == 16
        assert all(sum(map(estimate, body["input"])) <= 8000 for body in server.asked)


def test_a_text_that_is_too_long_is_averaged_over_its_pieces(tmp_path: Path) -> None:
    text = " ".join(f"word{n}" for n in range(300))
    with embedding_server(longest=40) as server:
        embedder = opened(settings_for(tmp_path, server))
        vectors = embedded(embedder, ["short", text, "also short"])
        assert near(vectors[0], expected("short")) and near(vectors[2], expected("also short"))
        assert len(vectors[1]) == 32 and any(vectors[1])
        refused, begun = len(server.seen) - len(server.asked), len(server.texts)
        again = embedder.embed([f"{text} and more"])[0]
        assert len(server.seen) - len(server.asked) == refused, "what it takes was not learned"
        pieces = server.texts[begun:]
        assert "".join(pieces) == f"{text} and more" and len(pieces) > 5
        assert near(again, averaged([(expected(piece), len(piece)) for piece in pieces]))


@given(st.text(min_size=1, max_size=600), st.integers(1, 200))
def test_pieces_are_the_whole_text(text: str, tokens: int) -> None:
    assert "".join(cut(text, tokens)) == text


def test_what_passes_is_asked_again(tmp_path: Path) -> None:
    waits: list[float] = []
    with embedding_server() as server:
        server.fail(429, "slow down", retry_after="7")
        server.fail(503, "overloaded")
        manner = replace(QUICK, told=lambda seconds, _: waits.append(seconds))
        assert near(embedded(opened(settings_for(tmp_path, server), manner), ["one"])[0], expected("one"))
        assert waits == [7.0, 0.0]


def test_nobody_who_waits_is_kept_waiting(tmp_path: Path) -> None:
    slept: list[float] = []
    with embedding_server() as server:
        server.fail(429, "slow down", times=9, retry_after="45")
        manner = Manner(sleep=slept.append)
        with pytest.raises(EmbeddingError, match="can't answer now"):
            opened(settings_for(tmp_path, server), manner).embed(["one"])
        assert slept == []


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (401, f"Incorrect API key: {KEY}", "refused the API key.*MEMAGENT_EMBEDDING_API_KEY"),
        (403, "not allowed", "does not allow this"),
        (404, "The model `x` does not exist", "has no model named 'small-vectors'.*embedding_model"),
        (404, "no such page", "not an OpenAI-compatible endpoint"),
        (429, "insufficient balance", "can't answer now"),
        (500, "boom", "failed .500.*: boom.*asked 3 times"),
        (501, "This server does not support embeddings. Start it with `--embeddings`", "Start it with `--embeddings`"),
        (302, "elsewhere", "redirects"),
    ],
)
def test_refusals_say_what_to_do(tmp_path: Path, status: int, message: str, said: str) -> None:
    with embedding_server() as server:
        server.fail(status, message, times=5)
        with pytest.raises(EmbeddingError, match=said) as caught:
            opened(settings_for(tmp_path, server, embedding_api_key=KEY)).embed(["one"])
        assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html>hello</html>", "not JSON"),
        ("[]", "not JSON"),
        ('{"data": 7}', "no embeddings"),
        ('{"error": {"message": "out of memory"}}', "out of memory"),
        ('{"data": [{"embedding": [NaN, 1]}]}', "NaN"),
        ('{"data": [{"embedding": [1e999, 1]}]}', "NaN or infinite"),
        ('{"data": [{"embedding": "AAAA*"}]}', "not a vector"),
        ('{"data": [{"embedding": "AAAA"}]}', "not a vector"),
        ('{"data": [{"embedding": []}]}', "not a vector"),
        ('{"data": [{"embedding": null}]}', "not a vector"),
        ('{"data": [{"embedding": [0, 0]}]}', "not a vector"),
        ('{"data": [{"embedding": ["a"]}]}', "not a vector"),
        ('{"data": []}', "was given 1 texts and returned 0 vectors"),
        ('{"data": [{"embedding": [1]}, {"embedding": [1]}]}', "was given 1 texts and returned 2 vectors"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, body: str, said: str) -> None:
    with chat_server(*[plain(200, body)] * 9) as server, pytest.raises(EmbeddingError, match=said):
        opened(settings_for(tmp_path, server.url)).embed(["one"])


def test_vectors_of_two_sizes_are_refused(tmp_path: Path) -> None:
    with embedding_server() as server:
        embedder = opened(settings_for(tmp_path, server))
        assert embedder.dimension == 8
        server.mangled = lambda texts, vectors: [vectors[0][:4], *vectors[1:]]
        with pytest.raises(EmbeddingError, match="dimension 8, but gives them of dimension 4"):
            embedder.embed(["one", "two"])


def test_one_text_that_makes_no_sense_costs_no_other_its_vector(tmp_path: Path, caplog: Any) -> None:
    def poisoned(texts: list[str], vectors: list[Any]) -> list[Any]:
        return [[math.nan] * 8 if text == "poison" else vector for text, vector in zip(texts, vectors, strict=True)]

    with embedding_server(mangled=poisoned) as server:
        embedder = opened(settings_for(tmp_path, server))
        texts = [*(f"text {n}" for n in range(10)), "poison", "after"]
        with caplog.at_level(logging.WARNING):
            vectors = embedded(embedder, texts)
        assert vectors[10] == bytes(32)
        assert all(near(vectors[n], expected(texts[n])) for n in range(12) if n != 10)
        assert "found by its words alone" in caplog.text and "poison" not in caplog.text


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (raw(), "hung up"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), "broke off"),
        (then_silence(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")), "nothing came for 0.3 s"),
        (then_silence(raw()), "sent nothing for 0.3 s"),
    ],
)
def test_connections_that_break(tmp_path: Path, reply: Any, said: str) -> None:
    with chat_server(reply, reply, reply) as server, pytest.raises(EmbeddingError, match=said):
        opened(settings_for(tmp_path, server.url), replace(QUICK, timeout=0.3, retries=1)).embed(["one"])


def nobody() -> str:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def test_a_model_that_is_down_is_left_alone_for_a_while(tmp_path: Path, caplog: Any) -> None:
    embedder = opened(settings_for(tmp_path, nobody()), replace(QUICK, retries=0))
    assert [embedder.dimension for _ in range(5)] == [0] * 5
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(set(told)), "the same is told once"
    with pytest.raises(EmbeddingError, match=r"Nothing answers.*asked again in"):
        embedder.embed(["one"])


def test_the_dimension_is_known_from_earlier(tmp_path: Path) -> None:
    with embedding_server() as server:
        settings = settings_for(tmp_path, server)
        assert opened(settings).dimension == 8
    assert opened(settings).dimension == 8
    assert opened(settings, replace(QUICK, anew=True)).dimension == 0, "unless it may have changed"
    assert opened(replace(settings, embedding_model="text-embedding-3-small")).dimension == 1536


def test_rests_grow_and_end() -> None:
    now = [0.0]
    rest = Rest(clock=lambda: now[0])
    rest.refuse()
    for length in (30, 60, 120, 240, 300, 300):
        rest.begin(EmbeddingError("down"))
        rest.begin(EmbeddingError("down, says another who had asked"))
        with pytest.raises(EmbeddingError, match=f"asked again in {length} s"):
            rest.refuse()
        now[0] += length
        rest.refuse()
    rest.over()
    rest.begin(EmbeddingError("busy"), 90.0)
    with pytest.raises(EmbeddingError, match="in 90 s"):
        rest.refuse()


def test_a_rest_is_shared_by_all_who_ask_the_same_model(tmp_path: Path) -> None:
    with embedding_server() as server:
        server.fail(500, "down", times=2)
        settings = settings_for(tmp_path, server)
        with pytest.raises(EmbeddingError, match="down"):
            opened(settings, replace(QUICK, retries=1)).embed(["one"])
        with pytest.raises(EmbeddingError, match="asked again in"):
            opened(settings).embed(["two"])
        assert len(server.seen) == 2
        assert opened(settings, replace(QUICK, patient=True)).embed(["one"]), "who is patient asks all the same"
        assert opened(settings).embed(["two"]), "and what works again is used again"


def test_far_away_several_batches_are_asked_for_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("memagent.endpoints.failures.Endpoint.local", False)
    with embedding_server(delay=0.05) as server:
        embedder = opened(settings_for(tmp_path, server, embedding_batch=2))
        texts = [f"text {n}" for n in range(30)]
        assert all(near(v, expected(t)) for t, v in zip(texts, embedded(embedder, texts), strict=True))
        assert len(server.asked) == 16
        server.fail(400, "no more of that", times=99)
        with pytest.raises(EmbeddingError, match="no more of that"):
            opened(settings_for(tmp_path / "new", server, embedding_batch=2)).embed(texts)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_packed_vectors_have_length_one(numbers: list[float]) -> None:
    vector = unpacked(packed(numbers))
    length = math.hypot(*vector)
    assert len(vector) == len(numbers)
    assert math.isclose(length, 1, rel_tol=1e-3) or math.hypot(*numbers) < 1e-30


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8).filter(any))
def test_packing_keeps_the_direction_or_refuses(numbers: list[float]) -> None:
    try:
        vector = unpacked(packed(numbers))
    except EmbeddingError:
        assert math.isinf(math.hypot(*numbers))
        return
    assert all(a * b >= 0 for a, b in zip(vector, numbers, strict=True))


def test_numbers_that_are_none_are_refused() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(EmbeddingError, match="NaN or infinite"):
            packed([1.0, bad])

    class Broken:
        model, dimension = "broken", 2

        def embed(self, texts: Any) -> list[bytes]:
            return [struct.pack("<2f", 1.0, math.nan) for _ in texts]

    with pytest.raises(EmbeddingError, match="NaN"):
        embedded(Broken(), ["one"])
