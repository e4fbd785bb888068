"""What the page costs: how soon a browser shows it, and how many bytes come over the wire, with nothing said yet and
with a thousand turns. Needs playwright and a Chromium; says so where they are missing.

Every opening is in a new profile, which keeps nothing; the server is in a process of its own, on this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.model import message, script, settings_for
from bench.table import Row

MOST_MILLISECONDS, MOST_KILOBYTES = 300, 150
TURNS = 1000
NAMES = ("chromium", "chromium-browser", "google-chrome")
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SystemExit("Needs a browser's driver: pip install -e '.[dev-page]'") from None
    chromium = next((found for name in NAMES if (found := shutil.which(name))), None)
    if not chromium:
        raise SystemExit("Needs a browser: apt-get install chromium")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        agents = _home_with_talks(Path(folder), 100 if quick else TURNS)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with _serving(Path(folder)) as address:
            for what, agent in agents.items():
                seen = [_opened(browser, f"{address}/#{agent}") for _ in range(3 if quick else 11)]
                rows += _rows(what, seen[1:])  # the first one compiles
        browser.close()
    return rows


def _rows(what: str, seen: Sequence[tuple[float, float, float]]) -> Iterator[Row]:
    painted, usable, size = (median(values) for values in zip(*seen, strict=True))
    yield Row(f"page, {what}: first contentful paint", f"{painted:.0f} ms", "", painted, MOST_MILLISECONDS, "ms")
    yield Row(f"page, {what}: bytes over the wire", f"{size:.0f} kB", "", size, MOST_KILOBYTES, "kB")
    yield Row(f"page, {what}: the talk and its memory are shown", f"{usable:.0f} ms", "", usable, unit="ms")


def _opened(browser: Any, address: str) -> tuple[float, float, float]:
    """Milliseconds until something is painted, and until all is there; and kilobytes that came over the wire."""
    context = browser.new_context(viewport={"width": 1360, "height": 860})
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    size = 0.0

    def came(event: Any) -> None:
        nonlocal size
        size += event.get("encodedDataLength", 0)

    devtools.on("Network.loadingFinished", came)
    page.goto(address)
    page.wait_for_selector("[data-block]")
    usable = page.evaluate("() => performance.now()")
    page.wait_for_load_state("networkidle")
    painted = page.evaluate(PAINTED)
    context.close()
    return painted, usable, size / 1000


def _home_with_talks(home: Path, turns: int) -> dict[str, str]:
    """A home with an agent that nothing was said to, and one that much was; returns their ids."""
    from memagent.assemble import make_agent, open_database
    from memagent.llm.scripted import ScriptedLLM
    from memagent.roster import Roster

    settings = settings_for(home)
    database = open_database(settings)
    make_agent(settings, database, "new", llm=ScriptedLLM([]))
    agent = make_agent(settings, database, "old", llm=ScriptedLLM(script("whole")))
    for number in range(turns):
        list(agent.turn(message(number)))
    roster = Roster(database, settings.user)
    found = {"nothing said": roster.find("new").id, f"{turns:,} turns": roster.find("old").id}
    database.close()
    return found


@contextmanager
def _serving(home: Path) -> Iterator[str]:
    """A server on that home; its address."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MEMAGENT_")}
    environment = {**kept, "MEMAGENT_HOME": str(home), "MEMAGENT_PROVIDER": "scripted", "MEMAGENT_EMBEDDER": "off"}
    told = home / "server.txt"
    with told.open("wb") as out:
        command = [str(Path(sys.executable).with_name("memagent")), "server", "--port", "0"]
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=out, stderr=subprocess.STDOUT)
        try:
            while "http://" not in told.read_text():
                assert process.poll() is None, told.read_text()
                time.sleep(0.05)
            port = told.read_text().partition("http://")[2].partition(" ")[0].rpartition(":")[2]
            yield f"http://127.0.0.1:{port.strip()}"
        finally:
            process.terminate()
            process.wait(20)
