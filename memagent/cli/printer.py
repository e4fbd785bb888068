"""Shows what happens in a turn: words as they come, edits of memory, failures; in a terminal, or printed for scripts.

Whatever a model, a function or a file has written is made harmless first, and is never taken for markup. Knows nothing
of how a turn works, nor of what is asked next.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import IO, TYPE_CHECKING

from memagent import errors
from memagent.errors import MemagentError
from memagent.events import (
    ApprovalAsked,
    Called,
    Compacted,
    Delta,
    DeltaKind,
    Discarded,
    Ending,
    Event,
    Failed,
    Heartbeat,
    MemoryEdited,
    Notice,
    Reply,
    Returned,
    Thought,
    TurnEnded,
    Waiting,
    as_dict,
)
from memagent.log import harmless, plain_to_see
from memagent.messages import storable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from memagent.agent import Agent
    from memagent.cli.screen import Surface

LONGEST_ASIDE = 400
STOPPED = "it was stopped before it was finished"
OTHERWISE = "it is not what was said in the end"
REPLIED, UNANSWERED, WAITING = 0, 3, 6
"""Exit codes of a turn: with an answer, without one, and when a person must say yes first."""


@dataclass
class Shown:
    """What came of a turn that was shown. `pending` waits for a person's approval."""

    replies: list[str] = field(default_factory=list)
    pending: list[ApprovalAsked] = field(default_factory=list)
    failed: Failed | None = None
    ending: Ending = "interrupted"

    def note(self, event: Event) -> None:
        """Remember what the caller will want to know of an event."""
        if isinstance(event, Reply):
            self.replies.append(event.text)
        elif isinstance(event, ApprovalAsked):
            self.pending.append(event)
        elif isinstance(event, Failed):
            self.failed = event
        elif isinstance(event, TurnEnded):
            self.ending = event.ending

    @property
    def exit_code(self) -> int:
        """What a command that showed this turn says to the shell."""
        if self.pending:
            return WAITING
        if self.failed:
            kind = getattr(errors, self.failed.kind, errors.ModelError)
            return UNANSWERED if issubclass(kind, errors.ModelError) else int(kind.exit_code)
        return REPLIED if self.replies else UNANSWERED


def open_console(file: IO[str] | None = None) -> Console:
    """A console on standard output or another file. Characters that it can't write become question marks."""
    from colorama import just_fix_windows_console  # type: ignore[import-untyped]
    from rich.console import Console

    just_fix_windows_console()
    file = file or sys.stdout
    if hasattr(file, "reconfigure"):
        file.reconfigure(errors="replace")
    return Console(file=file, markup=False, emoji=False, highlight=False)


class Printer:
    """Prints what happens. `thoughts` shows what the agent thinks and calls, `debug` everything.

    With `asides`, another console gets all that is not the agent's reply.
    """

    def __init__(
        self, *, thoughts: bool = False, debug: bool = False, console: Console | None = None,
        asides: Console | None = None,
    ) -> None:  # fmt: skip
        self.thoughts = thoughts
        self.debug = debug
        self.console = console or open_console()
        self._asides = asides or self.console
        self._streamed: dict[DeltaKind, str] = {"reply": "", "thought": ""}
        self._acted = False
        self._surface: Surface

    # Turns -----------------------------------------------------------------------------------------------------------

    def show(self, events: Iterable[Event]) -> Shown:
        """Show a turn as it happens. Ctrl-C leaves a tidy screen and goes on to the caller."""
        from memagent.cli.screen import surface

        shown = Shown()
        self._surface = surface(self.console)
        self._forget()
        with self._surface:
            try:
                for event in events:
                    shown.note(event)
                    self._show(event)
            finally:
                self._take_back(STOPPED if shown.ending == "interrupted" else OTHERWISE)
        return shown

    @singledispatchmethod
    def _show(self, event: Event) -> None:
        """Everything that has no way of its own to be shown."""
        if self.debug:
            self._aside("·", str(as_dict(event)))

    @_show.register
    def _(self, event: Delta) -> None:
        if self._acted:  # another step has begun
            self._take_back(OTHERWISE)
        if self._surface.streams and (event.kind == "reply" or self._thinks_aloud):
            self._streamed[event.kind] += event.text
            self._surface.write(event.kind, event.text)

    @_show.register
    def _(self, event: Reply) -> None:
        self._acted = True
        self._say("reply", event.text)
        self._surface.busy("Thinking…")

    @_show.register
    def _(self, event: Thought) -> None:
        self._acted = True
        if self._thinks_aloud:
            self._say("thought", event.text)

    @_show.register
    def _(self, event: Discarded) -> None:
        self._take_back(event.reason)
        self._surface.busy("Trying again…")

    @_show.register
    def _(self, event: Waiting) -> None:
        self._surface.busy(event.reason, event.seconds)

    @_show.register
    def _(self, event: Called) -> None:
        self._acted = True
        if self.debug or (self.thoughts and event.name != "send_message"):
            shown = ", ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in event.arguments.items())
            self._aside("→", f"{event.name}({shown})")
        self._surface.busy(f"{event.name}…")

    @_show.register
    def _(self, event: Returned) -> None:
        self._acted = True
        if self.debug or (self.thoughts and (event.name != "send_message" or not event.ok)):
            self._aside("←" if event.ok else "✗", f"{event.name}: {event.text}")
        self._surface.busy("Thinking…")

    @_show.register
    def _(self, event: MemoryEdited) -> None:
        self._aside("✎", f"{event.label}: {change(event.before, event.after)}")

    @_show.register
    def _(self, event: Compacted) -> None:
        text = f"{event.hidden} older messages were summarised ({event.before:,} → {event.after:,} tokens)."
        self._aside("⇣", f"{text} They can still be searched.")

    @_show.register
    def _(self, event: Notice) -> None:
        self._aside("!", event.text, "yellow", whole=True)

    @_show.register
    def _(self, event: Failed) -> None:
        self._take_back(STOPPED)
        for line in _problem(event.message, event.hint):
            self._put(line)

    @_show.register
    def _(self, event: ApprovalAsked) -> None:
        """The caller shows it when it asks."""

    @_show.register
    def _(self, event: Heartbeat) -> None:
        if self.debug:
            self._aside("♥", event.reason)

    @property
    def _thinks_aloud(self) -> bool:
        return self.thoughts or self.debug

    def _say(self, kind: DeltaKind, text: str) -> None:
        """Show what is final, as far as it was not shown while it was written."""
        before, text = storable(self._streamed[kind]).lstrip(), text.strip()
        if before.startswith(text):
            self._streamed[kind] = before[len(text) :]
        else:
            if not text.startswith(before.rstrip()):
                if kind == "reply":
                    self._take_back(OTHERWISE)
                before = ""
            self._streamed[kind] = ""
            rest = text[len(before) :] if text.startswith(before) else text[len(before.rstrip()) :].lstrip()
            self._surface.write(kind, rest)
        self._surface.settle()

    def _take_back(self, reason: str) -> None:
        """Mark what was shown of a reply and will not come."""
        if self._streamed["reply"].strip():
            self._surface.settle(valid=False)
            self._aside("✗", f"taken back: {reason}", whole=True)
        self._forget()

    def _forget(self) -> None:
        self._streamed = {"reply": "", "thought": ""}
        self._acted = False

    def _aside(self, mark: str, text: str, style: str = "dim", *, whole: bool = False) -> None:
        """A line beside the conversation."""
        from rich.text import Text

        text = " ".join(text[: 4 * LONGEST_ASIDE].split())
        if not whole and len(text) > LONGEST_ASIDE:
            text = f"{text[:LONGEST_ASIDE]}…"
        folds = {} if whole or self.debug else {"no_wrap": True, "overflow": "ellipsis"}
        self._put(Text(f"{mark} {harmless(text)}", style, **folds))  # type: ignore[arg-type]

    def _put(self, line: RenderableType) -> None:
        if self._asides is self.console:
            self._surface.put(line)
        else:
            self._asides.print(line, soft_wrap=True)

    # Between turns ---------------------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """Say something that is not the agent's; text of others in it is made harmless."""
        from rich.text import Text

        self._asides.print(Text(harmless(text)), soft_wrap=not self._asides.is_terminal)

    def show_error(self, error: MemagentError) -> None:
        """Say what went wrong, and what to do."""
        for line in _problem(error.message, error.hint):
            self._asides.print(line)

    def show_approval(self, asked: ApprovalAsked) -> None:
        """Show what the agent wants to do, all of it."""
        from rich.text import Text

        self._asides.print(Text(approval_text(asked), overflow="fold"), soft_wrap=not self._asides.is_terminal)

    def show_context(self, parts: Sequence[tuple[str, int]], window: int) -> None:
        """Show what fills the context window."""
        from memagent.cli.gauge import ContextBar

        self.console.print(ContextBar(parts, window))


def _problem(message: str, hint: str) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text(harmless(message), "red")
    if hint:
        yield Text(harmless(hint))


def change(before: str, after: str) -> str:
    """What an edit changed, in words: `- what went`, `+ what came`."""
    from difflib import SequenceMatcher

    old, new = before.split(), after.split()
    parts = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            parts += [f"{sign} {' '.join(words)}" for sign, words in (("-", old[a:b]), ("+", new[c:d])) if words]
    return " ".join(parts) or "blanks only"


def approval_text(asked: ApprovalAsked) -> str:
    """What the agent wants to do, whole, as exactly the text that will be passed on: nothing in it hides or turns.

    Line breaks, characters without ink and long runs of blanks inside of the arguments are written as escapes.
    """
    whole = json.dumps(asked.arguments, ensure_ascii=False, indent=2)
    lines = [_blanks_counted(plain_to_see(line)) for line in whole.split("\n")]
    return f"The agent wants to call {plain_to_see(asked.name)} with ({len(whole):,} characters):\n" + "\n".join(lines)


def _blanks_counted(line: str) -> str:
    inside = line.lstrip(" ")
    while (blanks := inside.find(" " * 9)) >= 0:
        end = len(inside) - len(inside[blanks:].lstrip(" "))
        inside = inside[:blanks] + "\\u0020" * (end - blanks) + inside[end:]
    return line[: len(line) - len(line.lstrip(" "))] + inside


# For scripts ---------------------------------------------------------------------------------------------------------


def as_json_lines(events: Iterable[Event]) -> Iterator[str]:
    """Each event as one line of JSON, in ASCII."""
    for event in events:
        yield json.dumps(as_dict(event))


def print_answer(agent: Agent, text: str, *, json: bool = False, approve: bool = False) -> int:
    """Say one thing to an agent, and print its answer to standard output, everything else beside it. Returns the exit
    code.
    """
    console = open_console()
    printer = Printer(console=console, asides=None if console.is_terminal else open_console(sys.stderr))
    events = agent.turn(text)
    while True:
        shown = _printed(events) if json else printer.show(events)
        if not (shown.pending and approve):
            break
        asked = shown.pending[-1]
        events = agent.decide(asked.call_id, asked.digest, True)
    if shown.pending and not json:
        printer.show_approval(shown.pending[-1])
        printer.tell("It waits for you: give --yes, or answer in the chat, memagent run.")
    return shown.exit_code


def _printed(events: Iterable[Event]) -> Shown:
    shown = Shown()

    def noted() -> Iterator[Event]:
        for event in events:
            shown.note(event)
            yield event

    for line in as_json_lines(noted()):
        print(line, flush=True)  # noqa: T201  # what was asked for
    return shown
