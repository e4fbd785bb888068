"""The local model: texts to vectors on this machine, without a network."""

import logging
import math
import socket
import struct
import subprocess
import sys

import pytest

from memagent.embeddings import local
from memagent.embeddings.local import LocalEmbedder
from memagent.errors import EmbeddingError, MissingExtra


@pytest.fixture(scope="module")
def embedder():
    return LocalEmbedder()


def numbers(vector):
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def near(one, other):
    return sum(a * b for a, b in zip(numbers(one), numbers(other), strict=True))


def test_vectors_have_the_promised_dimension_and_length(embedder):
    vectors = embedder.embed(["hello", "A longer text, with 日本語 and 🎉.", "x" * 5000])
    assert [len(numbers(vector)) for vector in vectors] == [embedder.dimension] * 3
    assert all(math.isclose(near(vector, vector), 1, rel_tol=1e-4) for vector in vectors)


def test_what_means_alike_is_near(embedder):
    question, dog, tax = embedder.embed(
        ["Which pet does she have?", "Her dog is called Rex.", "The tax is due in May."]
    )
    assert near(question, dog) > near(question, tax)


def test_a_vector_does_not_depend_on_its_company(embedder):
    alone = embedder.embed(["a short one"])[0]
    assert embedder.embed(["a much longer text than the other " * 30, "a short one"])[1] == alone
    assert len(embedder.embed([f"text {n}" for n in range(local.BATCH + 5)])) == local.BATCH + 5


def test_nothing_is_near_to_no_text(embedder):
    assert set(numbers(embedder.embed([""])[0])) == {0.0}
    assert embedder.embed([]) == []


def test_no_network_no_logging_and_a_light_start(monkeypatch):
    def refuse(*_):
        raise AssertionError("a call out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    assert LocalEmbedder().embed(["hello"])
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)


def test_making_one_loads_nothing():
    code = (
        "import sys; from memagent.embeddings.local import LocalEmbedder; LocalEmbedder(); "
        "print([m for m in ('numpy', 'tokenizers', 'safetensors', 'requests', 'wordllama') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["wordllama", "numpy", "tokenizers"])
def test_a_missing_package_is_told_with_what_to_install(monkeypatch, missing):
    real = local.find_spec
    monkeypatch.setattr(local, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(MissingExtra, match=r"memagent\[embeddings\]"):
        LocalEmbedder()


def test_a_missing_file_is_named(monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(local, "find_spec", lambda name: Spec)
    embedder = LocalEmbedder()
    with pytest.raises(EmbeddingError, match=r"l2_supercat_256.safetensors is missing"):
        embedder.embed(["hello"])
