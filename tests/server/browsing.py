"""A real Chromium for tests, and what is watched while it looks at the page: every request, what the console says,
dialogs, and scripts that fail. Where there is no playwright or no Chromium, these tests are skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from serving import Serving

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev-page]'"
)
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
DESKTOP, PHONE = {"width": 1360, "height": 860}, {"width": 390, "height": 780}
NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
OURS = ("http", "ws", "https", "wss")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for all tests of a file; it can reach nothing but this machine."""
    if not CHROMIUM:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", NOWHERE])
        yield browser
        browser.close()


@dataclass
class Window:
    """One page that is open, and what was seen of it."""

    server: Serving
    tab: Any
    asked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def open(self, agent: str = "") -> Window:
        """Go to the page, and wait until it shows who is there."""
        self.tab.goto(f"{self.server.address}/{f'#{agent}' if agent else ''}")
        self.tab.wait_for_selector("#user > *, dialog[open]", state="attached")
        return self

    def say(self, words: str, *, waits: bool = True) -> None:
        """Say something in the chat; `waits` until the agent rests."""
        self.tab.fill("#message", words)
        self.tab.press("#message", "Enter")
        if waits:
            self.rests()

    def rests(self) -> None:
        """Wait until nothing goes on."""
        self.becomes("$('.turn') && $('#stop').hidden && !$('.live')")

    def becomes(self, so: str) -> None:
        """Wait until something in JavaScript is so; `$` finds an element. (Playwright's own way needs `eval`, which the
        page forbids.)
        """
        for _ in range(400):
            if self.tab.evaluate(f"() => {{ const $ = (place) => document.querySelector(place); return !!({so}); }}"):
                return
            self.tab.wait_for_timeout(20)
        raise AssertionError(f"that never came: {so}")

    def show(self, part: str) -> None:
        """Look at a part of memory."""
        self.tab.click(f"#tab-{part}")
        self.tab.wait_for_selector("#panel > *")

    def words(self, place: str) -> list[str]:
        """The texts of all that is at a place."""
        return [text.strip() for text in self.tab.locator(place).all_inner_texts()]

    def sees(self, place: str, text: str = "") -> None:
        """Wait until something is shown."""
        self.tab.locator(place, has_text=text).first.wait_for()

    def strangers(self) -> list[str]:
        """Whatever was asked of another host, or of another port here."""
        own = urlsplit(self.server.address).netloc
        return [each for each in self.asked if urlsplit(each).scheme in OURS and urlsplit(each).netloc != own]


def watched(server: Serving, tab: Any) -> Window:
    """A window on a tab that is open."""
    window = Window(server, tab)
    tab.set_default_timeout(8000)
    tab.on("request", lambda request: window.asked.append(request.url))
    tab.on("websocket", lambda socket: window.asked.append(socket.url))
    tab.on("console", lambda message: window.told.append(message.text))
    tab.on("pageerror", lambda error: window.told.append(f"a script failed: {error}"))

    def dialog(shown: Any) -> None:
        window.dialogs.append(shown.message)
        shown.dismiss()

    tab.on("dialog", dialog)
    return window


def complaints(window: Window) -> list[str]:
    """What the browser held against the page: refused by its policy, or failed."""
    wrong = ("Content Security Policy", "Content-Security-Policy", "Trusted", "Refused to", "a script failed")
    return [each for each in window.told if any(word in each for word in wrong)]


@contextmanager
def looking(browser: Any, server: Serving, **options: Any) -> Iterator[Window]:
    """A window of a browser that knows nothing yet; at its end, it has asked nobody else and broken nothing."""
    context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
    window = watched(server, context.new_page())
    try:
        yield window
        assert not window.strangers() and not window.dialogs and not complaints(window), (window.asked, window.told)
    finally:
        context.close()


@pytest.fixture
def window(chromium: Any, server: Serving) -> Iterator[Window]:
    """A window on the page of a server."""
    with looking(chromium, server) as shown:
        yield shown
