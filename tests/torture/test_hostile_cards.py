"""Cards that were made to do harm, or that came to harm: each is refused in a line that names it."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from functools import cache
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from cards_made import V2, V3, charx, chunk, packed, png, text
from hypothesis import given
from hypothesis import strategies as st

from memagent.bridges.cards import charx as charx_file
from memagent.bridges.cards.sheets import as_charx, as_png, read
from memagent.errors import UserError

GIGABYTE = 1_000_000_000


@cache
def folded(size: int) -> bytes:
    """So many zeros, compressed."""
    folding = zlib.compressobj(1)
    zeros = bytes(1_000_000)
    return b"".join(folding.compress(zeros) for _ in range(size // len(zeros))) + folding.flush()


def deep(levels: int) -> bytes:
    return (
        b'{"spec": "chara_card_v2", "data": {"name": "x", "extensions": '
        + b'{"a":' * levels
        + b"1"
        + b"}" * (levels + 2)
    )


def zipped(**files: bytes) -> bytes:
    written = BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "."), data)
    return written.getvalue()


def encrypted() -> bytes:
    """A zip that says that its files are encrypted."""
    data = bytearray(charx(V2))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    return bytes(data)


def lying() -> bytes:
    """A zip that says of its card that it is small."""
    data = bytearray(zipped(card__json=b" " * 30_000_000 + b"{}"))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 100)
    struct.pack_into("<I", data, data.index(b"PK\x03\x04") + 22, 100)
    return bytes(data)


MANY = {"entries": [{}] * 20_001}
HOSTILE: dict[str, tuple[Any, str]] = {
    "a picture alone": (lambda: png(), "without a card"),
    "no end": (lambda: png(text(V2), end=False), "cut off"),
    "cut in the card": (lambda: png(text(V2))[:300], "cut off"),
    "a length that lies": (lambda: png()[:-12] + struct.pack(">I", 2**31) + b"tEXtchara\0", "cut off"),
    "a wrong sum": (lambda: png(chunk(b"tEXt", b"chara\0" + packed(V2), crc=1)), "sum"),
    "not base64": (lambda: png(chunk(b"tEXt", b"chara\0" + b"*" * 99)), "not base64"),
    "base64 in base64": (lambda: png(chunk(b"tEXt", b"chara\0" + base64.b64encode(packed(V2)))), "no JSON"),
    "half the JSON": (lambda: png(chunk(b"tEXt", b"chara\0" + base64.b64encode(b'{"name": "x"'))), "no card"),
    "not UTF-8": (lambda: png(chunk(b"tEXt", b"chara\0" + base64.b64encode(b'{"name": "\xff"}'))), "no card"),
    "a gigabyte in zTXt": (lambda: png(chunk(b"zTXt", b"chara\0\0" + folded(GIGABYTE))), "unfolds to more"),
    "a gigabyte in iTXt": (lambda: png(chunk(b"iTXt", b"ccv3\0\1\0\0\0" + folded(GIGABYTE))), "unfolds to more"),
    "a broken zTXt": (lambda: png(chunk(b"zTXt", b"chara\0\0" + zlib.compress(packed(V2))[:-9])), "cut off"),
    "no zlib at all": (lambda: png(chunk(b"zTXt", b"chara\0\0hello")), "can't be read"),
    "a hundred thousand parts": (lambda: png(*[chunk(b"tEXt", b"x\0")] * 100_001), "more than 100,000 parts"),
    "a deep card": (lambda: deep(100), "levels deep"),
    "a bottomless card": (lambda: deep(100_000), "no card"),
    "a long card": (lambda: json.dumps({"name": "x", "description": "x" * 20_000_001}).encode(), "20 MB of text"),
    "a zip of something else": (lambda: zipped(readme__txt=b"x"), "no card.json"),
    "a card deeper in the zip": (lambda: zipped(**{"a/card__json": b"{}"}), "no card.json"),
    "a card that unfolds": (lambda: zipped(card__json=b" " * 30_000_000), "unfolds to more than 20 MB"),
    "a zip that lies": (lying, "broken"),
    "a file that unfolds": (lambda: charx(V2, {"a.bin": bytes(60_000_000)}), "unfolds to more than 50 MB"),
    "files that unfold": (lambda: charx(V2, {f"{n}": bytes(40_000_000) for n in range(3)}), "unfolds to more than"),
    "many files": (lambda: charx(V2, {f"{n}": b"" for n in range(charx_file.MOST_FILES + 1)}), "more than 2,000 files"),
    "encrypted": (encrypted, "protected"),
    "half a zip": (lambda: charx(V2)[:200], "broken"),
    "a JPEG": (lambda: b"\xff\xd8\xff\xe0JFIF", "without a card"),
    "a file that is not base64": (lambda: png(text(V2), chunk(b"tEXt", b"chara-ext-asset_:a\0a")), "not base64"),
    "a lore book of a million": (
        lambda: json.dumps({"spec": "chara_card_v2", "data": {"name": "x", "character_book": MANY}}),
        "more than 20,000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_a_line_that_names_it(name: str) -> None:
    make, says = HOSTILE[name]
    data = make()
    with pytest.raises(UserError, match=says) as caught:
        read(data.encode() if isinstance(data, str) else data, "evil.png")
    assert caught.value.message.startswith("evil.png") and "\n" not in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/../../x", "..\\x", "C:/x", "C:\\x", "a/./b", "\\\\host\\x"])
def test_names_that_lead_elsewhere_are_left_out(name: str) -> None:
    found = read(charx(V2, {name: b"evil", "good.txt": b"good"}), "x")
    assert set(found.files.values()) == {b"good"}
    pictured = read(
        png(text(V2), chunk(b"tEXt", f"chara-ext-asset_:{name}\0".encode() + base64.b64encode(b"evil"))), "x"
    )
    assert not pictured.files and "good.txt" in read(as_png(found), "x").files


def test_numbers_that_are_none_become_nothing() -> None:
    data = b'{"name": "x", "description": "y", "a": [NaN, Infinity, -Infinity, 1e999, -1e999, 0.1]}'
    card = read(data, "x").card
    assert card.more == {"a": [None] * 5 + [0.1]}
    assert b"NaN" not in as_charx(read(data, "x"))


def test_half_characters_stay_as_they_are() -> None:
    found = read(b'{"name": "x", "description": "\\ud800 \\u0000 \xf0\x9f\x90\x89"}', "x")
    assert read(as_png(found), "x").card == found.card


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for begun in (b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\xff\xd8\xff", b"{"):
        with pytest.raises(UserError):
            read(begun + data, "x")


@given(st.data(), st.sampled_from([png(text(V2), text(V3, "ccv3")), charx(V3, {"a.txt": b"a" * 50})]))
def test_any_damage_is_told_or_does_no_harm(data: st.DataObject, whole: bytes) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    for broken in (bytes(damaged), whole[:at], whole[:at] + whole[at + 1 :]):
        try:
            assert read(broken, "x").card.name
        except UserError as error:
            assert "x" in error.message
