"""`memagent create` and `scene`: a new character in one line; and characters that talk with each other.

Knows nothing of how a character remembers, or of how a scene goes on.
"""

from __future__ import annotations

import json as jsons
import sys
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.names import agents, texts_of
from memagent.cli.run import Debug, Endpoint, Model, Provider, Window, Yes, flags_of, with_model
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.agent import Agent
    from memagent.characters.models import Models
    from memagent.characters.scene import Moment, Passed, Scene
    from memagent.characters.scenes import Line
    from memagent.cli.opened import Opened
    from memagent.roster import Entry

    Happened = Moment | Line | Passed

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
INTERRUPTED = 130
UNANSWERED = 3


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(create)
    app.command()(scene)


# A new character ------------------------------------------------------------------------------------------------------


def create(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    prompt: Annotated[str, typer.Argument(help="Who it is, in a few sentences; read from standard input with -.")],
    background: Annotated[
        list[str] | None, typer.Option("--background", metavar="NAME=TEXT", help="What else there is to know of it.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", autocompletion=texts_of("preset"), help="Preset of the new agent.")
    ] = None,
    max_memories: Annotated[int, typer.Option("--max-memories", help="How many memories it has at the most.")] = 1000,
    summary_threshold: Annotated[
        int, typer.Option("--summary-threshold", help="How many memories it has before old ones are summarised.")
    ] = 50,
    no_summaries: Annotated[bool, typer.Option("--no-summaries", help="Let old memories go without one.")] = False,
) -> None:
    """Create a character: an agent that is who you say it is."""
    from memagent.characters import CharacterSystem
    from memagent.cli.opened import opened, piped_in

    text = piped_in().decode("utf-8-sig", errors="replace") if prompt == "-" else prompt
    flags = {"preset": preset} if preset else {}
    bounds = {
        "max_memories": max_memories, "summary_threshold": summary_threshold, "auto_summarize": not no_summaries,
    }  # fmt: skip
    with opened(flags) as home:
        system = CharacterSystem(home.database, settings=flags)
        made = system.create_character(name, text, _pairs(background or []), bounds)
    typer.echo(f"{made.name} is there. Talk with: memagent run --agent {quote(made.name)}")


def _pairs(given: Sequence[str]) -> dict[str, Any]:
    """What was given as NAME=TEXT; a name that is given twice has both texts."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name.strip():
            raise UserError(f"{each!r} does not say what it tells.", hint='Write it like --background "age=40".')
        before = found.get(name.strip())
        found[name.strip()] = text if before is None else [*(before if isinstance(before, list) else [before]), text]
    return found


# A scene --------------------------------------------------------------------------------------------------------------


def scene(
    names: Annotated[
        list[str], typer.Argument(help="Who takes part: agents, by name.", metavar="NAME…", autocompletion=agents)
    ],
    topic: Annotated[str, typer.Option("--topic", "-t", help="What it is about, or where it begins.")],
    turns: Annotated[int, typer.Option("--turns", "-n", help="How often somebody speaks, in all.")] = 12,
    json: Annotated[bool, typer.Option("--json", help="What is said, each as one line of JSON.")] = False,
    model: Model = None,
    endpoint: Endpoint = None,
    provider: Provider = None,
    context_window: Window = None,
    yes: Yes = False,
    debug: Debug = False,
) -> None:
    """Let agents talk with each other.

    Each speaks in its turn and remembers it; Ctrl-C ends the scene, and what was said is kept. The exit code is 3 when
    nobody said anything.
    """
    from memagent.characters.models import Models
    from memagent.cli.opened import opened
    from memagent.log import start_log

    given = flags_of(locals())
    models = Models()
    with opened(given) as home:
        start_log(home.settings)
        try:
            code = _shown(_made(home, names, given, models, topic, turns, yes=yes), json=json, debug=debug)
        finally:
            models.close()
    raise typer.Exit(code)


def _made(
    home: Opened, names: Sequence[str], given: Mapping[str, Any], models: Models, topic: str, turns: int, *, yes: bool
) -> Scene:
    from memagent.assemble import local_time
    from memagent.characters.scene import Scene
    from memagent.characters.scenes import settle

    entries = [home.roster.find(name) for name in names]
    settle(home.database, home.settings.user, local_time)
    choices: dict[str, dict[str, Any]] = {}
    members = [(entry, _loaded(home, entry, given, models, choices, yes=yes)) for entry in entries]
    return Scene(home.database, home.settings.user, members, topic, turns, clock=local_time, approve=yes)


def _loaded(
    home: Opened, entry: Entry, given: Mapping[str, Any], models: Models, choices: dict[str, dict[str, Any]], *,
    yes: bool,
) -> Agent:  # fmt: skip
    """An agent with its model; which one that is, is looked for once for all that have chosen none."""
    from memagent import config
    from memagent.assemble import load_agent

    own = entry.settings["settings"]
    kept = jsons.dumps(own, sort_keys=True)
    if kept not in choices:
        choices[kept] = with_model(entry.name, dict(given), asking=False, yes=yes)[0]
    settings = config.load(choices[kept], own)
    return load_agent(settings, home.database, entry.name, llm=models.of(settings))


def _shown(scene: Scene, *, json: bool, debug: bool) -> int:
    """Show a scene as it goes on; returns the exit code."""
    from contextlib import closing

    from memagent.cli.keyboard import hushed
    from memagent.cli.printer import open_console

    with closing(scene.play()) as happening:
        try:
            with hushed():
                if json:
                    _as_json_lines(happening)
                elif open_console().is_terminal:
                    _on_terminal(scene.names, happening, debug=debug)
                else:
                    _on_paper(happening)
        except KeyboardInterrupt:
            happening.close()
            typer.secho("Stopped. What was said is kept.", err=True)
            return INTERRUPTED
    return 0 if scene.lines else UNANSWERED


def _as_json_lines(happening: Iterator[Happened]) -> None:
    from memagent.characters.scene import Moment, Passed

    for each in happening:
        if isinstance(each, Moment):
            continue
        told: dict[str, Any] = {"turn": each.number, "who": each.who}
        if isinstance(each, Passed):
            told |= {"passes": True} | ({"failed": each.failed.message} if each.failed else {})
        else:
            told["text"] = each.text
        print(jsons.dumps(told), flush=True)  # noqa: T201  # what was asked for


def _on_terminal(names: Sequence[str], happening: Iterator[Happened], *, debug: bool) -> None:
    """Each speaker under its name, in its colour, with the words as they come."""
    from rich.text import Text

    from memagent.cli.printer import Printer
    from memagent.log import harmless

    printer = Printer(debug=debug)
    while (first := next(happening, None)) is not None:
        colour = COLOURS[names.index(first.who) % len(COLOURS)]
        printer.console.print(Text(harmless(first.who), f"bold {colour}"), end="")
        ended: list[Passed] = []
        shown = printer.show(_turn(first, happening, ended))
        if ended and not shown.failed and not shown.replies:
            printer.tell("says nothing")


def _turn(first: Happened, happening: Iterator[Happened], ended: list[Passed]) -> Iterator[Any]:
    """What happens in one turn: up to what has come of it, which `ended` gets if it is nothing."""
    from memagent.characters.scene import Moment, Passed

    each: Happened | None = first
    while isinstance(each, Moment):
        yield each.event
        each = next(happening, None)
    if isinstance(each, Passed):
        ended.append(each)


def _on_paper(happening: Iterator[Happened]) -> None:
    """What is said goes to standard output, whole; all else beside it."""
    from memagent.characters.scene import Moment, Passed
    from memagent.events import Notice
    from memagent.log import harmless

    for each in happening:
        if isinstance(each, Moment):
            if isinstance(each.event, Notice):
                typer.echo(f"{each.who}: {harmless(each.event.text)}", err=True)
        elif not isinstance(each, Passed):
            typer.echo(harmless(f"{each.who}: {each.text}"))
            sys.stdout.flush()
        elif each.failed:
            failed = f"{each.failed.message} {each.failed.hint}".strip()
            typer.secho(harmless(f"{each.who} says nothing: {failed}"), fg="red", err=True)
        else:
            typer.echo(f"{each.who} says nothing.", err=True)
