"""`memagent create` and `scene`: what is made, what is shown, for people and for scripts, and what stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import MEMAGENT, Memagent

LINES = """
- when: {system: You are Ann, said: slowly}
  say: "one two three four five six seven eight nine ten"
  pace: 0.5
- when: {system: You are Ann}
  text: A secret.
  say: "How deep is it?\\n\\e[2JDeep?"
- when: {system: You are Bo}
  say: Nine fathoms.
- when: {system: You are Cy}
  say: (pass)
- when: {system: You are Di}
  error: {status: 400, message: no way}
"""


@pytest.fixture(autouse=True)
def script(home: Path, environment: dict[str, str]) -> None:
    (home / "script.yaml").write_text(LINES)


@pytest.fixture
def cast(memagent: Memagent) -> None:
    for name in ("Ann", "Bo", "Cy", "Di"):
        assert memagent("create", name, f"You are {name}.").code == 0


def test_a_character_is_created(memagent: Memagent) -> None:
    done = memagent("create", "Old Tom", "-", "--background", "age=90", "--background", "boats=two", "--max-memories",
                    "5", "--background", "boats=three", stdin=b"You are Ann.\n")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.out == "Old Tom is there. Talk with: memagent run --agent 'Old Tom'\n"
    assert "You are Ann.\n\nage: 90\nboats: two, three\n" in memagent("show", "Old Tom").out
    assert "Deep?" in memagent("ask", "Hello", "--agent", "Old Tom").out
    exported = json.loads(memagent("export", "Old Tom").out)
    assert json.loads(exported["agent"]["settings"])["character"]["memory_config"]["max_memories"] == 5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["Ann", "You."], "There is an agent 'Ann' already."),
        (["Eve", " "], "The prompt is empty."),
        (["Eve", "You.", "--background", "tall"], "'tall' does not say what it tells."),
        (["Eve", "You.", "--summary-threshold", "1"], "summary_threshold is a number from 2"),
        (["E/e", "You."], "'E/e' can't be used as a name."),
    ],
)
def test_what_can_be_no_character_is_told(memagent: Memagent, cast: None, words: list[str], says: str) -> None:
    done = memagent("create", *words)
    assert (done.code, done.out) == (2, "") and says in done.err


def test_a_scene_is_printed_line_by_line(memagent: Memagent, cast: None) -> None:
    done = memagent("scene", "Ann", "Bo", "Cy", "Di", "--topic", "The sea", "--turns", "5")
    assert done.code == 0
    assert (
        done.out == "Ann: How deep is it?\n\\u001b[2JDeep?\nBo: Nine fathoms.\nAnn: How deep is it?\n\\u001b[2JDeep?\n"
    )
    assert done.err.startswith("Cy says nothing.\nDi says nothing: ") and "no way" in done.err
    assert "secret" not in done.out + done.err
    assert "Nine fathoms." in memagent("search", "Ann", "fathoms").out


def test_a_scene_for_scripts(memagent: Memagent, cast: None) -> None:
    done = memagent("scene", "Ann", "Cy", "Di", "-t", "The sea", "-n", "3", "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert lines[0] == {"turn": 1, "who": "Ann", "text": "How deep is it?\n\x1b[2JDeep?"}
    assert lines[1] == {"turn": 2, "who": "Cy", "passes": True}
    assert lines[2]["passes"] and "no way" in lines[2]["failed"] and (done.code, done.err) == (0, "")


def test_where_nobody_says_anything_the_code_tells(memagent: Memagent, cast: None) -> None:
    done = memagent("scene", "Cy", "Di", "--topic", "The sea")
    assert (done.code, done.out) == (3, "")
    done = memagent("scene", "Cy", "Eve", "--topic", "The sea")
    assert done.code == 2 and "There is no agent 'Eve'." in done.err


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent by a signal")
def test_ctrl_c_ends_it_and_what_was_said_is_kept(memagent: Memagent, cast: None, environment: dict[str, str]) -> None:
    command = [*MEMAGENT, "scene", "Bo", "Ann", "Cy", "--topic", "Speak slowly.", "--json"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        assert json.loads(process.stdout.readline())["text"] == "Nine fathoms."
        process.send_signal(signal.SIGINT)
        rest, told = process.stdout.read(), process.stderr.read()
    assert (process.returncode, rest, told) == (130, "", "Stopped. What was said is kept.\n")
    kept = subprocess.run([sys.executable, "-c", MISSED], env=environment, capture_output=True, text=True, check=True)
    assert kept.stdout == "['Bo: Nine fathoms.']\n"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_in_a_terminal_words_come_as_they_are_made_under_names(
    memagent: Memagent, cast: None, environment: dict[str, str]
) -> None:
    from terminal import CTRL_C, Terminal

    with Terminal(["scene", "Bo", "Cy", "Di", "Ann", "--topic", "Speak slowly."], environment) as terminal:
        terminal.expect("Bo\n")
        terminal.expect("Nine fathoms.")
        terminal.expect("Cy\n")
        terminal.expect("pass")
        assert "no way" in terminal.expect("Ann\n")
        begun = terminal.expect("one")
        assert "ten" not in begun
        terminal.send(CTRL_C)
        terminal.expect("Stopped. What was said is kept.")
        assert "secret" not in terminal.seen


MISSED = """
from memagent.characters import CharacterSystem
with CharacterSystem() as system:
    for memory in system.get_character("Cy").get_memories(types=["event"]):
        print(memory.content["heard at the end"])
"""
