"""What a model file says of itself; and whatever else calls itself one is refused, at once."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import gguf, text

from memagent.errors import UserError
from memagent.llm.gguf import LONGEST_HEAD, Header, read

FACTS = {
    "general.architecture": "qwen2",
    "general.name": "Qwen",
    "general.size_label": "1.5B",
    "some.flag": True,
    "some.share": 0.5,
    "qwen2.context_length": 32768,
    "tokenizer.ggml.tokens": ["a", "b", "longer word"],
    "tokenizer.ggml.token_type": [1, 2, 3],
    "tokenizer.chat_template": "{% for message in messages %}…",
}


def file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    return path


def test_the_head_is_read_and_the_rest_left_alone(tmp_path: Path) -> None:
    found = read(file(tmp_path, gguf(FACTS, 1000)))
    assert found == Header("Qwen", "qwen2", "1.5B", 32768, "{% for message in messages %}…")
    assert read(file(tmp_path, gguf({}))) == Header()


PAIRS = struct.pack("<IQQ", 3, 0, 1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "too early"),
        (b"PK\x03\x04whatever", "other letters"),
        (b"GGUF", "too early"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version is 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "promises more"),
        (b"GGUF" + PAIRS + struct.pack("<QQ", 2**60, 0), "too long"),
        (b"GGUF" + PAIRS + text("k") + struct.pack("<IIQ", 9, 5, 2**62), "too early"),
        (b"GGUF" + PAIRS + text("k") + struct.pack("<IIQ", 9, 8, 2**62), "list"),
        (b"GGUF" + PAIRS + text("k") + struct.pack("<IIQ", 9, 9, 1), "holds lists"),
        (b"GGUF" + PAIRS + text("k") + struct.pack("<I", 77), "unknown type 77"),
        (gguf(FACTS)[:-3], "too early"),
    ],
)
def test_what_is_no_model_is_told(tmp_path: Path, data: bytes, said: str) -> None:
    path = file(tmp_path, data)
    with pytest.raises(UserError, match=said) as caught:
        read(path)
    assert str(path) in caught.value.message


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        read(tmp_path / "none.gguf")
    with pytest.raises(UserError, match="can't be read"):
        read(tmp_path)


def test_no_more_than_a_head_is_ever_read(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with path.open("wb") as sparse:
        sparse.write(b"GGUF" + PAIRS + text("k") + struct.pack("<IIQ", 9, 0, 2 * LONGEST_HEAD))
        sparse.truncate(10**12)
    with pytest.raises(UserError, match="too long"):
        read(path)


@given(st.binary(max_size=300), st.integers(0, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_in_it_it_is_read_or_refused(tmp_path: Path, noise: bytes, at: int) -> None:
    data = bytearray(gguf(FACTS))
    data[at : at + len(noise)] = noise
    with contextlib.suppress(UserError):
        read(file(tmp_path, bytes(data)))
