"""Cards are read in every form they come in, and written with nothing lost."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest
from cards_made import LAMP, V1, V2, V3, anything, cards, charx, chunk, packed, png, text
from hypothesis import given
from hypothesis import strategies as st

from memagent.bridges.cards.card import BACKFILLED, Asset, Card, card_of, document, older_document
from memagent.bridges.cards.decorators import parted
from memagent.bridges.cards.sheets import Sheet, as_charx, as_json, as_png, looks_like_one, read
from memagent.errors import UserError


def sheet(data: bytes) -> Sheet:
    assert looks_like_one(data)
    return read(data, "mira")


def as_file(found: Any) -> bytes:
    return json.dumps(found).encode()


# Reading --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [V1, V2, V3], ids=["V1", "V2", "V3"])
def test_every_version_is_read_from_every_form(written: dict[str, Any]) -> None:
    card = sheet(as_file(written)).card
    assert (card.name, card.first_mes) == ("Mira", "Shut the door, {{user}}.")
    forms = [
        png(text(written)),
        png(text(written, "Chara")),
        png(chunk(b"zTXt", b"chara\0\0" + zlib.compress(packed(written)))),
        png(chunk(b"iTXt", b"chara\0\0\0\0\0" + packed(written))),
        png(chunk(b"iTXt", b"chara\0\1\0en\0\0" + zlib.compress(packed(written)))),
        png(chunk(b"tEXt", b"chara\0" + json.dumps(written).encode())),
        charx(written),
        b"\xff\xd8\xff\xe0 a picture" + charx(written),
        b"\xef\xbb\xbf" + as_file(written),
    ]
    assert [sheet(form).card for form in forms] == [card] * len(forms)


def test_all_that_stands_in_a_card_is_there() -> None:
    card = sheet(as_file(V3)).card
    assert card.called == "Mi"
    assert card.greetings == ("Shut the door, {{user}}.", "Oh. You again.", "*snores*")
    assert card.creator_notes_multilingual == {"de": "Für Regentage."}
    assert card.assets == (Asset("icon", "ccdefault:", "main", "png"),)
    assert card.character_book and card.character_book.entries[0].keys == ("lamp", "light")
    assert card.extensions == {"fav": True, "talkativeness": "0.5"}
    assert not card.more and not card.outer


def test_version_3_is_taken_where_both_stand() -> None:
    both = png(text(V2, "chara"), text(V3, "ccv3"))
    assert sheet(both).card.nickname == "Mi"


def test_the_oldest_names_are_known() -> None:
    old = {"char_name": "Mira", "char_persona": "dry", "char_greeting": "Hm.", "example_dialogue": "a"}
    card = sheet(as_file(old)).card
    assert (card.name, card.description, card.first_mes, card.mes_example) == ("Mira", "dry", "Hm.", "a")


def test_what_stands_beside_the_character_fills_what_is_missing_in_it() -> None:
    card = sheet(as_file({"spec": "chara_card_v2", "data": {"name": "Mira"}, "scenario": "Rain.", "fav": 1})).card
    assert (card.scenario, card.outer) == ("Rain.", {"fav": 1})


def test_a_newer_version_is_read_and_told_of() -> None:
    newer = sheet(as_file({**V3, "spec_version": "3.1"}))
    assert newer.newer and newer.card.name == "Mira"
    assert not sheet(as_file(V3)).newer


def test_what_is_of_another_type_does_no_harm_and_is_kept() -> None:
    odd = {"name": "Mira", "description": "x", "tags": 5, "nickname": None, "first_mes": ["a"], "creator": {"a": 1}}
    odd |= {
        "alternate_greetings": "one",
        "character_book": {"extensions": {}, "entries": [{**LAMP, "insertion_order": "x"}]},
    }
    card = sheet(as_file({"spec": "chara_card_v2", "data": odd})).card
    assert (card.tags, card.nickname, card.first_mes, card.alternate_greetings) == ((), None, "", ("one",))
    again = document(card)["data"]
    kept = ("tags", "nickname", "first_mes", "creator", "character_book")
    assert {key: again[key] for key in kept} == {key: odd[key] for key in kept}
    assert replace(card, tags=("sea",)).tags == ("sea",)
    assert document(replace(card, tags=("sea",)))["data"]["tags"] == ["sea"]


@given(anything, st.sampled_from(sorted(V3["data"])))  # type: ignore[arg-type]
def test_no_field_can_break_the_reading(value: Any, key: str) -> None:
    odd = {**V3, "data": {**V3["data"], key: value}}  # type: ignore[dict-item]
    try:
        card = card_of(odd, "odd")
    except UserError:
        assert key == "name"
    else:
        assert card_of(json.loads(json.dumps(document(card))), "again") == card


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([1], "no object"),
        ({"spec": "chara_card_v2", "data": {"name": " "}}, "no name"),
        ({"name": "Mira"}, "describes nobody"),
        ({"spec": "lorebook_v3", "data": {"entries": []}}, "lore book alone"),
        ({"spec": "something_else", "name": "Mira", "description": "x"}, "something_else"),
        ({"data": {"x": 1}}, "describes nobody"),
    ],
)
def test_what_is_no_card_is_told(found: Any, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        card_of(found, "mira.json")
    assert "mira.json" in caught.value.message


def test_other_files_are_not_taken_for_cards() -> None:
    for data in (b"", b"hello", b"[]", b'{"a": 1}', b'{"format": "memagent-agent", "name": "x"}', b"{", b"\xff\xfe"):
        assert not looks_like_one(data)


# Writing --------------------------------------------------------------------------------------------------------------


@given(cards)
def test_there_and_back_nothing_is_lost(card: Card) -> None:
    held = Sheet(card, files={"notes/é.txt": b"\0\xff"})
    assert read(as_json(held), "j") == Sheet(card)
    assert read(as_charx(held), "c") == held
    back = read(as_png(held), "p")
    assert (back.card, back.files) == (held.card, held.files)
    assert card_of(older_document(card), "2") == card


@given(cards)
def test_the_same_is_written_again_byte_for_byte(card: Card) -> None:
    for form in (as_json, as_png, as_charx):
        once = form(Sheet(card))
        assert form(read(once, "x")) == form(read(form(read(once, "x")), "x"))


def test_a_picture_stays_as_it_was() -> None:
    bare = png(chunk(b"tEXt", b"Title\0Mira"))
    found = sheet(png(chunk(b"tEXt", b"Title\0Mira"), text(V2), text(V3, "ccv3")))
    assert found.picture == bare
    again = sheet(as_png(found))
    assert again == found


def test_programs_of_version_2_can_read_it() -> None:
    data = as_png(sheet(as_file(V3)))
    chara = json.loads(base64.b64decode(data.split(b"tEXtchara\0")[1].split(b"\0")[0][:-4] + b"=="))
    assert chara["spec"] == "chara_card_v2"
    assert chara["name"] == chara["data"]["name"] == "Mira"
    assert chara["data"]["creator_notes"] == f"{BACKFILLED}\n\nFor rainy days."


def test_a_card_of_version_2_is_written_for_it_without_a_warning() -> None:
    found = sheet(as_file(V2))
    assert json.loads(as_json(found, older=True))["data"] == {**V2["data"], "group_only_greetings": []}  # type: ignore[dict-item]
    assert BACKFILLED.encode() not in base64.b64decode(as_png(found).split(b"tEXtchara\0")[1][:400])


def test_the_picture_and_files_go_from_form_to_form() -> None:
    icon, song = png(), b"\0song"
    card = replace(
        card_of(V3, "v3"),
        assets=(Asset("icon", "embeded://a/i.png", "main", "png"), Asset("x_song", "embeded://s/é.mp3", "s", "mp3")),
    )
    zipped = sheet(as_charx(Sheet(card, files={"a/i.png": icon, "s/é.mp3": song, "module.json": b"{}"})))
    assert zipped.picture == icon and zipped.card == card
    pictured = sheet(as_png(zipped))
    assert pictured.picture == icon
    assert pictured.files == {"s/é.mp3": song, "module.json": b"{}"}
    assert [asset.uri for asset in pictured.card.assets or ()] == ["ccdefault:", "embeded://s/é.mp3"]
    again = sheet(as_charx(pictured))
    main, other = again.card.assets or ()
    assert again.files[main.uri.removeprefix("embeded://")] == icon
    assert again.files[other.uri.removeprefix("embeded://")] == song
    alone = sheet(as_json(zipped))
    assert [asset.uri[:22] for asset in alone.card.assets or ()] == ["data:image/png;base64,", "data:application/octet"]


def test_a_picture_that_is_damaged_or_has_another_card_in_it_does_no_harm() -> None:
    card = replace(card_of(V3, "v3"), assets=(Asset("icon", "embeded://i.png", "main", "png"),))
    broken = sheet(as_png(sheet(as_charx(Sheet(card, files={"i.png": png()[:-20]})))))
    assert broken.card == card and broken.files == {"i.png": png()[:-20]}
    other = png(text({**V1, "name": "Other"}))
    assert sheet(as_png(sheet(as_charx(Sheet(card, files={"i.png": other}))))).card.name == "Mira"


def test_who_has_no_picture_gets_a_plain_one() -> None:
    drawn = sheet(as_png(Sheet(Card("Mira", description="x"))))
    assert drawn.picture and drawn.picture.startswith(b"\x89PNG") and len(drawn.picture) < 50_000
    assert drawn.card == Card("Mira", description="x")
    assert as_png(Sheet(Card("Mira"))) == as_png(Sheet(Card("Mira"))) != as_png(Sheet(Card("Bo")))


def test_a_name_that_is_taken_in_the_zip_is_left_alone() -> None:
    path = "assets/icon/images/main.png"
    zipped = sheet(as_charx(Sheet(Card("Mira", description="x"), png(), {path: b"other"})))
    assert zipped.files[path] == b"other"
    assert zipped.picture == png()


# Decorators -----------------------------------------------------------------------------------------------------------


MORE_KEYS = {"additional_keys": ("a,b", "c")}


@pytest.mark.parametrize(
    ("content", "given", "rest"),
    [
        ("Just text.", {}, "Just text."),
        ("@@scan_depth 4\n\nText.\n", {"scan_depth": ("4",)}, "Text."),
        ("\n@@activate\r\n@@additional_keys a,b\n@@additional_keys c\nT", {"activate": ("",), **MORE_KEYS}, "T"),
        ("@@unknown 1\n@@@other 2\n@@@scan_depth 3\n@@@activate\nT", {"scan_depth": ("3",)}, "T"),
        ("@@scan_depth 4\n@@@activate\nT", {"scan_depth": ("4",)}, "T"),
        ("@@@activate\nT", {"activate": ("",)}, "T"),
        ("T\n@@activate", {}, "T\n@@activate"),
        ("@@ not one", {}, "@@ not one"),
        ("@@activate", {"activate": ("",)}, ""),
    ],
)  # fmt: skip
def test_decorators_are_read_and_taken_off(content: str, given: dict[str, tuple[str, ...]], rest: str) -> None:
    assert parted(content, ("scan_depth", "activate", "additional_keys")) == (given, rest)


@given(st.text(alphabet="@ab_ \n1", max_size=60))
def test_any_text_is_parted(content: str) -> None:
    given_, rest = parted(content, ("a", "b"))
    assert content.endswith(rest) or content.rstrip("\r\n").endswith(rest)
    assert set(given_) <= {"a", "b"}
