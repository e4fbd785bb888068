"""A chat as people have it: in a real terminal where keys matter, through a pipe where lines are enough."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Memagent, bare

pytest.importorskip("pty", reason="it needs a pseudo-terminal")
from terminal import CTRL_C, CTRL_D, Terminal

from memagent import config
from memagent.assemble import load_agent, open_database
from memagent.cli.chat import Chat
from memagent.cli.console import Console
from memagent.cli.printer import Printer
from memagent.context import transcript
from memagent.llm.scripted import ScriptedLLM

Open = Callable[..., Terminal]
PRESET = "system: chat\nfunctions: [base, extras, games]\nrules: {http_request: {approval: true}}\n"
GAMES = 'def roll() -> int:\n    """Roll a die."""\n    return 4\n'


@pytest.fixture
def chat(environment: dict[str, str]) -> Open:
    def opened(*words: str, **more: str) -> Terminal:
        return Terminal(["run", *words], {**environment, **more})

    return opened


@pytest.fixture
def mine(home: Path) -> None:
    """A preset and a function set of the user's own."""
    for folder, name, text in (("presets", "mine.yaml", PRESET), ("functions", "games.py", GAMES)):
        (home / folder).mkdir()
        (home / folder / name).write_text(text)


def lines(*typed: str) -> bytes:
    return "\n".join(typed).encode() + b"\n"


def what_the_model_sees(name: str = "companion") -> str:
    settings = config.load({})
    database = open_database(settings)
    try:
        agent = load_agent(settings, database, name, llm=ScriptedLLM([]))
        return "\n".join([*(m.content for m in agent.compiled()), transcript(agent.state.window)])
    finally:
        database.close()


# In a terminal --------------------------------------------------------------------------------------------------------


def test_a_chat_that_is_left_and_taken_up(chat: Open, memagent: Memagent) -> None:
    with chat() as terminal:
        terminal.expect("companion is new")
        terminal.expect("Welcome!")
        terminal.expect("> ")
        terminal.say("note I like maps")
        terminal.expect("✎ human")
        terminal.expect("Noted: I like maps")
        terminal.expect("> ")
        terminal.send("\x1b[200~two\nlines\x1b[201~\r")
        terminal.expect("echo two")
        terminal.expect("lines")
        terminal.say("/lod")
        terminal.expect("Did you mean /load?")
        terminal.say("/load nobody")
        terminal.expect("There are: companion")
        terminal.say("/dump")
        for line in ("you: note I like maps", "(Worth keeping.)", "→ core_memory_append", "companion: echo two"):
            terminal.expect(line)
        terminal.say("bye")
        terminal.expect("memagent run --agent companion")
        assert terminal.ended() == 0
        assert "Traceback" not in terminal.seen
    found = json.loads(memagent("search", "companion", "maps", "--json").out)
    assert found["total"] == 2
    assert memagent("search", "companion", "two lines").out.splitlines()[1:3] == ["  two", "lines"]


def test_ctrl_c_ends_the_turn_and_not_the_chat(chat: Open, memagent: Memagent) -> None:
    memagent("ask", "hello")
    with chat() as terminal:
        terminal.expect("> ")
        for again in ("slow", "/retry"):
            terminal.say(again)
            terminal.expect("✎ human: + Is patient.")
            terminal.send(CTRL_C)
            terminal.expect("Stopped.")
            terminal.expect("> ")
        terminal.say("slow")
        terminal.expect("✎ human")
        terminal.send(CTRL_C * 2)
        terminal.expect("Stopped.")
        terminal.say("still there?")
        terminal.expect("echo still there?")
        terminal.expect("> ")
        terminal.send("half a line" + CTRL_C + CTRL_D)
        assert terminal.ended() == 0
    shown = memagent("show", "companion").out
    assert shown.count("Is patient.") == 2, "what /retry took back is gone from memory too"
    states = [turn["state"] for turn in json.loads(memagent("export", "companion").out)["turns"]]
    assert states == ["done", "undone", "interrupted", "interrupted", "done"]


@pytest.mark.slow
def test_silence_lets_the_agent_speak_and_keeps_what_is_typed(chat: Open, memagent: Memagent) -> None:
    memagent("ask", "hello")
    with chat(MEMAGENT_HEARTBEAT_MINUTES="0.02") as terminal:
        terminal.expect("> ")
        terminal.send("half")
        terminal.expect("I am still here.")
        terminal.expect("> half")
        terminal.say(" and half")
        terminal.expect("echo half and half")
        terminal.expect("> ")
        terminal.send(CTRL_D)
        assert terminal.ended() == 0


@pytest.mark.slow
@pytest.mark.usefixtures("mine")
def test_what_is_typed_while_the_agent_answers_waits_unseen_and_approves_nothing(chat: Open) -> None:
    with chat("--preset", "mine") as terminal:
        terminal.expect("> ")
        terminal.say("moment")
        terminal.expect("Has a moment.")
        terminal.send("half a")
        assert "half" not in terminal.expect("That took a moment.")
        terminal.expect("> half a")
        terminal.say(" line")
        terminal.expect("echo half a line")
        terminal.expect("> ")
        terminal.say("later")
        terminal.expect("Waits for it.")
        terminal.send("y\r")
        terminal.expect("[y/N]")
        terminal.say("")
        terminal.expect("did not allow")
        terminal.expect("> ")
        terminal.send(CTRL_D)
        assert terminal.ended() == 0


@pytest.mark.slow
@pytest.mark.usefixtures("mine")
def test_approval(chat: Open) -> None:
    with chat("--preset", "mine") as terminal:
        terminal.expect("> ")
        for word, told in (("n", "did not allow"), ("", "did not allow"), ("y", "It said: ")):
            terminal.say("fetch it")
            terminal.expect('"url": "http://127.0.0.1/"')
            terminal.expect("[y/N]")
            terminal.say(word)
            terminal.expect(told)
            terminal.expect("> ")
        terminal.say("fetch it")
        terminal.expect("[y/N]")
    with chat() as terminal:
        terminal.expect("waits for your word")
        terminal.expect("[y/N]")
        terminal.say("n")
        terminal.expect("did not allow")


@pytest.mark.slow
def test_the_first_start_asks_and_goes_on(chat: Open, home: Path) -> None:
    with chat(MEMAGENT_PROVIDER="", MEMAGENT_SCRIPT="", PYTHONPATH=bare(home)) as terminal:
        terminal.expect("none was found on this machine")
        terminal.expect("pip install 'memagent[local]'")
        terminal.expect("memagent needs a model")
        terminal.expect("Who runs the model?")
        terminal.send("\x1b[A\r")  # up from the first is the last one
        terminal.expect("preset for new agents")
        terminal.send("\r")
        terminal.expect("persona for new agents")
        terminal.send("\r")
        terminal.expect("human for new agents")
        terminal.send("\r")
        terminal.expect("Saved to")
        terminal.expect("Hello!")
        terminal.expect("> ")
        terminal.send(CTRL_D)
        assert terminal.ended() == 0
    assert "provider: scripted" in (home / "config.yaml").read_text()


def test_a_turn_that_was_killed_goes_on(chat: Open, memagent: Memagent) -> None:
    import subprocess

    from command_line import MEMAGENT

    memagent("ask", "hello")
    environment = {**os.environ, "MEMAGENT_CRASH_AT": "6"}
    killed = subprocess.run([*MEMAGENT, "ask", "note I like tea"], env=environment, stdin=subprocess.DEVNULL)
    assert killed.returncode == -9
    done = memagent("run", stdin=b"/dump\n")
    assert "The last turn was cut off; going on with it." in done.out
    assert "Noted: I like tea" in done.out
    assert memagent("show", "companion").out.count("I like tea") == 1


# Through a pipe -------------------------------------------------------------------------------------------------------


def test_what_is_rewritten_is_what_the_model_sees_and_what_is_found(memagent: Memagent) -> None:
    memagent("ask", "tell me of zebras")
    done = memagent("run", stdin=lines("/rewrite I prefer giraffes.", "/rethink Better giraffes."))
    assert done.code == 0
    assert done.out.count("is changed") == 2
    seen = what_the_model_sees()
    assert "I prefer giraffes." in seen
    assert "Better giraffes." in seen
    assert "echo tell me of zebras" not in seen
    assert "Easy." not in seen
    assert json.loads(memagent("search", "companion", "giraffes", "--json").out)["total"] == 1
    assert json.loads(memagent("search", "companion", "zebras", "--json").out)["total"] == 1, "the user's own words"


@pytest.mark.usefixtures("mine")
def test_what_is_rewritten_where_replies_are_plain(memagent: Memagent, home: Path) -> None:
    (home / "presets" / "mine.yaml").write_text("system: chat_plain\nfunctions: base\nspeech: plain\n")
    (home / "script.yaml").write_text("- when: {}\n  text: something\n")
    memagent("ask", "hello", "--preset", "mine")
    memagent("run", stdin=lines("/rewrite Something else"))
    assert "Something else" in what_the_model_sees()
    assert json.loads(memagent("search", "companion", "something", "--json").out)["total"] == 1


def test_what_is_taken_back_is_gone_everywhere(memagent: Memagent) -> None:
    memagent("ask", "hello")
    memagent("ask", "note I like zebras")
    done = memagent("run", stdin=lines("/pop"))
    assert "Taken back: note I like zebras" in done.out
    assert "zebras" not in what_the_model_sees()
    assert json.loads(memagent("search", "companion", "zebras", "--json").out)["total"] == 0
    done = memagent("run", stdin=lines("/pop 9", "/pop", "hello again"))
    assert "Taken back: hello" in done.out
    assert done.out.count("nothing to take back") == 2
    assert "echo hello again" in done.out


def test_a_turn_that_failed_can_be_tried_again(memagent: Memagent, home: Path) -> None:
    memagent("ask", "hello")
    script = home / "script.yaml"
    script.write_text("- {error: {status: 400, message: no way}}\n" + script.read_text())
    done = memagent("run", stdin=lines("and now?", "/retry"))
    assert "no way" in done.out
    assert "echo and now?" in done.out
    assert what_the_model_sees().count('"message": "and now?"') == 1


def test_only_what_a_person_began_is_asked_again(memagent: Memagent) -> None:
    memagent("ask", "hello")
    done = memagent("run", stdin=lines("/heartbeat", "/retry", "/pop", "/retry"))
    assert "nothing to ask again" in done.out
    assert done.out.count("echo hello") == 1


def test_one_chat_with_several_agents_and_models(memagent: Memagent) -> None:
    memagent("ask", "hello", "-a", "ada")
    memagent("ask", "hello", "-a", "bo")
    typed = ("/model other", "/load bo", "to bo", "/load cy", "again", "/exit", "not sent")
    done = memagent("run", "-a", "ada", stdin=lines(*typed))
    assert "ada (other)" in done.out
    assert "bo (scripted)" in done.out
    assert "There is no agent 'cy'" in done.out
    assert json.loads(memagent("list", "agents", "--json").out)[1]["messages"] == 6
    assert "not sent" not in done.out


def test_memory_by_hand(memagent: Memagent) -> None:
    memagent("ask", "note I like tea")
    assert memagent("memory", "edit", "companion", "human", "-", stdin="Trinkt Grüntee.\n".encode()).code == 0
    done = memagent(
        "run",
        stdin=lines("/memory", "/undo", "/memory history human", "/memory restore human 1", "/memory restore human x"),
    )
    assert "Trinkt Grüntee." in done.out
    assert "version 5" in done.out
    assert "is not a number" in done.out
    assert "I like tea" not in memagent("memory", "show", "companion", "human").out


@pytest.mark.usefixtures("mine")
def test_functions_of_the_users_own(memagent: Memagent, home: Path) -> None:
    games = home / "functions" / "games.py"
    assert "It shows 4." in memagent("run", "--preset", "mine", stdin=lines("roll")).out
    games.write_text(GAMES.replace("return 4", "return 66"))
    assert "It shows 66." in memagent("run", stdin=lines("roll")).out
    games.write_text("def roll(:\n")
    done = memagent("run", stdin=lines("roll"))
    assert done.code == 2
    assert "games.py:1" in done.err


@pytest.mark.usefixtures("mine")
def test_functions_changed_while_a_chat_is_open(chat: Open, home: Path) -> None:
    games = home / "functions" / "games.py"
    with chat("--preset", "mine") as terminal:
        terminal.expect("> ")
        terminal.say("roll")
        terminal.expect("It shows 4.")
        games.write_text("def roll(:\n")
        terminal.say("/load companion")
        terminal.expect("games.py:1")
        games.write_text(GAMES.replace("return 4", "return 66"))
        terminal.say("/load companion")
        terminal.expect("You are talking to companion")
        terminal.say("roll")
        terminal.expect("It shows 66.")


def test_every_command_of_the_chat_does_something(memagent: Memagent) -> None:
    from memagent.cli.slash import COMMANDS

    memagent("ask", "hello")
    done = memagent(
        "run", stdin=lines("hello", *(f"/{name}" for name in COMMANDS if name != "exit"), "/pop x", "/context")
    )
    assert done.code == 0
    assert "Something went wrong" not in done.out
    assert "'x' is not a number" in done.out
    assert done.out.rstrip().splitlines()[-1].startswith("Everything is kept.")
    assert all(f"/{name}" in done.out for name in COMMANDS)


def test_a_timer_does_not_answer_for_a_person_who_is_asked_elsewhere(memagent: Memagent, mine: None) -> None:
    assert memagent("ask", "fetch", "--preset", "mine", "--no-verify").code == 6
    settings = config.load({})
    database = open_database(settings)
    try:
        agent = load_agent(settings, database, "companion", llm=ScriptedLLM([]))
        chat = Chat(agent, Printer(), Console(interactive=False), lambda *_: agent, lambda *_: None)
        chat._take(None)
        assert agent.state.unfinished() == "waiting"
    finally:
        database.close()
