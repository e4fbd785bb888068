"""The cache of vectors: nothing is embedded twice, and nothing depends on it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from embedding_server import EmbeddingServer, embedding_server

from memagent.assemble import open_embedder
from memagent.config import Settings
from memagent.embeddings.asked import Manner
from memagent.embeddings.cache import GROUP, VectorCache, key_of
from memagent.errors import EmbeddingError


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server(model="m") as server:
        yield server


def embedder(home: Path, server: EmbeddingServer, **given: Any) -> Any:
    settings = Settings(
        embedder="openai", embedding_model="m", embedding_endpoint=f"{server.url}/v1", home=home, **given
    )
    return open_embedder(settings, Manner(sleep=lambda _: None))


def file_in(home: Path) -> Path:
    return home / "cache" / "embeddings.db"


def test_no_text_is_embedded_twice(tmp_path: Path, server: EmbeddingServer) -> None:
    first = embedder(tmp_path, server).embed(["one", "two"])
    assert embedder(tmp_path, server).embed(["two", "three", "one"])[::2] == first[::-1]
    assert server.texts == ["dimension", "one", "two", "three"]


def test_another_dimension_is_another_vector(tmp_path: Path, server: EmbeddingServer) -> None:
    embedder(tmp_path, server).embed(["one"])
    assert len(embedder(tmp_path, server, embedding_dimension=4).embed(["one"])[0]) == 16
    assert server.texts == ["dimension", "one", "one"]


def test_nobody_else_can_look_into_it_and_no_text_is_in_it(tmp_path: Path, server: EmbeddingServer) -> None:
    mask = os.umask(0)
    try:
        embedder(tmp_path, server).embed(["a very private text"])
        for path in file_in(tmp_path).parent.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert b"private" not in path.read_bytes()
        assert stat.S_IMODE(file_in(tmp_path).parent.stat().st_mode) == 0o700
    finally:
        os.umask(mask)


@pytest.mark.parametrize("content", [b"no database at all " * 500, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_file_is_put_aside(tmp_path: Path, server: EmbeddingServer, content: bytes) -> None:
    file_in(tmp_path).parent.mkdir()
    file_in(tmp_path).write_bytes(content)
    assert embedder(tmp_path, server).embed(["one"])
    assert file_in(tmp_path).with_name("embeddings.db.damaged").read_bytes() == content
    embedder(tmp_path, server).embed(["one"])
    assert server.texts.count("one") == 1


def test_it_goes_on_without_a_file(tmp_path: Path, server: EmbeddingServer) -> None:
    file_in(tmp_path).mkdir(parents=True)
    assert embedder(tmp_path, server).embed(["one"]) == embedder(tmp_path, server).embed(["one"])
    assert server.texts.count("one") == 2


def test_it_can_be_deleted_while_it_is_used(tmp_path: Path, server: EmbeddingServer) -> None:
    used = embedder(tmp_path, server)
    before = used.embed(["one"])
    for path in file_in(tmp_path).parent.iterdir():
        path.unlink()
    assert used.embed(["one"]) == before
    assert embedder(tmp_path, server).embed(["one"]) == before


def test_what_makes_no_sense_is_not_kept(tmp_path: Path, server: EmbeddingServer) -> None:
    assert embedder(tmp_path, server).embed([""]) == [bytes(32)]
    assert VectorCache(file_in(tmp_path)).vectors([key_of("m", 8, "")]) == {}


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "embeddings.db", most_bytes=400_000)
    for start in range(0, 4000, 100):
        cache.keep((key_of("m", 256, str(n)), bytes([n % 251 + 1]) * 1024) for n in range(start, start + 100))
    cache = VectorCache(tmp_path / "embeddings.db")
    assert (tmp_path / "embeddings.db").stat().st_size < 700_000
    assert cache.vectors([key_of("m", 256, "3999")])
    assert not cache.vectors([key_of("m", 256, "0")])


def test_many_are_kept_as_they_come(tmp_path: Path, server: EmbeddingServer) -> None:
    texts = [f"text {n}" for n in range(GROUP + 100)]
    used = embedder(tmp_path, server, embedding_batch=300)
    assert used.dimension == 8
    server.mangled = lambda some, vectors: vectors if len(server.asked) < 4 else []
    with pytest.raises(EmbeddingError, match="returned 0 vectors"):
        used.embed(texts)
    server.mangled = lambda _, vectors: vectors
    again = len(server.texts)
    assert len(used.embed(texts)) == len(texts)
    assert len(server.texts) - again == 100, "what was embedded before it failed was lost"


def test_many_processes_use_it_at_once(tmp_path: Path, server: EmbeddingServer) -> None:
    code = """
import sys
from pathlib import Path
from memagent.assemble import open_embedder
from memagent.config import Settings
settings = Settings(embedder="openai", embedding_model="m", embedding_endpoint=sys.argv[1], home=Path(sys.argv[2]))
embedder = open_embedder(settings)
for round in range(20):
    vectors = embedder.embed([f"text {n}" for n in range(round, round + 30)])
    assert all(len(vector) == 32 for vector in vectors)
"""
    run = [sys.executable, "-W", "error", "-c", code, f"{server.url}/v1", str(tmp_path)]
    several = [subprocess.Popen(run, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for each in several:
        _, said = each.communicate(timeout=50)
        assert each.returncode == 0, said
        assert "was not used" not in said
    embedder(tmp_path, server).embed([f"text {n}" for n in range(49)])
    assert len(server.texts) < 3 * 60
