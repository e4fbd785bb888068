"""A function in a process of its own: whatever it does, there is an outcome, and nothing of it is left."""

from __future__ import annotations

import _thread
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memagent.assemble import make_agent
from memagent.config import Settings, clean_environment
from memagent.errors import ToolFileError
from memagent.events import Reply, Returned
from memagent.llm.scripted import ScriptedLLM
from memagent.storage.sqlite import SqliteDatabase
from memagent.tools import Outcome, Tool, apart
from memagent.tools.loader import link, load_file
from memagent.tools.run import run

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither signals nor process groups")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")

SIGNED = """
import fcntl, os
def _sign():
    global book
    book = open("book", "a")
    fcntl.flock(book, fcntl.LOCK_SH)  # held by all who are forked from here on, until the last of them has died
    open("signed", "a").write(f"{os.getpid()}\\n")
"""


@pytest.fixture
def agent(tmp_path: Path) -> Any:
    """What a tool is called for; it can't be reached by these tools but for its directory."""
    return SimpleNamespace(files=tmp_path / "files")


@pytest.fixture
def function(tmp_path: Path) -> Callable[..., Tool]:
    """Makes a tool of a function's body, in a file of its own."""

    def make(body: str, *, head: str = "def act():", above: str = "", **rules: Any) -> Tool:
        path = tmp_path / "things.py"
        body = textwrap.indent(textwrap.dedent(body), "    ")
        path.write_text(f'{head}\n    """Act."""\n{body}\n{above}', "utf-8")
        return load_file(path)["act"].ruled({"apart": True, **rules})

    return make


def wait_until_all_are_gone(files: Path) -> None:
    """Until nobody is left of those who signed the book; pytest's own time limit is the limit."""
    import fcntl

    with (files / "book").open("a") as book:
        fcntl.flock(book, fcntl.LOCK_EX)


# What goes in and what comes out --------------------------------------------------------------------------------------


def test_arguments_go_there_and_the_result_comes_back(tmp_path: Path, agent: Any) -> None:
    path = tmp_path / "days.py"
    path.write_text(
        "import os\nfrom datetime import date\nfrom memagent.tools import tool\n\n@tool(apart=True)\n"
        "def later(day: date, by: list[int], name: str = 'Zoé') -> dict:\n"
        '    """Later.\n\n    Args:\n        day: A day.\n        by: Days.\n        name: Who.\n    """\n'
        "    print('hello', name)\n"
        "    return {'pid': os.getpid(), 'day': day.replace(day=day.day + sum(by)), 'name': name}\n",
        "utf-8",
    )
    later = load_file(path)["later"]
    outcome = run(later, '{"day": "2026-05-01", "by": ["2", 3], "request_heartbeat": true}', agent)
    result = json.loads(outcome.text)
    assert result.pop("pid") != os.getpid()
    assert result == {"day": "2026-05-06", "name": "Zoé"}
    assert (outcome.ok, outcome.heartbeat, outcome.printed) == (True, True, "hello Zoé\n")
    wrong = run(later, '{"day": "soon"}', agent)
    assert not wrong.ok and wrong.text == run(later.ruled({"apart": False}), '{"day": "soon"}', agent).text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("x = 1\nraise ValueError('too small')", "act failed: ValueError: too small (things.py, line 4)"),
        ("import sys\nsys.exit(3)", "act failed: SystemExit: 3 (things.py, line 4)"),
        ("from memagent.errors import StorageError\nraise StorageError('No disk.')", "No disk."),
        ("return input()", "act failed: EOFError: EOF when reading a line (things.py, line 3)"),
    ],
)
def test_what_it_raises_is_told_with_its_line(function: Any, agent: Any, body: str, said: str) -> None:
    assert run(function(body), "{}", agent) == Outcome(False, said)


def test_it_may_be_asynchronous(function: Any, agent: Any) -> None:
    body = "import asyncio\nawait asyncio.sleep(0)\nreturn 1 / x"
    head = "from asyncio import sleep\n\nx = 0\n\nasync def act():"
    said = "act failed: ZeroDivisionError: division by zero (things.py, line 9)"
    assert run(function(body, head=head), "{}", agent) == Outcome(False, said)


def test_a_flood_of_output_and_a_huge_result_are_cut(function: Any, agent: Any) -> None:
    flood = """
        import os, sys
        for _ in range(50):
            os.write(1, b"x" * 1_000_000)
            os.write(2, b"x" * 1_000_000)
        print("y" * 10_000_000)
        return "z" * 50_000_000
    """
    outcome = run(function(flood), "{}", agent)
    assert outcome.ok and outcome.text.startswith("zzz") and "50,000,000" in outcome.text
    assert len(outcome.text) < 6100 and outcome.printed == "y" * 4000


@posix
def test_who_writes_where_nothing_is_to_be_written_is_not_listened_to_for_ever(function: Any, agent: Any) -> None:
    flood = """
        import os
        pipes = [fd for fd in range(3, 30) if os.path.exists(f"/dev/fd/{fd}")]
        while True:
            for fd in pipes:
                try:
                    os.write(fd, b"x" * 10_000)
                except OSError:
                    pass
    """
    assert not run(function(flood), "{}", agent).ok


def test_it_works_in_the_directory_of_the_agent_but_takes_no_modules_from_there(
    function: Any, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["", ".", *sys.path])
    agent.files.mkdir()
    for name in ("json", "faulthandler", "docstring_parser", "colorsys"):
        (agent.files / f"{name}.py").write_text("raise SystemExit('taken over')")
    outcome = run(function("import colorsys, os\nreturn os.getcwd()"), "{}", agent)
    assert outcome.ok and Path(outcome.text).samefile(agent.files)


def test_its_directory_is_made_or_is_one_for_this_call_only(function: Any, agent: Any) -> None:
    here = "from pathlib import Path\nPath('left.txt').touch()\nreturn str(Path.cwd())"
    kept, passing = run(function(here), "{}", agent).text, run(function(here), "{}").text
    assert Path(kept, "left.txt").exists() and not Path(passing).exists()
    if sys.platform != "win32":
        assert agent.files.stat().st_mode & 0o777 == 0o700


def test_it_learns_no_secrets(function: Any, agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "MEMAGENT_API_KEY", "MEMAGENT_HOME", "GITHUB_TOKEN", "MY_PASSWORD", "PATH_TO_KEY"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("LANG", "C.UTF-8")
    seen = json.loads(run(function("import os\nreturn dict(os.environ)"), "{}", agent).text)
    assert "canary" not in str(seen) and seen["PATH"] == os.environ["PATH"] and seen["LANG"] == "C.UTF-8"
    assert clean_environment({"LC_TIME": "de", "lc_time": "x", "HOME": "/", "HOMEKEY": "x"}) == {
        "LC_TIME": "de",
        "HOME": "/",
    }


@posix
def test_it_has_no_terminal(function: Any, agent: Any) -> None:
    body = "import os, sys\nreturn [os.getsid(0) == os.getpid(), *(os.isatty(n) for n in range(3))]"
    assert run(function(body), "{}", agent).text == "[true, false, false, false]"
    outcome = run(function("open('/dev/tty')"), "{}", agent)
    assert not outcome.ok and "OSError" in outcome.text


# Who may not --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["self", "agent"])
def test_it_can_not_take_the_agent(tmp_path: Path, name: str) -> None:
    path = tmp_path / "things.py"
    source = f'def act({name}) -> None:\n    """Act."""\n'
    path.write_text(source)
    with pytest.raises(ToolFileError, match=r"things\.py:1: act: it takes the agent") as caught:
        link(["things"], [tmp_path], {"act": {"apart": True}})
    assert "apart" in caught.value.hint
    path.write_text(f"from memagent.tools import tool\n@tool(apart=True)\n{source}")
    with pytest.raises(ToolFileError, match=r"things\.py:2: act: it takes the agent"):
        load_file(path)


def test_a_function_that_is_gone_since_is_told(function: Any, agent: Any, tmp_path: Path) -> None:
    tool = function("return 1")
    (tmp_path / "things.py").write_text("def (")
    assert "things.py:1: the function set can't be loaded" in run(tool, "{}", agent).text
    (tmp_path / "things.py").write_text("act = None")
    assert run(tool, "{}", agent).text.startswith("There is no function 'act' in ")


# Whatever it does -----------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "import ctypes\nctypes.string_at(0)",
            "act crashed (SIGSEGV) before it returned anything (things.py, line 4).",
        ),
        ("import os\n\nos.abort()", "act crashed (SIGABRT) before it returned anything (things.py, line 5)."),
        (
            "import os\nos._exit(0)",
            "act ended its process (exit code 0) before it returned anything (things.py, line 1).",
        ),
        (
            "import os\nos.kill(os.getpid(), 9)",
            "act was killed (SIGKILL), perhaps for want of memory, before it returned anything (things.py, line 1).",
        ),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGRTMIN + 3)", "act crashed (signal 37) before"),
    ],
)
def test_a_crash_is_an_outcome(function: Any, agent: Any, body: str, said: str) -> None:
    outcome = run(function(body), "{}", agent)
    assert not outcome.ok and outcome.text.startswith(said)
    assert not list(agent.files.iterdir())  # no core dump either


@linux
@pytest.mark.parametrize(
    "body",
    [
        "kept = []\nwhile True:\n    kept.append(bytes(100_000_000))",
        "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 100_000_000))",
        "import os\nif not os.fork():\n    try:\n        bytes(3_000_000_000)\n    except MemoryError:\n"
        "        os._exit(1)\nif os.wait()[1]:\n    raise MemoryError",
    ],
    ids=["memory", "shared memory", "memory of a child"],
)
def test_memory_has_an_end(function: Any, agent: Any, body: str) -> None:
    outcome = run(function(body), "{}", agent)
    assert not outcome.ok and ("MemoryError" in outcome.text or "Cannot allocate memory" in outcome.text)


@linux
@pytest.mark.parametrize("own", [True, False])
def test_memory_of_all_that_it_starts_together_has_an_end(
    function: Any, agent: Any, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    monkeypatch.setattr(apart, "TOGETHER", 150 << 20)
    body = f"""
        import time
        shared = bytearray(b"x" * 60_000_000)
        _sign()
        for _ in range(3):
            if os.fork() == 0:
                _sign()
                filled = bytearray(b"x" * 60_000_000) if {own} else shared
                time.sleep({3600 if own else 0.6})
                os._exit(0)
        time.sleep({3600 if own else 0.8})
        return "Shared."
    """
    outcome = run(function(body, above=SIGNED, time_limit=50), "{}", agent)
    if own:
        assert outcome.text.startswith("act and what it started filled more than 150 MB of memory and was ended.")
    else:
        assert outcome == Outcome(True, "Shared."), "what they share counts once"
    wait_until_all_are_gone(agent.files)


@linux
def test_the_system_itself_keeps_it_within_bounds(function: Any, agent: Any) -> None:
    body = """
        import resource, signal
        first_to_go = open("/proc/self/oom_score_adj").read()  # when the machine is out of memory
        return first_to_go.strip(), resource.getrlimit(resource.RLIMIT_CORE), 60 < signal.alarm(0) < 180
    """
    assert run(function(body), "{}", agent).text == '["1000", [0, 0], true]'


@posix
@pytest.mark.parametrize(
    ("end", "seconds", "said"),
    [
        ("return 'Fifty.'", 50, "Fifty."),
        ("os._exit(5)", 50, "act ended its process (exit code 5) before"),
        ("time.sleep(3600)", 2, "act did not finish within 2 seconds and was ended."),
    ],
)
def test_all_that_it_has_started_ends_with_it(function: Any, agent: Any, end: str, seconds: int, said: str) -> None:
    body = f"""
        import subprocess, sys, time
        _sign()
        for _ in range(50):
            if os.fork() == 0:
                _sign()
                time.sleep(3600)
                os._exit(0)
        subprocess.Popen(["sleep", "3600"], pass_fds=[book.fileno()])
        while len(open("signed").readlines()) < 51:
            time.sleep(0.01)
        {end}
    """
    outcome = run(function(body, above=SIGNED, time_limit=seconds), "{}", agent)
    assert outcome.text.startswith(said)
    signed = len((agent.files / "signed").read_text().split())
    assert signed == 51 or (seconds == 2 and signed)  # on a slow machine there is not time for all
    wait_until_all_are_gone(agent.files)


@posix
@pytest.mark.parametrize(
    "hang",
    [
        "import ctypes\nctypes.PyDLL(None).sleep(3600)",  # and nothing else in the process can run, either
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\nwhile True: pass",
    ],
)
def test_its_time_limit_ends_it(function: Any, agent: Any, hang: str) -> None:
    outcome = run(function(f"_sign()\n{hang}", above=SIGNED, time_limit=0.3), "{}", agent)
    assert outcome.text == (
        "act did not finish within 0.3 seconds and was ended. Whether it had an effect outside is not known."
    )
    wait_until_all_are_gone(agent.files)


@posix
def test_threads_that_it_leaves_behind_do_not_hold_its_result_back(
    function: Any, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "LEAVING", 0.1)
    body = """
        import threading, time
        _sign()
        threading.Thread(target=time.sleep, args=[3600], daemon=False).start()
        return "Gone."
    """
    assert run(function(body, above=SIGNED), "{}", agent) == Outcome(True, "Gone.")
    wait_until_all_are_gone(agent.files)


@posix
def test_a_crash_after_the_result_takes_nothing_away(function: Any, agent: Any) -> None:
    body = "import atexit, os\natexit.register(os.abort)\nreturn 'Done before.'"
    assert run(function(body), "{}", agent) == Outcome(True, "Done before.")


def test_what_it_writes_is_there_even_if_it_did_not_close_the_file(function: Any, agent: Any) -> None:
    body = """
        import atexit, time
        global f
        f = open("f", "w")
        f.write("all ")
        atexit.register(lambda: (time.sleep(0.1), f.write("of it")))
    """
    assert run(function(body), "{}", agent).ok
    assert (agent.files / "f").read_text() == "all of it"


@posix
def test_ctrl_c_ends_it(function: Any, agent: Any) -> None:
    def press() -> None:
        while not (agent.files / "signed").exists():
            threading.Event().wait(0.01)
        _thread.interrupt_main(signal.SIGINT)

    finger = threading.Thread(target=press, daemon=True)
    finger.start()
    with pytest.raises(KeyboardInterrupt):
        run(function("import time\n_sign()\ntime.sleep(3600)", above=SIGNED), "{}", agent)
    finger.join()
    wait_until_all_are_gone(agent.files)


@posix
def test_it_ends_when_the_program_is_killed(function: Any, agent: Any, tmp_path: Path) -> None:
    function("import time\nif os.fork(): pass\n_sign()\ntime.sleep(3600)", above=SIGNED)
    script = (
        "import sys; from pathlib import Path; from types import SimpleNamespace as N\n"
        "from memagent.tools.loader import load_file; from memagent.tools.run import run\n"
        "run(load_file(Path(sys.argv[1]))['act'].ruled({'apart': True}), '', N(files=Path(sys.argv[2])))"
    )
    program = subprocess.Popen([sys.executable, "-c", script, tmp_path / "things.py", agent.files])
    signed = agent.files / "signed"
    while not signed.exists() or len(signed.read_text().split()) < 2:
        assert program.poll() is None
        threading.Event().wait(0.01)
    program.kill()
    program.wait()
    wait_until_all_are_gone(agent.files)


def test_a_process_that_can_not_be_started_fails_the_call_only(
    function: Any, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = function("return 1")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/python")
        outcome = run(tool, "{}", agent)
    assert not outcome.ok and "act was not called: its process could not be started" in outcome.text

    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading, "_start_new_thread", refuse, raising=False)
        patch.setattr(threading, "_start_joinable_thread", refuse, raising=False)
        outcome = run(tool, "{}", agent)
    assert not outcome.ok and "can't start new thread" in outcome.text


@posix
def test_the_agent_is_told_of_the_crash_and_goes_on(tmp_path: Path) -> None:
    for name in ("presets", "prompts", "functions"):
        (tmp_path / name).mkdir()
    (tmp_path / "prompts" / "own.txt").write_text("You are tested.")
    rules = {"crash": {"apart": True, "time_limit": 30}}
    preset = {"system": "own", "functions": ["send_message", "risky"], "rules": rules}
    (tmp_path / "presets" / "own.yaml").write_text(json.dumps(preset))
    (tmp_path / "functions" / "risky.py").write_text('def crash():\n    """Crash."""\n    import os\n    os.abort()\n')
    steps: Any = [{"when": {}, "steps": [{"call": "crash", "arguments": {}}, {"say": "It crashed."}]}]
    database = SqliteDatabase(tmp_path / "memagent.db")
    try:
        settings = Settings(home=tmp_path, embedder="off", preset="own", verify_first=False)
        happened = list(make_agent(settings, database, "ada", llm=ScriptedLLM(steps)).turn("Crash, please."))
    finally:
        database.close()
    told = next(event for event in happened if isinstance(event, Returned))
    assert (told.ok, told.text) == (False, "crash crashed (SIGABRT) before it returned anything (risky.py, line 4).")
    assert [event.text for event in happened if isinstance(event, Reply)] == ["It crashed."]
