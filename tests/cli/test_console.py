"""The line on which the user types: keys, completion, history, waking up, and lines from a pipe."""

import io
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from memagent.cli.console import KEYS, Console, completer

UP, CTRL_C, CTRL_D, ALT_ENTER, BACKSPACE, LEFT = "\x1b[A", "\x03", "\x04", "\x1b\r", "\x7f", "\x1b[D"
PASTED = "\x1b[200~{}\x1b[201~"


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        yield keys


def typed(keyboard: PipeInput, text: str, console: Console | None = None) -> str | None:
    keyboard.send_text(text)
    return (console or Console(interactive=True)).read()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("hello\r", "hello"), ("\r", ""), (f"one{ALT_ENTER}two\r", "one\ntwo"), ("one\\\rtwo\r", "one\ntwo"),
        ("C:\\\\\r", "C:\\\\"), (PASTED.format("one\r\ntwo\nthree") + "\r", "one\ntwo\nthree"),
        (PASTED.format("/exit\n") + "no\r", "/exit\nno"), (f"wrong{CTRL_C}right\r", "right"),
        (f"{CTRL_C}{CTRL_C}still here\r", "still here"), (f"ab{LEFT}{CTRL_D}c\r", "ac"), ("中👩‍👧é\r", "中👩‍👧é"),
    ],
)  # fmt: skip
def test_what_is_typed_is_what_is_read(keyboard: PipeInput, keys: str, message: str) -> None:
    assert typed(keyboard, keys) == message


def test_ctrl_d_on_an_empty_line_leaves(keyboard: PipeInput) -> None:
    with pytest.raises(EOFError):
        typed(keyboard, CTRL_D)
    with pytest.raises(EOFError):
        typed(keyboard, f"something{CTRL_C}{CTRL_D}")


def test_history_is_kept_between_runs_for_its_owner_only(keyboard: PipeInput, tmp_path: Path) -> None:
    path = tmp_path / "history"
    old = os.umask(0)
    try:
        console = Console(path, interactive=True)
        assert typed(keyboard, "first\r", console) == "first"
        assert typed(keyboard, f"two{ALT_ENTER}lines\r", console) == "two\nlines"
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = (pressed(keyboard, Console(path, interactive=True), UP, pause=pause) for pause in PAUSES)
    assert next(filter(None, lines)) == "two\nlines"  # it is read in the background, and may come late


PAUSES = [0.05 * 2**n for n in range(9)]
"""Seconds that are given to what works in the background, more each time: a busy machine may need them."""


def pressed(keyboard: PipeInput, console: Console, *keys: str, pause: float) -> str | None:
    """What is sent when there are moments between these keys and Enter, for what works in the background."""

    def press() -> None:
        for key in (*keys, "\r"):
            keyboard.send_text(key)
            time.sleep(pause)

    presser = threading.Thread(target=press)
    presser.start()
    line = console.read()
    presser.join()
    return line


@pytest.mark.parametrize("path", ["/proc/nowhere/history", "/proc"])
def test_a_history_that_can_not_be_kept_stops_nobody(keyboard: PipeInput, path: str) -> None:
    assert typed(keyboard, "hello\r", Console(Path(path), interactive=True)) == "hello"


def test_idle_for_long_enough_the_reader_wakes_and_the_line_is_kept(keyboard: PipeInput) -> None:
    console = Console(interactive=True)
    keyboard.send_text(f"half a mess{LEFT}")
    assert console.read(wake_after=0.05) is None
    assert console.read(wake_after=0.05) is None
    keyboard.send_text("X\r")
    assert console.read(wake_after=60) == "half a mesXs"
    keyboard.send_text("next\r")
    assert console.read() == "next"


def test_typing_puts_the_waking_off(keyboard: PipeInput) -> None:
    console = Console(interactive=True)

    def type_slowly(pause: float) -> None:
        for char in "slowly\r":
            time.sleep(pause)
            keyboard.send_text(char)

    def woken(pause: float) -> int:
        typist = threading.Thread(target=type_slowly, args=[pause])
        typist.start()
        count = 0
        while (line := console.read(wake_after=5 * pause)) is None:
            count += 1
        typist.join()
        assert line == "slowly"
        return count

    assert any(woken(pause) == 0 for pause in PAUSES)  # on a busy machine the typist may be held up now and then


def completions(text: str) -> list[str]:
    complete = completer(
        {"help": "this list", "load": "another agent", "lo": "x"}, {"load": lambda: ["sam", "anna s."]}
    )
    return [found.text for found in complete.get_completions(Document(text), CompleteEvent())]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/", ["help", "load", "lo"]), ("/lo", ["load", "lo"]), ("/load ", ["sam", "anna s."]),
        ("/load an", ["anna s."]), ("/load anna ", ["anna s."]), ("/help ", []), ("/x", []), ("lo", []), (" /lo", []),
        ("hi\n/lo", []), ("/lo\n", []),
    ],
)  # fmt: skip
def test_commands_and_what_follows_them_are_completed(text: str, found: list[str]) -> None:
    assert completions(text) == found


def test_tab_completes(keyboard: PipeInput) -> None:
    console = Console(None, {"help": "this list"}, interactive=True)
    assert any(pressed(keyboard, console, "/he", "\t", pause=pause) == "/help" for pause in PAUSES)


@pytest.mark.parametrize(
    ("answer", "yes"),
    [
        ("y\r", True),
        ("YES \r", True),
        ("\r", False),
        ("n\r", False),
        (CTRL_C, False),
        (CTRL_D, False),
        ("yeah\r", False),
    ],
)
def test_only_a_clear_yes_is_a_yes(keyboard: PipeInput, answer: str, yes: bool) -> None:
    keyboard.send_text(answer)
    assert Console(interactive=True).confirm("Really?") is yes


def test_lines_from_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO("one\\\r\ntwo \n\n\xff".encode("latin-1")), encoding="utf-8")
    )
    console = Console()
    assert [console.read(), console.read(wake_after=0.01), console.read(), console.read()] == [
        "one\\",
        "two ",
        "",
        "\ufffd",
    ]
    with pytest.raises(EOFError):
        console.read()
    assert console.confirm("Really?") is False
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(EOFError):
        Console().read()


def test_a_pipe_does_not_pay_for_the_terminal() -> None:
    code = (
        "import sys; from memagent.cli.console import Console; print(Console().read(), 'prompt_toolkit' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], input="hello\n", capture_output=True, text=True)
    assert run.stdout == "hello False\n", run.stderr


def test_the_keys_are_explained() -> None:
    assert any("Alt-Enter" in key for key in KEYS)
