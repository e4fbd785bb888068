"""A card with its picture and files, as one file: PNG, JSON or CHARX, told by its content and not by its name.

Where a file belonging to a card is, is said in each form in another way; here it is always as in CHARX. Knows nothing
of what an agent makes of a card.
"""

from __future__ import annotations

import base64
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import count
from typing import Any

from memagent.bridges.cards import charx, png
from memagent.bridges.cards.card import BACKFILLED, Asset, Card, card_of, document, older_document
from memagent.bridges.cards.decorators import parted
from memagent.bridges.cards.written import dumped, packed, parsed, unpacked
from memagent.errors import UserError

LARGEST = 150_000_000
INSIDE = "embeded://"
IN_PICTURE = "__asset:"
PICTURE = "ccdefault:"
_CHUNK = "chara-ext-asset_:"
_MAIN = "assets/icon/images/main"
_ZIP, _JPEG = b"PK\x03\x04", b"\xff\xd8\xff"
_AGENT = re.compile(rb'\s*\{\s*"format"\s*:\s*"memagent-')


@dataclass(frozen=True)
class Sheet:
    """A card, the PNG that it came in (without it), and the files beside it. `newer`: of a later version than known."""

    card: Card
    picture: bytes | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    newer: bool = False


def looks_like_one(data: bytes) -> bool:
    """Whether a file is meant to be a card, good or broken."""
    if data.startswith((png.SIGNATURE, _ZIP, _JPEG)):
        return True
    if _AGENT.match(data):
        return False
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "format" not in found and bool({"spec", "data", "name", "char_name"} & {*found})


# Reading --------------------------------------------------------------------------------------------------------------


def read(data: bytes, where: str) -> Sheet:
    """The card in a file."""
    if len(data) > LARGEST:
        raise UserError(f"{where} has more than {LARGEST // 1_000_000} MB; no card is that large.")
    if data.startswith(png.SIGNATURE):
        return _from_picture(data, where)
    if data.startswith(_ZIP) or (data.startswith(_JPEG) and zipfile.is_zipfile(BytesIO(data))):
        return _from_archive(data, where)
    if data.startswith(_JPEG):
        raise UserError(f"{where} is a picture without a card.", hint="Cards are in PNG: get the original file.")
    return _sheet(parsed(data, where), where)


def _sheet(found: Any, where: str, **beside: Any) -> Sheet:
    card = card_of(found, where)
    version = re.match(r"\d+(\.\d+)?", str(found.get("spec_version", "")))
    return Sheet(card, **beside, newer=bool(version) and float(version[0]) > 3.0)  # type: ignore[index]


def _from_picture(data: bytes, where: str) -> Sheet:
    parts = png.chunks(data, where)
    texts: dict[str, png.Chunk] = {}
    for part in parts:
        name = png.keyword(part)
        texts.setdefault(name if name.startswith(_CHUNK) else name.lower(), part)
    chunk = texts.get("ccv3") or texts.get("chara")
    if chunk is None:
        raise UserError(
            f"{where} is a picture without a card.",
            hint="Get the original file: programs that shrink or convert pictures lose the card in them.",
        )
    sheet = _sheet(parsed(unpacked(png.text(chunk, where), where), where), where)
    files, room = {}, charx.LARGEST_WHOLE
    for name, part in texts.items():
        if name.startswith(_CHUNK) and charx.stays_inside(path := name.removeprefix(_CHUNK)):
            files[path] = _file(png.text(part, where), where)
            room -= len(files[path])
            if room < 0:
                raise UserError(f"{where}: the files in it have more than {charx.LARGEST_WHOLE // 1_000_000} MB.")
    card = _moved(sheet.card, lambda asset: _renamed(asset.uri, IN_PICTURE, INSIDE))
    own = {"ccv3", "chara", *(name.lower() for name in texts if name.startswith(_CHUNK))}
    return replace(sheet, card=card, picture=png.picture([*png.without(parts, own)]), files=files)


def _file(data: bytes, where: str) -> bytes:
    try:
        return base64.b64decode(data)
    except ValueError as error:
        raise UserError(f"{where} is damaged: a file in it is not base64.") from error


def _from_archive(data: bytes, where: str) -> Sheet:
    files = charx.files(data, where)
    sheet = _sheet(parsed(files.pop(charx.CARD), where), where)
    icon = _icon(sheet.card)
    picture = files.get(icon.uri.removeprefix(INSIDE)) if icon else None
    return replace(sheet, picture=picture if picture and picture.startswith(png.SIGNATURE) else None, files=files)


# Writing --------------------------------------------------------------------------------------------------------------


def as_json(sheet: Sheet, *, older: bool = False) -> bytes:
    """The card as JSON; files that belong to it stand in their addresses."""

    def address(asset: Asset) -> str:
        data = sheet.files.get(asset.uri.removeprefix(INSIDE)) if asset.uri.startswith(INSIDE) else None
        if data is None:
            return asset.uri
        kind = {"jpg": "jpeg"}.get(asset.ext, asset.ext) if re.fullmatch("[a-z0-9]{1,8}", asset.ext) else ""
        mime = f"image/{kind}" if kind in ("png", "jpeg", "webp", "gif", "avif") else "application/octet-stream"
        return f"data:{mime};base64,{base64.b64encode(data).decode()}"

    card = _moved(sheet.card, address)
    return (dumped(older_document(card) if older else document(card), indent=1) + "\n").encode()


def as_png(sheet: Sheet) -> bytes:
    """The card in its picture, or in a plain one; once for programs that know version 3, once for those that don't."""
    shown, parts = _shown(sheet)
    icon = _icon(sheet.card)
    own = icon.uri.removeprefix(INSIDE) if icon and sheet.files.get(icon.uri.removeprefix(INSIDE)) == shown else ""

    def address(asset: Asset) -> str:
        if own and asset == icon:
            return PICTURE
        there = asset.uri.removeprefix(INSIDE) in sheet.files
        return _renamed(asset.uri, INSIDE, IN_PICTURE) if there else asset.uri

    card = _moved(sheet.card, address)
    texts = {_CHUNK + path: base64.b64encode(data) for path, data in sheet.files.items() if path != own}
    texts |= {"chara": packed(older_document(_backfilled(card))), "ccv3": packed(document(card))}
    return png.picture([*png.without(parts, {"chara", "ccv3"})], texts)


def _shown(sheet: Sheet) -> tuple[bytes, list[png.Chunk]]:
    """The picture for a card, with its parts: its own if that is whole, else a plain one."""
    with suppress(UserError):
        if sheet.picture:
            return sheet.picture, png.chunks(sheet.picture, "The picture")
    drawn = png.plain(sheet.card.name)
    return drawn, png.chunks(drawn, "The picture")


def as_charx(sheet: Sheet) -> bytes:
    """The card and its files in a zip, its picture among them."""
    card, files = sheet.card, dict(sheet.files)
    if sheet.picture:
        path = next(name for name in _names() if files.get(name, sheet.picture) == sheet.picture)
        main = Asset("icon", INSIDE + path, "main", "png")
        icon = _icon(card)
        if icon is None:
            card = replace(card, assets=(main, *(card.assets or ())))
            files[path] = sheet.picture
        elif icon.uri == PICTURE:
            shown = replace(icon, uri=main.uri, ext=main.ext)
            card = replace(card, assets=tuple(shown if asset == icon else asset for asset in card.assets or ()))
            files[path] = sheet.picture
    return charx.archive({charx.CARD: dumped(document(card), indent=1).encode(), **files})


def _names() -> Iterator[str]:
    """Names for the picture, until one is free."""
    yield f"{_MAIN}.png"
    yield from (f"{_MAIN}_{number}.png" for number in count(2))


def _icon(card: Card) -> Asset | None:
    """The asset that is the character's picture, if the card names one."""
    icons = [asset for asset in card.assets or () if asset.type == "icon"]
    return next((asset for asset in icons if asset.name == "main"), icons[0] if icons else None)


def _renamed(uri: str, before: str, after: str) -> str:
    return after + uri.removeprefix(before) if uri.startswith(before) else uri


def _moved(card: Card, address: Callable[[Asset], str]) -> Card:
    """The card with other addresses of its files."""
    if card.assets is None:
        return card
    return replace(card, assets=tuple(replace(asset, uri=address(asset)) for asset in card.assets))


def _backfilled(card: Card) -> Card:
    """The card for programs of version 2: without decorators; where they would miss something, it says so."""
    book = card.character_book
    entries = tuple(replace(each, content=parted(each.content)[1]) for each in book.entries) if book else ()
    plain = replace(card, character_book=replace(book, entries=entries)) if book else card
    regex = any(entry.use_regex for entry in entries)
    if plain == card and not (card.nickname or card.assets or card.group_only_greetings or regex):
        return card
    notes = f"{BACKFILLED}\n\n{card.creator_notes}".strip()
    return replace(plain, creator_notes=notes)
