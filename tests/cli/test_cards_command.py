"""`memagent import` and `export` with character cards: what is told, what is refused, and what a chat begins with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cards_made import LAMP, V2, V3, charx, png, text
from command_line import Memagent


def card(home: Path, name: str = "mira.png", data: bytes | None = None) -> str:
    (home / name).write_bytes(png(text(V3, "ccv3")) if data is None else data)
    return name


@pytest.mark.parametrize("data", [png(text(V2)), json.dumps(V2).encode(), charx(V2)], ids=["PNG", "JSON", "CHARX"])
def test_a_card_is_known_by_what_is_in_it(memagent: Memagent, home: Path, data: bytes) -> None:
    done = memagent("import", card(home, "a.bin", data), "--user", "Bo")
    assert (done.code, done.err) == (0, "")
    assert "Imported Mira from a card, with 1 entry of lore." in done.out
    assert "Its author says: For rainy days." in done.out
    assert "It calls you User" not in done.out
    assert "Name: Bo" in memagent("show", "Mira").out
    assert memagent("import", "-", "--as", "other", stdin=data).code == 0


def test_a_chat_begins_with_the_greeting_until_it_is_answered(memagent: Memagent, home: Path) -> None:
    memagent("import", card(home), "--user", "Bo")
    assert "Shut the door, Bo." in memagent("run", "--agent", "Mi", stdin=b"").out
    first = memagent("run", "--agent", "Mi", stdin=b"Hello\n").out
    assert first.index("Shut the door, Bo.") < first.index("echo Hello")
    assert "Shut the door" not in memagent("run", "--agent", "Mi", stdin=b"Hello again\n").out


def test_what_does_not_fit_or_match_is_told(memagent: Memagent, home: Path) -> None:
    data = {**V2["data"], "description": "long " * 9000, "creator_notes": "\x1b[2Jclear\n\nmore"}  # type: ignore[dict-item]
    data["character_book"] = {"extensions": {}, "entries": [{**LAMP, "keys": ["/(?=\x1b)x/"]}]}
    done = memagent("import", card(home, "a.json", json.dumps({**V3, "spec_version": "4.0", "data": data}).encode()))
    assert done.code == 0
    assert "is whole in its archival memory: description, example dialogue." in done.err
    assert "can't be matched here: /(?=\\u001b)x/" in done.err
    assert "of a newer version" in done.err
    assert "Its author says: \\u001b[2Jclear\n" in done.out and "\x1b" not in done.out + done.err


def test_a_name_that_is_taken_can_be_another(memagent: Memagent, home: Path) -> None:
    memagent("import", card(home))
    done = memagent("import", "mira.png")
    assert done.code == 2 and "--as NAME" in done.err and len(done.err.splitlines()) == 2
    assert memagent("import", "mira.png", "--as", "mira2").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["import", "broken.png"], "broken.png is damaged: it is cut off."),
        (["import", "no.png"], "no.png can't be read"),
        (["import", "mira.png", "--greeting", "9"], "mira.png has no greeting 9; it has 3."),
        (["import", "agent.json", "--user", "Bo"], "agent.json is not a character card."),
        (["import", "words.txt"], "This is not an exported agent"),
        (["import", "mira.png", "--as", "a/b"], "can't be used as a name"),
        (["import", "mira.png", "--preset", "nothing"], "nothing"),
        (["export", "ada", "mira.png"], "mira.png is there already."),
        (["export", "ada", "a.gif", "--card"], "can't be written to a file that ends with .gif"),
        (["export", "ada", "a.png", "--v2"], "--v2 is for cards in JSON."),
        (["export", "nobody", "a.png"], "There is no agent 'nobody'."),
    ],
)
def test_what_is_refused_is_told_in_a_line(memagent: Memagent, home: Path, words: list[str], says: str) -> None:
    card(home)
    card(home, "broken.png", png(text(V2))[:200])
    (home / "words.txt").write_text("Hello")
    memagent("ask", "hello", "--agent", "ada")
    memagent("export", "ada", "agent.json")
    agents = memagent("list").out
    done = memagent(*words)
    assert done.code == 2 and says in done.err and len(done.err.splitlines()) <= 2
    assert memagent("list").out == agents


def test_it_leaves_as_a_card_that_only_its_owner_can_read(memagent: Memagent, home: Path) -> None:
    memagent("import", card(home))
    for name in ("out.png", "out.charx", "OUT.PNG"):
        assert memagent("export", "Mi", name).out == f"Exported Mi to {name} as a character card\n"
        assert (home / name).stat().st_mode & 0o077 == 0
    assert json.loads(memagent("export", "Mi", "--card").out)["data"]["name"] == "Mira"
    assert json.loads(memagent("export", "Mi", "--v2").out)["spec"] == "chara_card_v2"
    assert json.loads(memagent("export", "Mi").out)["format"] == "memagent-agent"
    memagent("export", "Mi", "mi.json")
    assert memagent("import", "mi.json", "--as", "copy").out == "Imported copy\n"
    memagent("export", "copy", "copy.png")
    assert (home / "copy.png").read_bytes() == (home / "out.png").read_bytes()
