"""Cards as other programs write them, good and bad."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from hypothesis import strategies as st

from memagent.bridges.cards.card import Asset, Book, Card, Entry

SIGNATURE = b"\x89PNG\r\n\x1a\n"
V1 = {
    "name": "Mira",
    "description": "{{char}} keeps a lighthouse.",
    "personality": "dry",
    "scenario": "<USER> comes in from the rain.",
    "first_mes": "Shut the door, {{user}}.",
    "mes_example": "<START>\n{{user}}: Hello\n{{char}}: Hm.",
}
LAMP = {"keys": ["lamp", "light"], "content": "The lamp is named Old Tom.", "extensions": {}, "enabled": True,
        "insertion_order": 10}  # fmt: skip
V2 = {
    "spec": "chara_card_v2",
    "spec_version": "2.0",
    "data": {
        **V1,
        "creator_notes": "For rainy days.",
        "system_prompt": "{{original}} Speak briefly.",
        "post_history_instructions": "Never break character, {{user}} hates it.",
        "alternate_greetings": ["Oh. You again.", "*snores*"],
        "tags": ["sea"],
        "creator": "Ann",
        "character_version": "1.2",
        "extensions": {"fav": True, "talkativeness": "0.5"},
        "character_book": {"extensions": {}, "entries": [LAMP]},
    },
}
V3 = {
    "spec": "chara_card_v3",
    "spec_version": "3.0",
    "data": {
        **V2["data"],  # type: ignore[dict-item]
        "nickname": "Mi",
        "group_only_greetings": ["Everybody out."],
        "creator_notes_multilingual": {"de": "Für Regentage."},
        "source": ["https://example.org/mira"],
        "creation_date": 1700000000,
        "assets": [{"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}],
    },
}


def chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    sum_ = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)


def png(*texts: bytes, end: bool = True) -> bytes:
    """A picture of one point, with these chunks in it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0\x80"))
    return SIGNATURE + header + body + b"".join(texts) + (chunk(b"IEND", b"") if end else b"")


def packed(document: Any) -> bytes:
    return base64.b64encode(json.dumps(document).encode())


def text(document: Any, name: str = "chara") -> bytes:
    return chunk(b"tEXt", name.encode() + b"\0" + packed(document))


def charx(document: Any, files: Mapping[str, bytes] | None = None) -> bytes:
    written = BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as archive:
        archive.writestr("card.json", json.dumps(document))
        for name, data in (files or {}).items():
            archive.writestr(name, data)
    return written.getvalue()


# Any card -------------------------------------------------------------------------------------------------------------

words = st.text(max_size=20)
texts = st.lists(words, max_size=3).map(tuple)
numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(words, inner, max_size=2)),
    max_leaves=4,
)
mappings = st.dictionaries(words, anything, max_size=3)
maybe = st.one_of
foreign = st.dictionaries(st.text(min_size=1, max_size=8).map(lambda key: f"x-{key}"), anything, max_size=2)

entries = st.builds(
    Entry, keys=texts, content=words, extensions=mappings, enabled=st.booleans(), insertion_order=numbers,
    case_sensitive=maybe(st.none(), st.booleans()), use_regex=maybe(st.none(), st.booleans()),
    constant=maybe(st.none(), st.booleans()), name=maybe(st.none(), words), priority=maybe(st.none(), numbers),
    id=maybe(st.none(), numbers, words), comment=maybe(st.none(), words), selective=maybe(st.none(), st.booleans()),
    secondary_keys=maybe(st.none(), texts), position=maybe(st.none(), words), more=foreign,
)  # fmt: skip
books = st.builds(
    Book, name=maybe(st.none(), words), description=maybe(st.none(), words), scan_depth=maybe(st.none(), numbers),
    token_budget=maybe(st.none(), numbers), recursive_scanning=maybe(st.none(), st.booleans()), extensions=mappings,
    entries=st.lists(entries, max_size=2).map(tuple), more=foreign,
)  # fmt: skip
assets = st.builds(
    Asset, type=words, uri=words.map(lambda text: f"https://{text}"), name=words, ext=words, more=foreign
)
cards = st.builds(
    Card, name=st.text(min_size=1, max_size=20).filter(str.strip), description=words, personality=words, scenario=words,
    first_mes=words, mes_example=words, creator_notes=words, system_prompt=words, post_history_instructions=words,
    alternate_greetings=texts, group_only_greetings=texts, tags=texts, creator=words, character_version=words,
    extensions=mappings, character_book=maybe(st.none(), books), nickname=maybe(st.none(), words),
    creator_notes_multilingual=maybe(st.none(), mappings), source=maybe(st.none(), texts),
    creation_date=maybe(st.none(), numbers), modification_date=maybe(st.none(), numbers),
    assets=maybe(st.none(), st.lists(assets, max_size=2).map(tuple)), more=foreign, outer=foreign,
)  # fmt: skip
