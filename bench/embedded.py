"""What a chat with the embedded model costs: `python -m bench.embedded [MODEL.gguf]`, or the default model in home.

The first start of an agent is held against its second one, in a process of its own each; and in a chat of thirty turns,
the tokens that are read anew against those of the prompt.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.table import Row, compared, markdown, show

SAID = (
    "Hi, I'm Nora, and I repair violins.",
    "Good morning! Did you sleep well?",
    "My brother Emil moved to Turin last week.",
    "What does my brother do these days, do you know where he lives?",
    "It's raining again.",
    "I bought a new bow, it's made of snakewood.",
    "Which tool do I need to trim a bridge?",
    "We have two cats, Fuga and Canon.",
    "What are my cats called?",
    "I don't drink coffee any more, only tea.",
)


def settings_of(home: Path, model: str) -> Any:
    """The settings of somebody who has set nothing but the model's file."""
    from memagent import config
    from memagent.library import Library

    given = {"provider": "embedded", "model": model, "temperature": 0.0, "embedder": "off"}
    environ = {"MEMAGENT_HOME": str(home)}
    return config.load(given, dict(Library(home).preset("small").settings), environ, home)


def first_word(home: Path, model: str) -> float:
    """Seconds from the start of a process to the first word of an answer."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "bench.embedded", model, "--say-one-thing-in", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        assert process.stdout
        process.stdout.readline()
        seconds = time.monotonic() - begun
        process.wait()
    return seconds


def say_one_thing(home: Path, model: str) -> None:
    """Say something to an agent, new or known, and print a line at its first word."""
    from memagent.assemble import load_agent, make_agent, open_database
    from memagent.events import Delta, Reply
    from memagent.roster import Roster

    settings = settings_of(home, model)
    database = open_database(settings)
    known = Roster(database, settings.user).exists("ada")
    agent = (load_agent if known else make_agent)(settings, database, "ada")
    waiting = True
    for event in agent.turn(SAID[0], arriving=True):
        if waiting and isinstance(event, Delta | Reply):
            print("word", flush=True)
            waiting = False
    agent.close()
    database.close()


def chat(home: Path, model: str, turns: int) -> tuple[list[int], list[float], list[float]]:
    """Tokens read anew, their share of the prompt, and seconds, of each turn but the first."""
    from memagent.assemble import make_agent, open_database, open_model
    from memagent.llm import Answer

    settings = settings_of(home, model)
    database = open_database(settings)
    llm = open_model(settings)
    agent = make_agent(settings, database, "bea", llm=llm)
    anew: list[int] = []
    shares: list[float] = []
    seconds: list[float] = []
    ask = llm.ask
    for number in range(turns):
        usages = []

        def listening(request: Any, usages: list[Any] = usages) -> Any:
            for heard in ask(request):
                if isinstance(heard, Answer) and heard.usage:
                    usages.append(heard.usage)
                yield heard

        llm.ask = listening  # type: ignore[method-assign]
        begun = time.monotonic()
        list(agent.turn(SAID[number % len(SAID)]))
        if number:
            anew.append(sum(usage.prompt - usage.cached for usage in usages))
            shares.append(anew[-1] / max(usage.prompt for usage in usages))
            seconds.append(time.monotonic() - begun)
    agent.close()
    database.close()
    return anew, shares, seconds


def measure(model: str, turns: int) -> list[Row]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        first, second = first_word(home, model), first_word(home, model)
        anew, shares, seconds = chat(home, model, turns)
    half = len(shares) // 2
    return [
        compared("second start to first word", second, first, 0.25, unit="s", against="first start"),
        Row("read anew, turns 2 on, p50", f"{median(shares):.1%}", "the prompt", 100 * median(shares), 10, "%"),
        Row("  in the second half", f"{median(shares[half:]):.1%}", "the prompt", 100 * median(shares[half:]), 10, "%"),
        Row("  in tokens", f"{median(anew):.0f}", "", median(anew), unit="tokens"),
        Row("seconds a turn, p50", f"{median(seconds):.1f} s", "", median(seconds), unit="s"),
    ]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.embedded", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="", help="a GGUF file (the default model in home)")
    parser.add_argument("--turns", type=int, default=30, help="turns of the chat")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--say-one-thing-in", type=Path, metavar="HOME", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    model = chosen.model
    if not model:
        from memagent import config
        from memagent.llm import store

        model = str(store.located(config.load({}).home, ""))
    if chosen.say_one_thing_in:
        say_one_thing(chosen.say_one_thing_in, model)
        return
    rows = measure(model, chosen.turns)
    print(markdown(rows)) if chosen.markdown else show(rows)


if __name__ == "__main__":
    main()
