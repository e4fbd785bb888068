"""Writes down what happens, in `logs/memagent.log` in home: one JSON object per line, without secrets.

A log that can't be written never stops anything. What a terminal would act on, such as colours or a new title, is
written as an escape; `harmless` does that for every text that somebody else wrote. Knows nothing of what is logged.
"""

from __future__ import annotations

import json
import logging
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from memagent import config
from memagent.config import SETTINGS, Settings
from memagent.errors import ConfigError

LARGEST = 1_000_000
LONGEST = 20_000
KEPT = 3
"""How many full logs are kept beside the one that is written to: memagent.log.1 is the newest."""

_ACTS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def harmless(text: str) -> str:
    """Text as it may go to a terminal: line breaks and tabs stay, all else that acts on it or turns its direction
    round is written as an escape.
    """
    if text.isascii() and text.isprintable():
        return text
    return _ACTS.sub(lambda found: _escape(found[0]), text.replace("\r\n", "\n"))


def plain_to_see(text: str) -> str:
    """Text on one line in which nothing is hidden: whatever can't be seen, but for a space, is written as an escape."""
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(char if char.isprintable() and not _UNSEEN.match(char) else _escape(char) for char in text)


def _escape(char: str) -> str:
    """As JSON writes it, so that JSON with escapes put in stays the same JSON."""
    return "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]


class LogFile(logging.Handler):
    """A file that several processes may write to at once: opened for every line, and set aside when it is full."""

    def __init__(self, settings: Settings, path: Path | None = None) -> None:
        super().__init__()
        self._settings = settings
        self.path = path or settings.home / "logs" / "memagent.log"

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self._line(record))
        except Exception:  # noqa: BLE001  # whatever it was, there is nobody to tell, and nothing must stop
            return

    def _line(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "name": record.name,
            "process": record.process,
            "message": self._masked(record.getMessage()),
        }
        if record.exc_info:
            fields["error"] = self._masked(logging.Formatter().formatException(record.exc_info))
        return plain_to_see(json.dumps(fields, ensure_ascii=False))

    def _masked(self, text: str) -> str:
        return config.mask(text[:LONGEST], self._settings)

    def _write(self, line: str) -> None:
        config.ensure_home(self._settings)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > LARGEST:
            for number in range(KEPT, 0, -1):
                newer = self._numbered(number - 1)
                if newer.exists():
                    newer.replace(self._numbered(number))
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, line.encode() + b"\n")
        finally:
            os.close(handle)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path


def start_log(settings: Settings) -> None:
    """From now on, write what memagent has to say into the log, by its level; of other packages, only warnings."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, LogFile)]:
        root.removeHandler(handler)
    root.addHandler(LogFile(settings))
    root.setLevel(logging.WARNING)
    logging.getLogger("memagent").setLevel(settings.log_level.upper())


class LogLines(logging.StreamHandler[Any]):
    """The log as lines for a person, on standard error, without secrets, and without what a terminal would act on."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def format(self, record: logging.LogRecord) -> str:
        text = config.mask(record.getMessage()[:LONGEST], self._settings)
        return plain_to_see(f"{datetime.fromtimestamp(record.created):%H:%M:%S} {record.levelname.lower()}: {text}")


def log_to(settings: Settings, level: str, file: Path | None, *, console: bool) -> None:
    """From now on, tell what memagent does from this level on: in a file, on the console, or in both."""
    known = SETTINGS["log_level"].choices
    if level.lower() not in known:
        raise ConfigError(f"There is no level {level!r} of the log.", hint=f"There are: {', '.join(known)}.")
    ours = logging.getLogger("memagent")
    for handler in [handler for handler in ours.handlers if isinstance(handler, LogFile | LogLines)]:
        ours.removeHandler(handler)
    for wanted in ([LogFile(settings, file)] if file else []) + ([LogLines(settings)] if console else []):
        ours.addHandler(wanted)
    ours.setLevel(level.upper())
