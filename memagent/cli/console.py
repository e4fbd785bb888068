"""The line on which the user types: with history, completion and several lines in a terminal; plain lines from a pipe.

Knows nothing of what the lines mean.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memagent.cli.keyboard import forget_typed
from memagent.log import harmless

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

KEYS = {
    "Enter": "send",
    "Alt-Enter, or \\ at the end": "a new line; pasted lines stay one message",
    "Tab": "complete a command",
    "Up, Down, Ctrl-R": "what you wrote before",
    "Ctrl-C": "clear the line; while the agent works: stop it",
    "Ctrl-D": "leave",
}
"""What the keys do, for the help page."""

HINT = "Ctrl-D or /exit leaves"

Arguments = Mapping[str, Callable[[], Iterable[str]]]


class Console:
    """Where the user types. `commands` maps names, without the slash, to a line of help; `arguments` maps some of
    them to what can follow.
    """

    def __init__(
        self, history: Path | None = None, commands: Mapping[str, str] | None = None,
        arguments: Arguments | None = None, *, prompt: str = "> ", interactive: bool | None = None,
    ) -> None:  # fmt: skip
        self.prompt = prompt
        self._history = history
        self._commands = commands or {}
        self._arguments = arguments or {}
        on_terminal = bool(sys.stdin and sys.stdin.isatty() and sys.stdout.isatty())
        self._interactive = on_terminal if interactive is None else interactive
        if not self._interactive and (reconfigure := getattr(sys.stdin, "reconfigure", None)):
            reconfigure(errors="replace")  # what is piped in may be no text
        self._typed_at = 0.0
        self._session: PromptSession[str | None] | None = None
        self._unsent: Document | None = None

    def read(self, wake_after: float | None = None) -> str | None:
        """The next message. `None` when nothing was typed for `wake_after` seconds: what stands on the line is there
        again next time. Raises `EOFError` at the end of input.

        A pipe is read line by line, and is waited for however long it takes.
        """
        if not self._interactive:
            return self._line()
        session = self._session or self._opened()
        session.app.erase_when_done = False
        session.placeholder = None
        default, self._unsent = self._unsent or "", None
        self._typed_at = time.monotonic()
        line = session.prompt(
            [("class:prompt", harmless(self.prompt))], default=default,
            pre_run=partial(self._watch, session, wake_after) if wake_after else None,
        )  # fmt: skip
        if line is None:
            self._unsent = session.default_buffer.document
        return line

    def _opened(self) -> PromptSession[str | None]:
        session = _session(self._history, completer(self._commands, self._arguments))
        session.default_buffer.on_text_changed += self._note_typing
        self._session = session
        return session

    def _note_typing(self, _: Buffer) -> None:
        self._typed_at = time.monotonic()

    def _watch(self, session: PromptSession[str | None], seconds: float) -> None:
        """End the prompt that begins now when nothing happens for so long."""
        import asyncio

        async def wait() -> None:
            while (left := self._typed_at + seconds - time.monotonic()) > 0:
                await asyncio.sleep(left)
            if not session.app.is_done:
                session.app.erase_when_done = True
                session.app.exit(result=None)

        session.app.create_background_task(wait())

    def _line(self) -> str:
        line = sys.stdin.readline() if sys.stdin else ""
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def confirm(self, question: str) -> bool:
        """Ask for a yes or no; all but a clear yes is a no, also silence in a pipe, and what was typed before."""
        if not self._interactive:
            return False
        from prompt_toolkit import prompt

        forget_typed()
        try:
            answer = prompt(f"{harmless(question)} [y/N] ")
        except (EOFError, KeyboardInterrupt):
            return False
        return answer.strip().lower() in ("y", "yes")


def _session(history: Path | None, completes: Completer) -> PromptSession[str | None]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import get_app
    from prompt_toolkit.filters import Condition, has_focus
    from prompt_toolkit.styles import Style

    keys = _keys()
    session: PromptSession[str | None] = PromptSession(
        multiline=True,
        history=_kept(history),
        completer=completes,
        # Only then is room kept for the menu, which would otherwise push the chat up the screen.
        complete_while_typing=Condition(lambda: get_app().current_buffer.text.startswith("/")),
        key_bindings=keys,
        prompt_continuation=lambda width, *_: " " * width,
        style=Style.from_dict({"prompt": "bold ansicyan"}),
    )

    @keys.add("c-c", filter=has_focus("DEFAULT_BUFFER"))
    @keys.add("<sigint>")
    def clear(_: KeyPressEvent) -> None:
        if not session.default_buffer.text:
            session.placeholder = [("ansibrightblack", HINT)]
        session.default_buffer.reset()

    return session


def _keys() -> KeyBindings:
    from prompt_toolkit.filters import has_focus
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()
    typing = has_focus("DEFAULT_BUFFER")

    @keys.add("enter", filter=typing)
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.document.text_before_cursor
        if (len(text) - len(text.rstrip("\\"))) % 2:  # two of them are one backslash, not a new line
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=typing)
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def completer(commands: Mapping[str, str], arguments: Arguments) -> Completer:
    from prompt_toolkit.completion import Completer, Completion

    class Commands(Completer):
        """Completes a command at the beginning of the message, and what can follow it."""

        def get_completions(self, document: Document, _: CompleteEvent) -> Iterator[Completion]:
            text = document.text_before_cursor
            if not text.startswith("/") or "\n" in text:
                return
            name, blank, rest = text[1:].partition(" ")
            if not blank:
                for command, about in commands.items():
                    if command.startswith(name):
                        yield Completion(command, -len(name), display=f"/{command}", display_meta=about)
            elif name in arguments:
                for word in arguments[name]():
                    if word.startswith(rest):
                        yield Completion(word, -len(rest), display=harmless(word))

    return Commands()


def _kept(path: Path | None) -> History:
    """The history in a file that only its owner can read. A history that can't be kept stops nobody from typing."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class Kept(FileHistory):
        def load_history_strings(self) -> Iterable[str]:
            try:
                return list(super().load_history_strings())
            except OSError:
                return []

        def store_string(self, string: str) -> None:
            try:
                os.close(os.open(self.filename, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
                super().store_string(string)
            except OSError:
                return

    return Kept(path) if path else InMemoryHistory()
