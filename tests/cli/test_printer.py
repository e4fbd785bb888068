"""What a person sees of a turn, and what their terminal never gets to see."""

import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from small_terminal import SmallTerminal

from memagent.cli import screen
from memagent.cli.gauge import ContextBar
from memagent.cli.markdown import SafeMarkdown, blocks
from memagent.cli.printer import Printer, Shown, approval_text, as_json_lines, change, print_answer
from memagent.errors import ConfigError
from memagent.events import (
    ApprovalAsked,
    Called,
    Compacted,
    Delta,
    Discarded,
    Event,
    Failed,
    MemoryEdited,
    Notice,
    Reply,
    Returned,
    Thought,
    TurnEnded,
    TurnStarted,
    Waiting,
)

KINDS = ["screen", "dumb", "no colour", "pipe"]
DONE = TurnEnded("done", 1)


def console(kind: str, width: int = 60, height: int = 12, **more: object) -> Console:
    environ = {"TERM": "dumb" if kind == "dumb" else "xterm"} | ({"NO_COLOR": "1"} if kind == "no colour" else {})
    return Console(
        file=io.StringIO(), force_terminal=kind != "pipe", width=width, height=height, color_system=None, markup=False,
        emoji=False, highlight=False, _environ=environ, **more,
    )  # fmt: skip


def printed(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def seen(on: Console) -> str:
    """What stands on the terminal in the end."""
    terminal = SmallTerminal(on.height)
    terminal.feed(printed(on))
    assert terminal.cursor_shown
    return terminal.text()


def shown(events: Iterable[Event], kind: str = "screen", **more: object) -> str:
    on = console(kind)
    Printer(console=on, **more).show(events)
    return seen(on)


def streamed(text: str, sizes: Iterable[int] = (3,), kind: str = "reply") -> Iterator[Event]:
    sizes, at = list(sizes), 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        yield Delta(kind, text[at : at + size])
        at += size


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "TICK", 0.001)


# Streaming -----------------------------------------------------------------------------------------------------------

PIECES = [
    "# A heading\n\n", "Some *words* in a paragraph.\n", "Another line of it.\n\n", "- one\n- two\n", "  - inner\n\n",
    "1. first\n2. second\n\n", "> quoted\n\n", "```python\nx = 1\n\ny = 2\n```\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
    "A line that is longer than the window is wide, so that it must go on in the next one.\n\n", "---\n\n", "words ",
    "| unfinished", "```\nunclosed\n", "\n", "    indented\n\n", "[a](http://b) and <b>html</b>\n\n",
    "é中👩‍👩‍👧 \r\n\r\n",
]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(
    text=st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    pauses=st.integers(2, 9),
)
def test_a_streamed_reply_looks_as_if_printed_at_once(text: str, sizes: list[int], pauses: int) -> None:
    def turn() -> Iterator[Event]:
        for count, event in enumerate(streamed(text, sizes)):
            yield event
            if count % pauses == 0:
                time.sleep(0.002)  # lets the screen be drawn in between
        yield Reply(text)
        yield DONE

    at_once = console("screen")
    for number, block in enumerate(block for block in blocks(f"{text}\n") if block.strip()):
        if number:
            at_once.print()
        at_once.print(SafeMarkdown(block))
    assert shown(turn()) == seen(at_once)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, "1", ".", "-", "#", "`", "|", "=", "\r", " ", "&#x202e;"])).map("".join))
def test_finished_blocks_stay_as_they_are_however_the_text_goes_on(text: str) -> None:
    whole = blocks(text)
    assert "".join(whole) == text
    for end in range(len(text)):
        finished = blocks(text[:end])[:-1]
        assert whole[: len(finished)] == finished


def test_a_reply_longer_than_the_screen_is_there_once_and_whole() -> None:
    lines = [f"line {number}" for number in range(100)]
    text = "\n".join(lines)

    def turn() -> Iterator[Event]:
        for event in streamed(text, [9]):
            yield event
            time.sleep(0.0005)
        yield from (Reply(text), DONE)

    assert shown(turn()).splitlines() == lines


def test_a_very_long_block_is_not_dressed_up() -> None:
    text = "**word** " * (screen.LONGEST_BLOCK // 8)
    on = console("screen", width=100)
    Printer(console=on).show([*streamed(text, [5000]), Reply(text), DONE])
    assert seen(on).split() == text.split()


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_is_printed_once_with_or_without_deltas(kind: str) -> None:
    text = "Hello, I am here."
    assert shown([Reply(text), DONE], kind) == text
    assert (
        shown(
            [
                *streamed(text),
                Called("1", "send_message", {}),
                Returned("1", "send_message", True, ""),
                Reply(text),
                DONE,
            ],
            kind,
        )
        == text
    )
    assert shown([*streamed(f" {text}\n"), Reply(text), DONE], kind) == text
    assert shown([*streamed(text[:7]), Reply(text), DONE], kind) == text


@pytest.mark.parametrize("kind", KINDS)
def test_several_replies_in_one_turn(kind: str) -> None:
    events = [
        *streamed("One.\n\nTwo."),
        Reply("One."),
        Reply("Two."),
        *streamed("Three."),
        Reply("Three."),
        Reply("Four."),
        DONE,
    ]
    assert re.sub(r"\n+", " ", shown(events, kind)) == "One. Two. Three. Four."


def test_words_that_do_not_hold_are_marked() -> None:
    events = [*streamed("I would"), Discarded("the stream broke"), *streamed("Hello."), Reply("Hello."), DONE]
    assert shown(events) == "I would\n\n✗ taken back: the stream broke\n\nHello."
    assert shown(events, "dumb") == "I would […]\n✗ taken back: the stream broke\nHello."
    assert shown(events, "pipe") == "Hello."
    assert shown([Discarded("empty"), Reply("Hello."), DONE]) == "Hello."
    text = shown([*streamed("I said this"), Reply("And meant that."), DONE])
    assert "I said this\n\n✗ taken back" in text and text.endswith("And meant that.")
    text = shown(
        [*streamed("never said"), Called("1", "send_message", {}), Returned("1", "send_message", False, "no"), DONE]
    )
    assert "taken back" in text
    text = shown(
        [
            *streamed("step one"),
            Called("1", "x", {}),
            Returned("1", "x", True, ""),
            *streamed("two"),
            Reply("two"),
            DONE,
        ]
    )
    assert re.sub(r"\n+", "|", text) == "step one|✗ taken back: it is not what was said in the end|two"


def test_ctrl_c_leaves_a_tidy_screen_and_goes_on() -> None:
    on = console("screen")

    def turn() -> Iterator[Event]:
        yield from streamed("Half a sen")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Printer(console=on).show(turn())
    assert seen(on).splitlines()[0] == "Half a sen"
    assert "stopped" in seen(on)


def test_nothing_is_left_of_the_spinner_and_the_countdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "PATIENCE", 0.0)
    on = console("screen")

    def turn() -> Iterator[Event]:
        yield TurnStarted(1, 1)
        until_drawn("Thinking…")
        yield Called("1", "archival_memory_search", {})
        until_drawn("archival_memory_search…")
        yield Waiting(30.0, "rate limit")
        until_drawn("rate limit; again in 30 s")
        yield from (Reply("Hello."), DONE)

    def until_drawn(words: str) -> None:
        while words not in printed(on):
            time.sleep(0.001)

    Printer(console=on).show(turn())
    assert seen(on) == "Hello."


def test_waiting_where_nothing_can_be_drawn_over_is_one_line() -> None:
    events = [Waiting(30.0, "rate limit"), Waiting(0.25, "busy"), Reply("Hello."), DONE]
    assert shown(events, "pipe") == "rate limit; again in 30 s\nHello."


# What is shown beside the reply --------------------------------------------------------------------------------------

WORK = [
    *streamed("I should note that.", kind="thought"), Thought("I should note that."),
    Called("1", "core_memory_append", {"label": "human", "content": "likes tea"}),
    Returned("1", "core_memory_append", True, "Appended."),
    MemoryEdited("human", "Name: Sam.", "Name: Sam. Likes tea.", 2, "core_memory_append"),
    Called("2", "roll_dice", {}), Returned("2", "roll_dice", False, "No dice."),
    Called("3", "send_message", {"message": "Hi."}), Returned("3", "send_message", True, "Sent."), Reply("Hi."), DONE,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_edits_of_memory_are_always_shown_and_the_rest_when_asked_for(kind: str) -> None:
    def lines(**more: object) -> list[str]:
        return [line for line in shown(WORK, kind, **more).splitlines() if line]

    assert lines() == ["✎ human: + Likes tea.", "Hi."]
    aloud = lines(thoughts=True)
    assert aloud[0] == "I should note that."
    assert aloud[1].startswith('→ core_memory_append(label="human", content="likes tea"')
    assert aloud[2] == "← core_memory_append: Appended."
    assert aloud[3:] == ["✎ human: + Likes tea.", "→ roll_dice()", "✗ roll_dice: No dice.", "Hi."]
    everything = "\n".join(lines(debug=True))
    assert "← core_memory_append: Appended." in everything
    assert "send_message" in everything and "TurnEnded" in everything


def test_thoughts_that_were_streamed_are_not_shown_twice() -> None:
    events = [*streamed("one", kind="thought"), *streamed("Hi.", kind="reply"), Thought("one"), Reply("Hi."), DONE]
    assert shown(events, thoughts=True) == "one\n\nHi."


def test_notices_compaction_and_failures() -> None:
    text = shown([Notice("Mind the gap."), Compacted(34, 7900, 2300, "s"), Failed("It broke.", "Mend it."), DONE])
    assert "! Mind the gap." in text and "34 older messages" in text and "7,900" in text
    assert text.endswith("It broke.\nMend it.")


def test_beside_a_pipe_everything_but_the_reply_goes_elsewhere() -> None:
    on, beside = console("pipe"), console("pipe")
    printer = Printer(console=on, asides=beside, thoughts=True)
    printer.show([*WORK[:-1], Failed("It broke.", "Mend it."), DONE])
    assert printed(on) == "I should note that.\nHi.\n"
    assert printed(beside).splitlines()[-2:] == ["It broke.", "Mend it."]


def test_long_lines_stay_whole_in_a_pipe() -> None:
    text = "word " * 100 + "end\nnext"
    assert shown([Reply(text), DONE], "pipe") == text


def test_what_the_caller_is_told() -> None:
    asked = ApprovalAsked("1", "http_request", {"url": "http://x"}, "d")
    printer = Printer(console=console("screen"))
    waiting = printer.show([asked, TurnEnded("waiting", 1)])
    assert (waiting.pending, waiting.ending, waiting.exit_code) == ([asked], "waiting", 6)
    answered = printer.show([Reply("a"), Reply("b"), DONE])
    assert (answered.replies, answered.ending, answered.exit_code) == (["a", "b"], "done", 0)
    failed = printer.show([Failed("no"), TurnEnded("failed", 1)])
    assert (failed.failed, failed.exit_code) == (Failed("no"), 3)
    assert Shown().exit_code == 3


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("", "likes tea", "+ likes tea"), ("likes tea", "", "- likes tea"), ("a b c", "a x c", "- b + x"),
        ("a b c d", "a X c Y", "- b + X - d + Y"), ("a\nb", "a b", "blanks only"),
    ],
)  # fmt: skip
def test_an_edit_in_words(before: str, after: str, words: str) -> None:
    assert change(before, after) == words


# What must not get through -------------------------------------------------------------------------------------------

HOSTILE = (
    "\x1b]0;owned\x07\x1b[31m\x1b]8;;http://evil\x07\x9b2J\x08\x7f \u202eevil\u2066 &#27;[31m&#x202e; "
    "[bold]b[/bold] [link=http://evil]l[/link] :smile: \ud800 <script>"
)
EVENTS = [kind for kind in Event.__subclasses__() if kind is not Delta]


def hostile(kind: type[Event]) -> Event:
    """An event whose every text is hostile."""
    values: dict[str, object] = {}
    for field in fields(kind):
        if field.type == "str":
            values[field.name] = HOSTILE
        elif field.type == "dict[str, Any]":
            values[field.name] = {HOSTILE: HOSTILE, "list": [HOSTILE]}
        elif field.default is MISSING and field.default_factory is MISSING:
            values[field.name] = {"int": 1, "float": 2.0, "bool": False, "Ending": "done"}[str(field.type)]
    return kind(**values)


def check_harmless(text: str) -> None:
    without_drawing = re.sub(r"\x1b\[(\?25[hl]|2K|\d*A)|\r(?=\x1b\[2K|$)", "", text)
    for char in without_drawing:
        assert char in "\n\u200d" or char.isprintable(), f"{char!r} in {without_drawing!r}"


@pytest.mark.parametrize("terminal", KINDS)
@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_no_event_can_make_the_terminal_do_anything(kind: type[Event], terminal: str) -> None:
    on = console(terminal, width=200)
    events = [*streamed(HOSTILE), *streamed(HOSTILE, kind="thought"), hostile(kind), Reply(HOSTILE), DONE]
    Printer(console=on, debug=True).show(events)
    check_harmless(printed(on))
    assert "[bold]b[/bold]" in printed(on) and ":smile:" in printed(on) and "<script>" in printed(on)


def test_nor_can_what_is_told_between_turns() -> None:
    on = console("screen", width=200)
    printer = Printer(console=on)
    printer.tell(HOSTILE)
    printer.show_error(ConfigError(HOSTILE, hint=HOSTILE))
    printer.show_approval(ApprovalAsked("1", HOSTILE, {HOSTILE: HOSTILE}, "d"))
    check_harmless(printed(on))
    assert printed(on).count("[bold]b[/bold]") == 6


@pytest.mark.parametrize(
    ("written", "shows"),
    [
        ("[good](http://evil/x)", "good (http://evil/x)"), ("![pic](http://evil/p.png)", "pic (http://evil/p.png)"),
        ("[http://good](http://evil)", "http://good (http://evil)"), ("<http://here>", "http://here"),
        ("[x](javascript:alert)", "[x](javascript:alert)"), ("<b>bold</b>", "<b>bold</b>"),
        ("<!-- hidden -->", "<!-- hidden -->"), ("[word]: http://vanishes", "[word]: http://vanishes"),
        ("one\ntwo", "one\ntwo"), ("[![i](http://a)](http://b)", "i (http://a) (http://b)"), ("`[x](y)`", "[x](y)"),
        ("a [**b** c](http://d) e", "a b c (http://d) e"), ("safe\revil", "safe\\revil"),
    ],
)  # fmt: skip
def test_markdown_hides_nothing(written: str, shows: str) -> None:
    on = console("screen")
    on.print(SafeMarkdown(written))
    assert [line.rstrip() for line in printed(on).splitlines()] == shows.splitlines()


@given(st.text(st.sampled_from("ab \n\t*_`~|-#>[]()!<&;\\=1.:/\r\x1b\u202e中"), max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_markdown_can_be_shown(text: str) -> None:
    on = Console(file=io.StringIO(), force_terminal=True, width=30, legacy_windows=False, _environ={})
    on.print(SafeMarkdown(text))
    assert "\x1b]" not in printed(on) and "\u202e" not in printed(on)


def test_a_terminal_that_can_not_write_a_character_gets_another() -> None:
    code = (
        "from memagent.cli.printer import Printer\nfrom memagent.events import Reply, MemoryEdited\n"
        "Printer().show([MemoryEdited('human', '', 'é', 1, 'x'), Reply('caf\\xe9 \\U0001f600 \\ud800')])"
    )
    environ = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ)
    assert run.stdout == "? human: + ?\ncaf? ? \\ud800\n", run.stderr


# Approval ------------------------------------------------------------------------------------------------------------


def asked(**arguments: object) -> str:
    return approval_text(ApprovalAsked("1", "http_request", arguments, "digest"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.text(" \n\u202e\xa0a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), VALUES))
def test_what_is_shown_for_approval_is_exactly_what_would_run(arguments: dict[str, object]) -> None:
    header, *lines = approval_text(ApprovalAsked("1", "tool", arguments, "digest")).split("\n")
    assert json.loads("\n".join(lines)) == arguments
    assert "tool" in header
    assert all(line.isprintable() for line in lines)


def test_nothing_hides_in_an_approval() -> None:
    text = asked(
        url="http://good\u202emoc.live//:ptth", body="a\nApproved by the user: yes", path="x" + " " * 5000 + "rm -rf /"
    )
    assert "\\u202e" in text and "\u202e" not in text
    assert '"a\\nApproved by the user: yes"' in text
    assert text.count("\\u0020") == 5000
    assert '"xxx' in asked(body="x" * 10_000) and "10,0" in asked(body="x" * 10_000)
    assert asked(body="x" * 10_000).count("x") == 10_000
    assert "\\u200b" in asked(url="goo\u200bd") and "\\ufe0f" in asked(url="a\ufe0f")


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_an_approval_is_shown_in_a_narrow_window(kind: str) -> None:
    on = console(kind, width=30)
    value = "".join(f"<{number}>" for number in range(500))
    Printer(console=on).show_approval(ApprovalAsked("1", "tool", {"body": value}, "d"))
    assert value in printed(on).replace("\n", "")


# For scripts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*EVENTS, Delta], ids=lambda kind: kind.__name__)
def test_every_event_is_one_line_of_json(kind: type[Event]) -> None:
    event = hostile(kind) if kind is not Delta else Delta("reply", HOSTILE)
    (line,) = as_json_lines([event])
    assert line.isascii() and "\n" not in line and "\x1b" not in line
    assert json.loads(line) == {"event": kind.__name__, **vars(event)}


class Played:
    """An agent whose turns are given."""

    def __init__(self, *turns: list[Event]) -> None:
        self.turns = list(turns)
        self.heard: list[object] = []

    def turn(self, text: str) -> Iterator[Event]:
        self.heard.append(text)
        return iter(self.turns.pop(0))

    def decide(self, call_id: str, digest: str, approve: bool) -> Iterator[Event]:
        self.heard.append((call_id, digest, approve))
        return iter(self.turns.pop(0))


ASKS: list[Event] = [ApprovalAsked("7", "http_request", {"url": "u"}, "digest"), TurnEnded("waiting", 1)]


def test_one_answer_for_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    agent = Played([Notice("Mind."), *streamed("Hello."), Reply("Hello."), DONE])
    assert print_answer(agent, "hi") == 0
    assert capsys.readouterr() == ("Hello.\n", "! Mind.\n")
    assert print_answer(Played([Failed("It broke.", "Mend it."), DONE]), "hi") == 3
    assert capsys.readouterr() == ("", "It broke.\nMend it.\n")


def test_one_answer_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    agent = Played([*streamed("Hello."), Reply("Hello."), DONE])
    assert print_answer(agent, "hi", json=True) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["Delta", "Delta", "Reply", "TurnEnded"]


@pytest.mark.parametrize("as_json", [True, False])
def test_an_answer_that_needs_approval(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    assert print_answer(Played(ASKS), "hi", json=as_json) == 6
    out, err = capsys.readouterr()
    assert "http_request" in (out if as_json else err) and (as_json or out == "")
    agent = Played(ASKS, [Reply("Done."), DONE])
    assert print_answer(agent, "hi", json=as_json, approve=True) == 0
    assert agent.heard == ["hi", ("7", "digest", True)]
    assert "Done." in capsys.readouterr().out


# The context window --------------------------------------------------------------------------------------------------

PARTS = [("system prompt", 900), ("core memory", 300), ("functions", 1), ("user", 0), ("agent", 1799)]


def bar(parts: list[tuple[str, int]], window: int, width: int = 60, **more: object) -> list[str]:
    on = Console(file=io.StringIO(), width=width, _environ={}, **more)
    on.print(ContextBar(parts, window))
    return printed(on).splitlines()


def test_the_bar_shows_every_part_in_proportion() -> None:
    drawn, *legend = bar(PARTS, 6000)
    assert len(drawn) == 60
    assert [drawn.count(ink) for ink in "#=+%."] == [9, 3, 1, 17, 28]
    assert legend[0].split() == ["#", "system", "prompt", "900", "15.0", "%"]
    assert not any(line.lstrip().startswith("user") for line in legend)
    assert legend[-2].split() == ["free", "3,000", "50.0", "%"]
    assert legend[-1].split() == ["in", "all", "3,000", "50.0", "%", "of", "6,000", "tokens"]


@given(
    st.lists(st.tuples(st.text(max_size=5), st.integers(0, 10**7)), max_size=12),
    st.integers(0, 10**6),
    st.integers(20, 100),
)
def test_the_bar_always_fits(parts: list[tuple[str, int]], window: int, width: int) -> None:
    drawn = bar(parts, window, width)[0]
    assert len(drawn) == min(width, 74)
    assert drawn.startswith("[") and drawn.endswith("]")


def test_colours_are_used_where_there_are_some() -> None:
    drawn = bar(PARTS, 6000, force_terminal=True, color_system="standard", legacy_windows=False)[0]
    assert "\x1b[36m" in drawn and "█" in drawn and "#" not in drawn
    assert "too full" in "\n".join(bar([("user", 9000)], 6000))
