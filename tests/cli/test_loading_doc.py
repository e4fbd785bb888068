"""Every example in docs/loading.md is carried out, and prints what stands there."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from pathlib import Path

import pytest
from command_line import Memagent
from loads import Letters, write
from test_load import chats, pages

from memagent import registry

TEXT = (Path(__file__).parents[2] / "docs" / "loading.md").read_text("utf-8")
SESSIONS = [text.removeprefix("$ ").split("\n", 1) for text in re.findall(r"^```console\n(.*?)^```", TEXT, re.M | re.S)]
TRAM = (
    "<html><head><title>Tram 28</title></head><body><p>" + "The tram 28 climbs to Graça. " * 18 + "</p></body></html>"
)


def opened(*_: object) -> Letters:
    """The embedder of the examples."""
    return Letters()


def shown(text: str) -> list[str]:
    """Without what is another each time."""
    text = re.sub(r"(?<=in )[\d.]+(?= s\.)", "N", text)
    text = re.sub(r"(?m)\s+(words:|meaning ).*$", "", text)  # why it was found
    return [" ".join(line.split()) for line in re.sub(r"2026-\d\d-\d\d \d\d:\d\d", "NOW", text).splitlines()]


def prepared(home: Path) -> None:
    write(home / "papers", {"trips/lisbon.md": "# Lisbon\n\nThe tram 28 climbs to Graça.\n", "photo.png": b"\x89PNG"})
    write(home / "papers", {"soup.txt": "Leek soup needs three leeks, and a lot of pepper: more than you think."})
    with sqlite3.connect(home / "shop.db") as shop:
        shop.execute("CREATE TABLE soups (name TEXT, needs TEXT)")
        shop.executemany("INSERT INTO soups VALUES (?, ?)", [("Leek", "leeks"), ("Miso", "tofu")])
    shop.close()
    numpy = pytest.importorskip("numpy")
    numpy.save(home / "soups.npy", numpy.eye(2, 4, dtype="<f4"))
    (home / "soups.json").write_text(json.dumps(["Leek soup needs leeks.", "Miso soup needs tofu."]))
    node = {"__data__": json.dumps({"text": "Leek soup needs leeks.", "metadata": {"file_name": "soup.md"}})}
    write(home / "kept", {"docstore.json": json.dumps({"docstore/data": {"n1": node}})})
    write(home / "kept", {"default__vector_store.json": json.dumps({"embedding_dict": {"n1": [1.0, 0, 0, 0]}})})
    chats(
        home / "conversations.json",
        Lisbon=["Where is Graça?", "On a hill."],
        Soup=["How many leeks?", "Three of them."],
    )


def test_the_commands_print_what_is_shown(memagent: Memagent, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(home)
    monkeypatch.setitem(registry.EMBEDDERS, "local", f"{__name__}:opened")
    monkeypatch.setenv("MEMAGENT_EMBEDDER", "local")
    monkeypatch.setenv("MEMAGENT_ALLOWED_HOSTS", "127.0.0.1")
    memagent("ask", "hello", "--agent", "ada")
    assert len(SESSIONS) > 10
    with pages({"/tram": TRAM}) as site:
        for command, expected in SESSIONS:
            program, *words = shlex.split(command.replace("https://example.org", site.url))
            done = memagent(*words)
            assert (program, done.code, done.err) == ("memagent", 0, ""), command
            printed, wanted = shown(done.out), shown(expected)
            if wanted[-1] == "…":  # and so on
                printed, wanted = printed[: len(wanted) - 1], wanted[:-1]
            assert printed == wanted, command
