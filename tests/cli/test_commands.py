"""The commands as people and scripts use them, with the mistakes that people make: each is told in a line or two, with
what to do, and has an exit code that means something."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import MEMAGENT, Done, Memagent

from memagent.llm.script_file import load_script
from memagent.llm.script_server import serve

posix = pytest.mark.skipif(os.name == "nt", reason="by signal, or in a shell")


def refused(done: Done, code: int = 2) -> str:
    """What a refused command said: a line or two on standard error, no traceback, nothing else."""
    assert done.code == code, done
    assert done.out == ""
    assert 1 <= len(done.err.strip().splitlines()) <= 2, done.err
    assert "Traceback" not in done.err
    return done.err


# Mistakes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lst"], "Did you mean 'list'"),
        (["list", "foo"], "memagent list --help"),
        (["list", "--nope"], "No such option: --nope"),
        (["run", "x", "y"], "memagent run --help"),
        (["show"], "Missing argument"),
        (["show", "nobody"], "memagent run"),
        (["show", "persona", "companio"], "Did you mean 'companion'"),
        (["show", "function", "base"], "functions"),
        (["show", "functions", "nope"], "There are: base"),
        (["delete", "functions", "base", "--yes"], "comes with memagent"),
        (["delete", "persona", "companion", "--yes"], "comes with memagent"),
        (["delete", "agent", "nobody", "--yes"], "no agent 'nobody'"),
        (["rename", "nobody", "x"], "no agent 'nobody'"),
        (["export", "nobody"], "no agent 'nobody'"),
        (["import", "nowhere.json"], "nowhere.json can't be read"),
        (["import", "."], "can't be read"),
        (["search", "nobody", "x"], "no agent 'nobody'"),
        (["add", "persona", "x"], "--file"),
        (["add", "persona", "x", "--text", "a", "--file", "b"], "--file"),
        (["add", "persona", "../x", "--text", "a"], "'../x'"),
        (["add", "pet", "x", "--text", "a"], "'pet' is not one of"),
        (["ask", ""], "What should I say?"),
        (["ask", "hi", "--context-window", "big"], "valid integer"),
        (["ask", "hi", "--provider", "foo"], "openai or azure or"),
        (["ask", "hi", "--preset", "chatt"], "Did you mean 'chat'"),
        (["ask", "hi", "--persona", "nope"], "There are: "),
        (["ask", "hi", "--agent", "../x"], "'../x'"),
        (["configure"], "--set NAME=VALUE"),
        (["configure", "--set", "model"], "--set model="),
        (["configure", "--set", "modle=x"], "Did you mean 'model'"),
        (["configure", "--set", "api_key=sk-123456789"], "MEMAGENT_API_KEY"),
        (["configure", "--unset", "foo"], "no setting 'foo'"),
        (["completion", "tcsh"], "bash, zsh, fish"),
        (["dev", "schema", "nowhere.py"], "nowhere.py can't be read"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(memagent: Memagent, words: list[str], told: str) -> None:
    assert told in refused(memagent(*words))
    assert "There are no agents" in memagent("list").out, "and nothing was made"


def test_a_traceback_is_for_those_who_ask(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    from memagent.errors import NotFound

    for words in (["--debug", "show", "nobody"], ["show", "nobody", "--debug"]):
        with pytest.raises(NotFound):
            memagent(*words)
    assert memagent("list", "--debug").code == 0
    assert "--debug" in refused(memagent("show", "--", "--debug")), "after -- it is a name"


def test_what_nobody_foresaw_is_logged_and_told_in_a_line(
    memagent: Memagent, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memagent.roster import Roster

    def broken(self: Roster) -> None:
        raise ZeroDivisionError("secret sk-abcdefghijklmnopqrstuvwxyz")

    monkeypatch.setattr(Roster, "all", broken)
    done = memagent("list")
    assert (done.code, done.out) == (1, "")
    assert "Traceback" not in done.err
    log = (home / "logs" / "memagent.log").read_text()
    assert "ZeroDivisionError" in log
    assert "abcdefghij" not in log


def test_help_and_version(memagent: Memagent) -> None:
    assert memagent("--version").out == memagent("version").out
    page = memagent("--help").out
    listed = page.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()][:3] == ["run", "ask", "list"]
    assert "..." not in listed, "a line of help is cut"
    bare = memagent()
    assert (bare.code, bare.out) == (2, "")
    assert bare.err == page


# Ask ------------------------------------------------------------------------------------------------------------------


def test_a_question_from_an_argument_and_a_pipe(memagent: Memagent) -> None:
    assert memagent("ask", "hello").out == "echo hello\n"
    assert memagent("ask", stdin=b"from a pipe\n").out == "echo from a pipe\n"
    assert memagent("ask", "-", stdin=b"dash\n").out == "echo dash\n"
    assert memagent("ask", "read:", stdin="\ufefftext\n".encode()).out == "echo read:\n\ntext\n"
    assert memagent("ask", stdin=b"no text \xff\n").out == "echo no text \ufffd\n"
    refused(memagent("ask", stdin=b" \n"))
    assert memagent("list").out.splitlines()[1].split()[:3] == ["companion", "chat", "10"]


def test_the_answer_alone_goes_to_standard_output(memagent: Memagent) -> None:
    done = memagent("ask", "note I like maps")
    assert (done.code, done.out) == (0, "Noted: I like maps\n")
    assert "I like maps" in done.err


def test_events_for_scripts(memagent: Memagent) -> None:
    done = memagent("ask", "hello", "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert (events[0]["event"], events[-1]["event"], events[-1]["ending"]) == ("TurnStarted", "TurnEnded", "done")
    assert done.err == ""


def test_a_model_that_fails(memagent: Memagent) -> None:
    done = memagent("ask", "fail")
    assert (done.code, done.out) == (3, "")
    assert "no way" in done.err


def test_a_call_that_waits_for_a_person(memagent: Memagent, home: Path) -> None:
    (home / "presets").mkdir()
    (home / "presets" / "mine.yaml").write_text(
        "system: chat\nfunctions: [base, extras]\nrules: {http_request: {approval: true}}\n"
    )
    done = memagent("ask", "fetch it", "--preset", "mine")
    assert (done.code, done.out) == (6, "")
    assert "http://127.0.0.1/" in done.err
    assert "--yes" in done.err
    done = memagent("ask", "fetch it", "--yes")
    assert done.code == 0
    assert done.out.startswith("It said: ")


def test_a_slip_of_a_name_makes_no_agent(memagent: Memagent) -> None:
    assert memagent("ask", "hello", "-a", "ada").code == 0
    assert "Did you mean 'ada'" in refused(memagent("ask", "hello", "-a", "adaa"))
    assert memagent("ask", "hello", "-a", "adaa", "--yes").code == 0
    assert memagent("ask", "hello", "-a", "zoe").code == 0
    assert [row["name"] for row in json.loads(memagent("list", "agents", "--json").out)] == ["ada", "adaa", "zoe"]
    assert memagent("list", "--json").out == memagent("list", "agents", "--json").out
    assert memagent("sources", "--json").out == "[]\n"
    done = memagent("list", "--json", "presets")
    assert done.code == 2 and "memagent list presets --json" in done.err


def test_an_agent_stays_what_it_was_made(memagent: Memagent) -> None:
    memagent("ask", "hello", "--persona", "tutor")
    assert "made with the persona 'tutor'" in refused(memagent("ask", "hello", "--persona", "critic"))
    assert memagent("ask", "hello", "--persona", "tutor").code == 0


def test_what_a_preset_sets_holds_from_the_first_turn(memagent: Memagent, home: Path) -> None:
    (home / "presets").mkdir()
    (home / "presets" / "small.yaml").write_text("system: chat\nfunctions: base\nsettings: {context_window: 5000}\n")
    assert "window 5000 tokens" in memagent("run", "--preset", "small", stdin=b"/model\n").out


# Which model ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_model(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEMAGENT_PROVIDER", "MEMAGENT_SCRIPT"):
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("words", [["run"], ["run", "--yes"], ["ask", "hi"]])
def test_without_a_model_no_agent_is_made(memagent: Memagent, words: list[str]) -> None:
    assert "memagent configure" in refused(memagent(*words))
    assert "There are no agents" in memagent("list").out


@pytest.mark.usefixtures("no_model")
def test_an_endpoint_where_nothing_answers(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert "127.0.0.1:9" in refused(memagent("ask", "hi"), 3)
    assert "There are no agents" in memagent("list").out


@pytest.mark.usefixtures("no_model")
def test_the_only_model_of_an_endpoint_is_taken(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(load_script(None))
    try:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert memagent("ask", "hello there").out == "You said: hello there\n"
        assert memagent("ask", "hello again").out == "You said: hello again\n"
    finally:
        server.close()
    kept = json.loads(memagent("show", "companion", "--json").out)["settings"]
    assert "model" not in kept, "another one may be there the next time"


# Processes ------------------------------------------------------------------------------------------------------------


def started(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """An `ask` that has begun its turn."""
    running = subprocess.Popen(
        [*MEMAGENT, "ask", *words, "--json"],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout
    assert "TurnStarted" in running.stdout.readline()
    while "MemoryEdited" not in running.stdout.readline():
        pass
    return running


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle(
    memagent: Memagent, environment: dict[str, str], number: signal.Signals, code: int
) -> None:
    memagent("ask", "hello")
    with started(environment, "slow") as running:
        running.send_signal(number)
        assert running.wait(30) == code
    turns = json.loads(memagent("export", "companion").out)["turns"]
    assert [turn["state"] for turn in turns] == ["done", "interrupted"]
    assert memagent("ask", "and now").out == "echo and now\n"


@posix
def test_an_agent_that_is_busy_elsewhere(
    memagent: Memagent, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from memagent import agent

    memagent("ask", "hello")
    memagent("memory", "edit", "companion", "human", "Likes tea.")
    monkeypatch.setattr(agent.time, "monotonic", iter(range(0, 10**9, 20)).__next__)  # nobody waits for half a minute
    with started(environment, "slow") as running:
        try:
            done = memagent("ask", "me too")
            assert f"process {running.pid}" in refused(done, 4)
        finally:
            running.kill()
    monkeypatch.undo()


def test_a_broken_function_set_is_listed_with_what_is_wrong(memagent: Memagent, home: Path) -> None:
    (home / "functions").mkdir()
    (home / "functions" / "bad.py").write_text("def half(:\n")
    (home / "functions" / "good.py").write_text('def whole() -> int:\n    """Is fine."""\n    return 1\n')
    rows = {row["set"]: row for row in json.loads(memagent("list", "functions", "--json").out)}
    assert rows["good"]["what it does"] == "Is fine." and "base" in rows
    assert rows["bad"]["name"] == "(broken)" and "bad.py:1" in rows["bad"]["what it does"]


def test_core_memory_as_it_was_on_a_day(memagent: Memagent) -> None:
    memagent("ask", "note I like maps")
    for on, code, said in (("2001-01-01", 2, "was not there yet"), ("May", 2, "not a day")):
        done = memagent("memory", "show", "companion", "--on", on)
        assert done.code == code and said in done.err
    for words in (["show", "companion"], ["show", "companion", "human"], ["show", "companion", "--json"]):
        assert memagent("memory", *words, "--on", "2999-12-31").out == memagent("memory", *words).out != ""


@posix
def test_a_reader_that_goes_away(memagent: Memagent, environment: dict[str, str]) -> None:
    memagent("ask", "hello")
    for words in (["list"], ["export", "companion"], ["ask", "hello", "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [*MEMAGENT, *words], env=environment, stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, b"")


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it needs a file that is always full")
def test_an_output_that_is_full(memagent: Memagent, environment: dict[str, str]) -> None:
    memagent("ask", "hello")
    for words, more in ((["list"], {}), (["ask", "nobody saw it"], {}), (["list"], {"PYTHONUNBUFFERED": "1"})):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [*MEMAGENT, *words], env={**environment, **more}, stdin=subprocess.DEVNULL, stdout=full,
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert done.returncode == 3
        assert done.stderr.splitlines()[-2].startswith("The output can't be written: No space left")
    assert "echo nobody saw it" in memagent("search", "companion", "nobody").out


@posix
def test_a_terminal_without_all_letters_or_with_no_output_at_all(
    memagent: Memagent, environment: dict[str, str]
) -> None:
    memagent("ask", "an owl 🦉")
    latin = {**environment, "PYTHONIOENCODING": "latin-1"}
    for words in (["search", "companion", "owl"], ["search", "companion", "owl", "--json"]):
        done = subprocess.run([*MEMAGENT, *words], env=latin, stdin=subprocess.DEVNULL, capture_output=True)
        assert done.returncode == 0 and b"an owl" in done.stdout, done
    assert "an owl 🦉" in [result["text"] for result in json.loads(done.stdout)["results"]]
    done = subprocess.run(["sh", "-c", '"$0" "$@" >&-', *MEMAGENT, "list"], env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


STUCK = '''
import time
from concurrent.futures import ThreadPoolExecutor
from memagent.tools import tool

@tool(time_limit=0.1)
def stick() -> str:
    """Wait for a thread that does not end."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, 3600).result()
'''


def test_the_process_does_not_wait_for_what_was_given_up(
    memagent: Memagent, home: Path, environment: dict[str, str]
) -> None:
    memagent("add", "functions", "stuck", "-f", "-", stdin=STUCK.encode())
    memagent("add", "preset", "sticky", "--text", "system: chat\nfunctions: [base, stuck]\n")
    (home / "script.yaml").write_text("- {when: {after_calls: 0}, call: stick}\n- {when: {}, say: It stuck.}\n")
    done = subprocess.run(
        [*MEMAGENT, "ask", "--preset", "sticky", "--no-verify", "hello"], env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "It stuck.\n"), done.stderr


@posix
def test_completion_in_bash(memagent: Memagent, environment: dict[str, str]) -> None:
    script = memagent("completion", "bash").out
    program = Path(environment["HOME"]) / "memagent"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from memagent.cli.app import main; main()" "$@"\n')
    program.chmod(0o755)
    ask = 'COMP_WORDS=(memagent {0}) COMP_CWORD={1}; _memagent_completion memagent; echo "${{COMPREPLY[@]}}"\n'
    lines = script + ask.format("ex", 1) + ask.format("ask --ag", 2) + ask.format("list per", 2)
    path = f"{program.parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(["bash", "-c", lines], env={**environment, "PATH": path}, capture_output=True, text=True)
    assert done.stdout.split("\n")[:3] == ["export", "--agent", "personas"], done
    for shell in ("zsh", "fish"):
        assert "_MEMAGENT_COMPLETE" in memagent("completion", shell).out


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("run --agent ", ["companion", "zoe"]), ("ask -a z", ["zoe"]), ("show z", ["zoe"]), ("export c", ["companion"]),
        ("search z", ["zoe"]), ("memory show z", ["zoe"]), ("memory undo c", ["companion"]), ("rename z", ["zoe"]),
        ("delete agent z", ["zoe"]), ("delete functions g", ["good"]), ("show p", ["preset", "persona", "prompt"]),
        ("show preset chat", ["chat", "chat_plain"]), ("run --preset chat_p", ["chat_plain"]), ("show nothing z", []),
    ],
)  # fmt: skip
def test_names_are_completed(memagent: Memagent, monkeypatch: pytest.MonkeyPatch, line: str, names: list[str]) -> None:
    for name in ("companion", "zoe"):
        memagent("ask", "-a", name, "-y", "hello")
    memagent("add", "functions", "good", "-f", "-", stdin=b'def whole():\n    """Is fine."""\n')
    monkeypatch.setenv("_MEMAGENT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"memagent {line}")
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ") + 1))
    assert memagent().out.split() == names


def test_completion_makes_nothing_and_says_nothing_of_what_is_wrong(
    memagent: Memagent, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(home.iterdir())
    for name, value in (
        ("_MEMAGENT_COMPLETE", "complete_bash"),
        ("COMP_WORDS", "memagent export "),
        ("COMP_CWORD", "2"),
    ):
        monkeypatch.setenv(name, value)
    assert (memagent().out.strip(), sorted(home.iterdir())) == ("", before)
    (home / "config.yaml").write_text("modle: x\n")
    done = memagent()
    assert (done.out.strip(), done.err) == ("", "")


def test_an_edit_tells_on_which_words_it_was_made(memagent: Memagent) -> None:
    memagent("ask", "note that I am Ada", "--agent", "ada", "--yes")
    told = memagent("memory", "history", "ada", "human").out
    assert 'on "note that I am Ada"' in told
    first = json.loads(memagent("memory", "history", "ada", "human", "--json").out)[0]
    assert first["words"] == "note that I am Ada"


def test_where_everything_is_kept_is_told_to_scripts(memagent: Memagent, home: Path) -> None:
    assert json.loads(memagent("config", "path", "--json").out)["home"] == str(home)


def test_search_says_why_and_keeps_to_its_limits(memagent: Memagent) -> None:
    memagent("ask", "note an owl lives here")
    found = json.loads(memagent("search", "companion", "owl lives", "--json").out)
    assert found["total"] >= 1 and found["results"][0]["why"].startswith("words: owl, lives")
    assert "words: owl" in memagent("search", "companion", "owl").out
    for limits in (["--role", "nobody"], ["--until", "2020-01-01"], ["--in", "sources"]):
        assert json.loads(memagent("search", "companion", "owl", "--json", *limits).out)["total"] == 0
    both = json.loads(memagent("search", "companion", "owl", "--in", "all", "--tag", "birds", "--json").out)
    assert both["recall"]["total"] >= 1 and both["archival"]["total"] == 0
    shown = memagent("search", "companion", "owl", "--in", "all").out
    assert "Conversation\n" in shown and "Notes and sources\n" in shown
    assert "no source 'papers'" in memagent("search", "companion", "x", "--in", "archival", "--source", "papers").err
    assert "What to look for?" in memagent("search", "companion", "--in", "archival").err
