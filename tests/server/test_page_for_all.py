"""The page for those who can't see it, or have no mouse: axe finds nothing serious, and all is done by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import PHONE, Window, chromium, looking, window
from serving import Serving, served
from test_page import make_source

__all__ = ["chromium", "window"]  # fixtures

AXE = Path(str(pytest.importorskip("axe_playwright_python").__file__)).with_name("axe.min.js")


ONE_MAIN = "landmark-one-main"
"""A phone shows one part at a time, and one of the three is the main one."""


def checked(window: Window, view: str) -> None:
    """What axe finds in what is shown now."""
    if not window.tab.evaluate("() => 'axe' in window"):
        window.tab.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = window.tab.evaluate("async () => (await axe.run()).violations")
    wrong = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found if each["id"] != ONE_MAIN]
    assert not wrong, (view, wrong)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_axe_finds_nothing_in_any_view(chromium: Any, home: Path, scheme: str, size: str) -> None:
    options: dict[str, Any] = {"color_scheme": scheme} | ({"viewport": PHONE} if size == "phone" else {})
    with served(home, facts="on", facts_provider="plain") as server, looking(chromium, server, **options) as window:
        tab = window.open().tab
        to = (lambda part: tab.click(f"[data-to={part}]")) if size == "phone" else (lambda part: None)
        checked(window, "nobody there")
        to("agents")
        tab.click("#new")
        checked(window, "making")
        tab.locator("dialog select").first.select_option(index=1)
        checked(window, "making, in one's own words")
        tab.keyboard.press("Escape")
        make_source(server)
        window.open(server.agent(preset="extras"))
        tab.reload()
        window.sees(".empty", "Nothing was said")
        checked(window, "nothing said")
        window.say("I live in Lisbon. " * 100)
        window.say("note **I like** tea")
        window.say("fail now")
        window.say("# One\n\n- a `b`\n\n> c\n\n```\nd\n```\n[here](https://example.com) *e* **f**")
        window.say("fetch it", waits=False)
        window.sees(".asked")
        for fold in tab.locator("details.inside summary").all():
            fold.click()
        checked(window, "talk")
        tab.click("[aria-haspopup=menu]")
        checked(window, "menu")
        tab.click("[role=menuitem]:text('Rename')")
        checked(window, "asking")
        tab.keyboard.press("Escape")
        tab.click(".asked button:text('Deny')")
        window.rests()
        window.say("note more tea")
        to("memory")
        for part in ("edits", "search", "facts", "sources", "window", "core"):
            window.show(part)
            tab.wait_for_timeout(150)
            checked(window, part)
        window.show("sources")
        broken = {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 nonsense"}
        tab.set_input_files("#files", [broken, {"name": "empty.txt", "mimeType": "text/plain", "buffer": b""}])
        window.sees("dialog .bad", "is empty")
        checked(window, "something to read")
        tab.click("dialog button:text('Load')")
        window.sees(".load .failed", "is a broken PDF")
        checked(window, "what could not be read")
        tab.click(".load button:text('OK')")
        window.show("core")
        tab.click("[aria-label='Edit human']")
        checked(window, "editing")
        to("agents")
        checked(window, "agents")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_at_the_door(chromium: Any, server: Serving, scheme: str) -> None:
    server.key()
    with looking(chromium, server, color_scheme=scheme) as window:
        window.open()
        checked(window, "the door")


def test_all_is_done_by_keyboard(window: Window) -> None:
    tab = window.open().tab
    keys = tab.keyboard

    def until_focus(place: str) -> None:
        for _ in range(40):
            if tab.evaluate("place => document.activeElement.matches(place)", place):
                return
            keys.press("Tab")
        raise AssertionError(f"{place} can't be reached")

    until_focus("#new")
    keys.press("Enter")
    tab.wait_for_selector("dialog[open]")
    keys.type("Rosa")
    keys.press("Enter")
    window.sees("#name", "Rosa")
    window.becomes("document.activeElement.id === 'message'")
    keys.type("note I like tea")
    keys.press("Shift+Enter")
    keys.type("a lot")
    keys.press("Enter")
    window.sees(".said", "a lot")
    window.rests()
    keys.press("Alt+3")
    window.becomes("document.activeElement.id === 'tab-core'")
    until_focus("[aria-label='Edit human']")
    keys.press("Enter")
    window.becomes("document.activeElement.tagName === 'TEXTAREA'")
    keys.press("Control+A")
    keys.type("Likes coffee.")
    keys.press("Control+Enter")
    window.sees("[data-block=human] .text", "Likes coffee.")
    window.becomes("document.activeElement.getAttribute('aria-label') === 'Edit human'")
    keys.press("Alt+3")
    keys.press("ArrowRight")
    window.sees("#panel", "human · version")
    window.becomes("document.activeElement.id === 'tab-edits'")
    keys.press("End")
    window.sees(".legend")
    keys.press("Home")
    keys.press("Alt+1")
    window.becomes("document.activeElement.matches('#list [aria-current]')")
    until_focus("[aria-haspopup=menu]")
    keys.press("Enter")
    window.becomes("document.activeElement.textContent === 'Rename'")
    keys.press("ArrowUp")
    window.becomes("document.activeElement.textContent === 'Delete'")
    keys.press("Escape")
    window.becomes("document.activeElement.matches('[aria-haspopup=menu]')")
    keys.press("Enter")
    keys.press("End")
    keys.press("Enter")
    window.sees("dialog", "Delete Rosa")
    window.becomes("document.activeElement.textContent === 'Cancel'")
    keys.press("Tab")
    keys.press("Enter")
    window.sees(".welcome")
