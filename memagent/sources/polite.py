"""Asks web servers as a good guest does: what their robots.txt allows, not too often, again when they say to come back.

Knows nothing of what is in the pages.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import memagent
from memagent import guard
from memagent.errors import ToolError
from memagent.sources import Unreadable

USER_AGENT = f"memagent/{memagent.__version__}"
TRIES = 3
LONGEST_WAIT = 60.0
"""A server that asks for more time is not waited for."""
LONGEST_DELAY = 30.0
LARGEST_ROBOTS = 500_000

_LATER = frozenset({429, 500, 502, 503, 504})


@dataclass
class Guest:
    """Asks for pages; `delay` is how many seconds lie between two requests to one host at least."""

    allowed_hosts: Iterable[str] = ()
    delay: float = 1.0
    time_limit: float = 30.0
    size_limit: int = 20_000_000
    robots: bool = True
    _rules: dict[str, RobotFileParser | str] = field(default_factory=dict)
    _next: dict[str, float] = field(default_factory=dict)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> guard.Answer:
        """The page, or 304 if the headers' condition does not hold. Raises `Unreadable` with a reason."""
        self._check(url)
        answer = self._asked(url, headers or {}, self.size_limit)
        if answer.url != url:
            self._check(answer.url)
        if answer.status >= 400:
            raise Unreadable(f"can't be had: the server answers {answer.status}")
        if answer.note.startswith("cut"):
            raise Unreadable(f"is larger than {self.size_limit / 1e6:g} MB")
        if answer.note.startswith("incomplete"):
            raise Unreadable("did not come as a whole")
        return answer

    def _asked(self, url: str, headers: Mapping[str, str], size_limit: int) -> guard.Answer:
        for tries_left in reversed(range(TRIES)):
            self._wait(url)
            wait = 2.0 ** (TRIES - 1 - tries_left)
            try:
                answer = guard.request(
                    "GET",
                    url,
                    headers={"User-Agent": USER_AGENT, **headers},
                    allowed_hosts=self.allowed_hosts,
                    time_limit=self.time_limit,
                    size_limit=size_limit,
                )
            except guard.NoAnswer as error:
                if not tries_left:
                    raise Unreadable(f"can't be had: {error.message}") from error
            except ToolError as error:
                raise Unreadable(f"was not asked for: {error.message}") from error
            else:
                if answer.status not in _LATER or not tries_left:
                    return answer
                wait = max(wait, _retry_after(answer.headers.get("retry-after", "")))
                if wait > LONGEST_WAIT:
                    return answer
            self._next[_origin(url)] = time.monotonic() + wait
        raise AssertionError  # the last try has returned or raised

    def _wait(self, url: str) -> None:
        origin = _origin(url)
        if (pause := self._next.get(origin, 0.0) - time.monotonic()) > 0:
            time.sleep(pause)
        rules = self._rules.get(origin)
        asked = rules.crawl_delay(USER_AGENT) if isinstance(rules, RobotFileParser) else None
        delay = max(self.delay, min(float(asked or 0), LONGEST_DELAY))
        self._next[origin] = time.monotonic() + delay

    def _check(self, url: str) -> None:
        """Raise if the server's robots.txt says that this page is not for programs."""
        if not self.robots:
            return
        origin = _origin(url)
        if origin not in self._rules:
            self._rules[origin] = self._rules_of(origin)
        rules = self._rules[origin]
        if isinstance(rules, str):
            raise Unreadable(rules)
        if not rules.can_fetch(USER_AGENT, url):
            raise Unreadable("was not asked for: the site's robots.txt does not allow it")

    def _rules_of(self, origin: str) -> RobotFileParser | str:
        """A site's rules, or why it can't be asked at all. Where there are none, everything is allowed."""
        rules = RobotFileParser()
        try:
            answer = self._asked(f"{origin}/robots.txt", {}, LARGEST_ROBOTS)
        except Unreadable as error:
            return error.message
        if answer.status >= 500 or answer.status == 429:
            return f"was not asked for: the site's robots.txt can't be had (the server answers {answer.status})"
        lines = answer.text.splitlines() if answer.status < 300 else []
        rules.parse(line[:2000] for line in lines)
        return rules


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _retry_after(text: str) -> float:
    """How many seconds a server asks to wait."""
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
