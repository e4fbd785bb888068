"""Whatever a function does, what comes of it is an outcome that the model can read."""

from __future__ import annotations

import _thread
import gc
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memagent.errors import LLMError, StorageError, TakenOver, ToolError
from memagent.tools import Outcome, Rules, Tool, attach
from memagent.tools.loader import load_file
from memagent.tools.run import NOTHING, as_text, run
from memagent.tools.schema import make_tool


class FakeAgent:
    """What the functions in these tests reach."""

    def __init__(self) -> None:
        self.closed = False
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def agent() -> Any:
    return FakeAgent()


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Functions that hang wait for this; all of them end with the test."""
    before = set(threading.enumerate())
    event = threading.Event()
    yield event
    event.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)


@pytest.fixture
def function(tmp_path: Path) -> Callable[..., Tool]:
    """Makes a tool of a function's body, in a file of its own."""

    def make(body: str, *, head: str = "def act():", **rules: Any) -> Tool:
        path = tmp_path / "things.py"
        path.write_text(f'{head}\n    """Act."""\n{textwrap.indent(textwrap.dedent(body), "    ")}\n', "utf-8")
        return load_file(path)["act"].ruled(rules)

    return make


def test_arguments_reach_the_function_and_the_heartbeat_the_outcome(agent: Any) -> None:
    def act(self: Any, city: str, days: int = 3) -> str:
        """Act.

        Args:
            city: The city.
            days: How many.
        """
        self.say(city)
        return f"{city} {days + 1}"

    tool = make_tool(act)
    assert run(tool, '{"city": "Bonn", "days": "2", "request_heartbeat": true}', agent) == Outcome(True, "Bonn 3", True)
    assert agent.said == ["Bonn"] and not agent.closed


def test_wrong_arguments_do_not_reach_it(agent: Any) -> None:
    def act(self: Any, city: str) -> None:
        """Act.

        Args:
            city: The city.
        """
        self.say(city)

    outcome = run(make_tool(act), '{"town": "Bonn"}', agent)
    assert not outcome.ok and "'town' is not known" in outcome.text
    assert agent.said == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("x = 1\nraise ValueError('too small')", "act failed: ValueError: too small (things.py, line 4)"),
        ("import json\njson.loads('{')", "act failed: JSONDecodeError: Expecting property name"),
        ("import sys\nsys.exit(3)", "act failed: SystemExit: 3 (things.py, line 4)"),
        ("raise KeyboardInterrupt", "act failed: KeyboardInterrupt (things.py, line 3)"),
        ("return act()", "act failed: RecursionError: maximum recursion depth exceeded"),
        ("raise MemoryError", "act failed: MemoryError (things.py, line 3)"),
        ("raise GeneratorExit", "act failed: GeneratorExit (things.py, line 3)"),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "act failed: E (things.py, line 5)"),
        ("raise ExceptionGroup('many', [ValueError('one')])", "act failed: ValueError: one"),
        ("return input('name? ')", "act failed: EOFError"),
        ("class E:\n    def __str__(self): 1 / 0\nreturn [E()]", "act failed: ZeroDivisionError: division by zero"),
    ],
)
@pytest.mark.parametrize("head", ["def act():", "async def act():"])
def test_what_a_function_raises_is_told_with_its_file_and_line(
    function: Any, agent: Any, body: str, said: str, head: str
) -> None:
    if "async" in head:
        body = body.replace("return act()", "return await act()")
    gc.disable()  # or some object of another test may be finalised at the bottom of the recursion, and fail there
    try:
        outcome = run(function(body, head=head), "{}", agent)
    finally:
        gc.enable()
    assert not outcome.ok
    assert outcome.text.startswith(said)
    assert "things.py, line " in outcome.text


def test_a_message_of_any_length_is_cut(function: Any, agent: Any) -> None:
    outcome = run(function("raise ValueError('x' * 1_000_000)", result_limit=500), "{}", agent)
    assert not outcome.ok and len(outcome.text) < 600


def test_what_the_function_says_to_the_model_goes_through_as_it_is(function: Any, agent: Any) -> None:
    body = "from memagent.errors import ToolError\nraise ToolError('Ask for a city in Europe.')"
    assert run(function(body), "{}", agent) == Outcome(False, "Ask for a city in Europe.")


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("error", [StorageError("The disk is full."), TakenOver("Taken over.")])
def test_a_failing_database_ends_more_than_the_call(agent: Any, error: StorageError, inside: bool) -> None:
    @attach(Rules(inside=inside))
    def act(self: Any) -> None:
        """Act."""
        raise error

    with pytest.raises(StorageError) as caught:
        run(make_tool(act), "{}", agent)
    assert caught.value is error


def test_a_failing_database_is_seen_in_a_group_of_tasks_too(agent: Any) -> None:
    async def act(self: Any) -> None:
        """Act."""
        raise ExceptionGroup("many", [StorageError("The disk is full.")])

    with pytest.raises(StorageError, match="The disk is full"):
        run(make_tool(act), "{}", agent)


def test_another_service_that_fails_is_told_to_the_model(agent: Any) -> None:
    def act(self: Any) -> None:
        """Act."""
        raise LLMError("The model is down.", hint="Try later.")

    assert run(make_tool(act), "{}", agent) == Outcome(False, "The model is down. Try later.")


# Results --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("'hé'", "hé"),
        ("None", NOTHING),
        ("{'a': [1, None, 'é']}", '{"a": [1, null, "é"]}'),
        ("(1, 2)", "[1, 2]"),
        ("b'raw \\xff'", "raw \ufffd"),
        ("3.5", "3.5"),
        ("__import__('datetime').date(2026, 5, 31)", '"2026-05-31"'),
        ("{'when': __import__('datetime').datetime(2026, 5, 31)}", '{"when": "2026-05-31T00:00:00"}'),
        ("{1, }", "[1]"),
        ("[__import__('pathlib').PurePosixPath('a/b')]", '["a/b"]'),
        ("{(1, 2): 3}", "{(1, 2): 3}"),
        ("__import__('http').HTTPStatus.OK", "200"),
    ],
)
@pytest.mark.parametrize("head", ["def act():", "async def act():"])
def test_results_as_text(function: Any, agent: Any, result: str, text: str, head: str) -> None:
    assert run(function(f"return {result}", head=head), "{}", agent) == Outcome(True, text)


def test_results_that_are_models_or_dataclasses() -> None:
    import dataclasses

    import pydantic

    @dataclasses.dataclass
    class Point:
        x: int

    class City(pydantic.BaseModel):
        name: str

    text = as_text({"at": Point(1), "in": City(name="Bonn")}, 1000)
    assert json.loads(text) == {"at": {"x": 1}, "in": {"name": "Bonn"}}


def test_a_circle_and_great_depth_are_shown_as_far_as_they_go() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    assert as_text(circle, 1000).startswith("[1, [1, ")
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert as_text(deep, 1000).startswith("[[[[")


def test_a_long_result_is_cut_and_says_how_much() -> None:
    assert as_text("x" * 10_000, 100) == "x" * 100 + "\n[cut: the first 100 of 10,000 characters are shown]"
    assert as_text(list(range(1000)), 20) == "[0, 1, 2, 3, 4, 5, 6\n[cut: the first 20 of 4,890 characters are shown]"
    assert as_text("x" * 100, 100) == "x" * 100


def test_a_huge_result_is_never_built_whole(function: Any, agent: Any) -> None:
    class Counting(list[int]):
        seen = 0

        def __iter__(self) -> Iterator[int]:
            for number in range(10**12):
                Counting.seen += 1
                yield number

    endless = Counting([1])
    assert as_text(endless, 100).endswith("[cut: the first 100 of more than 1,000,000 characters are shown]")
    assert Counting.seen < 1_000_000


def test_a_gigabyte_returned_is_not_copied(function: Any, agent: Any) -> None:
    huge = bytes(1_000_000_000)
    tracemalloc.start()
    try:
        assert len(as_text(huge, 6000)) < 6100
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    outcome = run(function("return bytes(1_000_000_000)"), "{}", agent)
    assert outcome.ok and len(outcome.text) < 6100


# Time -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("def act(self):", "self.release.wait(20)\nself.say('too late')"),
        ("async def act(self):", "import asyncio\nawait asyncio.sleep(20)\nself.say('too late')"),
    ],
)
def test_a_function_that_takes_too_long_is_given_up_and_cut_off(
    function: Any, agent: Any, released: threading.Event, head: str, body: str
) -> None:
    agent.release = released
    outcome = run(function(body, head=head, time_limit=0.1), '{"request_heartbeat": true}', agent)
    assert outcome == Outcome(False, outcome.text, True)
    assert "act did not finish within 0.1 seconds" in outcome.text
    assert agent.closed


def test_threads_left_over_are_cut_off_and_silent(
    function: Any, agent: Any, released: threading.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.release = released
    body = """
        import threading

        def later():
            print("in a thread")
            self.release.wait(20)
            print("from beyond")
            raise ValueError("from beyond")

        print("begin")
        thread = threading.Thread(target=later)
        thread.start()
        self.thread = thread
        return "done"
    """
    outcome = run(function(body, head="def act(self):"), "{}", agent)
    assert (outcome.ok, outcome.text) == (True, "done")
    assert agent.closed
    released.set()
    agent.thread.join(5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("redirected", [False, True])
def test_the_streams_are_the_real_ones_again_after_the_last_thread(redirected: bool) -> None:
    """In a process of its own: as long as a thread of any function lives, the streams are not the real ones."""
    script = textwrap.dedent("""
        import io, sys, threading
        from contextlib import redirect_stdout
        from memagent.tools.run import run
        from memagent.tools.schema import make_tool

        def streams():
            return [type(stream).__name__ for stream in (sys.stdin, sys.stdout, sys.stderr)]

        def rest():
            for thread in threading.enumerate():
                if thread is not threading.main_thread():
                    thread.join()

        def act():
            "Act."
            threading.Thread(target=go_on.wait).start()

        real, go_on = streams(), threading.Event()
        tool = make_tool(act)
        run(tool, "{}")
        assert streams() == ["_Switch"] * 3
        if REDIRECTED:
            with redirect_stdout(io.StringIO()):  # which puts back what it found, when that is out of use
                go_on.set()
                rest()
            assert streams()[1] == "_Switch"
            run(tool, "{}")
        go_on.set()
        rest()
        assert streams() == real, streams()
        assert threading.Thread.start.__module__ == "threading"
    """)
    subprocess.run([sys.executable, "-c", script.replace("REDIRECTED", str(redirected))], timeout=30, check=True)


def test_many_threads_of_a_function_print_into_its_outcome(
    function: Any, agent: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    body = """
        import sys
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: print(f"<{n}>"), range(20)))
        sys.stderr.write("and an error")
        sys.stdout.buffer.write(b"and bytes")
        return "done"
    """
    outcome = run(function(body), "{}", agent)
    assert outcome.ok and not agent.closed
    assert all(f"<{n}>" in outcome.printed for n in range(20))
    assert "and an error" in outcome.printed and "and bytes" in outcome.printed
    assert capsys.readouterr() == ("", "")


def test_printing_without_end_fills_nothing(function: Any, agent: Any) -> None:
    outcome = run(function("for n in range(2000): print('x' * 100)"), "{}", agent)
    assert outcome.ok and len(outcome.printed) <= 4000


def test_others_print_as_always_while_a_function_runs(
    function: Any, agent: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.begun, agent.go_on = threading.Event(), threading.Event()
    tool = function("print('hidden')\nself.begun.set()\nself.go_on.wait(10)", head="def act(self):")
    outcomes: list[Outcome] = []
    other = threading.Thread(target=lambda: outcomes.append(run(tool, "{}", agent)))
    other.start()
    assert agent.begun.wait(10)
    print("shown")
    agent.go_on.set()
    other.join(10)
    assert capsys.readouterr().out == "shown\n"
    assert outcomes[0].printed == "hidden\n"


def test_threads_that_can_not_be_started_fail_the_call_only(
    function: Any, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = function("return 1")

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", refuse, raising=False)
    monkeypatch.setattr(threading, "_start_joinable_thread", refuse, raising=False)
    outcome = run(tool, "{}", agent)
    assert not outcome.ok and "can't start new thread" in outcome.text


def test_memory_functions_run_in_the_calling_thread(agent: Any) -> None:
    @attach(Rules(inside=True))
    def act() -> str:
        """Act."""
        return threading.current_thread().name

    assert run(make_tool(act), "{}", agent) == Outcome(True, threading.current_thread().name)


def test_ctrl_c_while_waiting_for_a_function_passes_at_once(agent: Any, released: threading.Event) -> None:
    agent.release = released

    def act(self: Any) -> None:
        """Act."""
        _thread.interrupt_main(signal.SIGINT)
        self.release.wait(30)

    with pytest.raises(KeyboardInterrupt):
        run(make_tool(act), "{}", agent)
    assert agent.closed
    assert not released.is_set()


def test_a_function_that_never_returns_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import time
        from memagent.tools import Rules
        from memagent.tools.run import run
        from memagent.tools.schema import make_tool

        def act():
            "Act."
            print("never seen")
            time.sleep(3600)

        outcome = run(make_tool(act, Rules(time_limit=0.1)), "{}", object())
        print(outcome.ok, repr(outcome.printed))
    """)
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("False 'never seen\\n'\n", "")
    assert time.monotonic() - started < 30


def test_the_error_a_function_raises_for_the_model_may_be_long(function: Any, agent: Any) -> None:
    def act() -> None:
        """Act."""
        raise ToolError("x" * 100_000)

    assert len(run(make_tool(act), "{}", agent).text) < 6100
