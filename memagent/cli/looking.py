"""`memagent show AGENT`, `timeline` and `graph`: what an agent remembers, to look at; here, or as a file for a browser.

Knows nothing of how it is put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.names import agents
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.cli.opened import Opened
    from memagent.looking import Line, Sheet, Sight
    from memagent.roster import Entry

Agent = Annotated[str, typer.Argument(help="Its name; without it, the only or last used one.", autocompletion=agents)]
Html = Annotated[Path | None, typer.Option("--html", help="Write it to this file, for a browser.")]
Svg = Annotated[Path | None, typer.Option("--svg", help="Draw it into this file.")]
Page = Annotated[int, typer.Option("--page", min=0, help="Which page, from 0.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]

BARS = 60
"""So many bars are drawn into one picture."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(timeline)
    app.command()(graph)


@contextmanager
def looked_at(name: str) -> Iterator[tuple[Opened, Entry, Sight]]:
    """An agent with all the facts that it knows: its own, and those that all agents of the user share."""
    from memagent.assemble import local_time
    from memagent.cli.opened import opened
    from memagent.facts.kinds import Kinds
    from memagent.facts.ledger import Ledger, keeper_there
    from memagent.facts.records import Records
    from memagent.looking import Sight

    with opened() as home:
        entry = home.entry(name)
        kinds = Kinds(home.settings.home / "kinds")
        keepers = [keeper_there(home.database, entry.owner, agent) for agent in (entry.id, None)]
        memories = [Records(Ledger(home.database, one), kinds, local_time) for one in keepers if one]
        with home.database.snapshot():
            yield home, entry, Sight(entry.id, entry.name, memories)


def show_agent(name: str, page: int, html: Path | None, json: bool) -> None:
    """Show all that an agent remembers, as a page that can be read."""
    from memagent.assemble import local_time
    from memagent.cli.opened import as_json
    from memagent.looking.overview import overview
    from memagent.memory.core import CoreMemory
    from memagent.memory.sources import attached

    with looked_at(name) as (home, entry, sight):
        core = CoreMemory(home.database, entry.id)
        core.reload()
        counts = _counts(home.database, entry.id)
        sources = list(attached(home.database, entry.id).values())
        shown = {what: count for what, count in counts.items() if count or what not in _RARE}
        sheet = overview(home.database, sight, core.blocks.values(), shown, sources, local_time(), page=page)
    if json:
        blocks = [vars(block) for block in core.blocks.values()]
        told = {"name": entry.name, "created": entry.created, **entry.settings, **counts}
        as_json({**told, "sources": sources, "blocks": blocks, "memories": _sections(sheet, len(blocks) * (not page))})
    elif html:
        _write(html, _html(sheet))
    else:
        _print(sheet, _about(entry))


def timeline(
    agent: Agent = "",
    since: Annotated[str, typer.Option(help="Only from this day on: 2026-05-01.")] = "",
    until: Annotated[str, typer.Option(help="Only up to this day.")] = "",
    about: Annotated[str, typer.Option(help="Only about this person, or with these words.")] = "",
    page: Page = 0, html: Html = None, svg: Svg = None, json: Json = False,
) -> None:  # fmt: skip
    """Show what was learned and what changed, by day."""
    from memagent.assemble import local_time
    from memagent.cli.opened import day
    from memagent.looking.drawing import picture_of_spans
    from memagent.looking.timeline import Window, spans
    from memagent.looking.timeline import timeline as timeline_of

    first, last = day(since), day(until)
    if first and last and first > last:
        raise UserError(f"{first} is after {last}.", hint="--since is the earlier day.")
    window, picture, left = Window(first, last, about, page), "", ""
    with looked_at(agent) as (_, _, sight):
        sheet = timeline_of(sight, window)
        if svg or html:
            drawn, total = spans(sight, window, BARS)
            picture = picture_of_spans(drawn, local_time().date())
            left = f" The newest {BARS} of {total:,} memories are drawn." if total > BARS else ""
    _give(sheet, picture, html, svg, json, left)


def graph(agent: Agent = "", html: Html = None, svg: Svg = None, json: Json = False) -> None:
    """Show who and what is connected in an agent's memory."""
    from memagent.looking.drawing import picture_of_graph
    from memagent.looking.graph import connected, graph_sheet

    with looked_at(agent) as (_, _, sight):
        found = connected(sight)
        sheet = graph_sheet(sight, found)
    if json:
        from memagent.cli.opened import as_json

        edges = [asdict(edge) for edge in found.edges]
        as_json({"nodes": [asdict(node) for node in found.nodes.values()], "edges": edges, "left_out": found.left})
        return
    picture = picture_of_graph(found) if html or svg else ""
    _give(sheet, picture, html, svg, json, f" {found.left} are not shown." if found.left else "")


# Showing --------------------------------------------------------------------------------------------------------------


def _give(sheet: Sheet, picture: str, html: Path | None, svg: Path | None, json: bool, left: str) -> None:
    """Show a sheet here, or write it and its picture into files."""
    from dataclasses import replace

    from memagent.cli.opened import as_json

    if svg:
        _write(svg, picture, left)
    if html:
        _write(html, _html(replace(sheet, picture=picture)), left)
    if json:
        as_json({"title": sheet.title, "about": sheet.about, "sections": _sections(sheet, 0)})
    elif not svg and not html:
        _print(sheet, "")


def _sections(sheet: Sheet, first: int) -> list[dict[str, Any]]:
    return [asdict(section) for section in sheet.sections[first:]]


def _html(sheet: Sheet) -> str:
    from memagent.looking.html import page

    return page(sheet)


def _print(sheet: Sheet, about: str) -> None:
    from memagent.log import harmless

    typer.secho(harmless(sheet.title), bold=True)
    for below in (about, sheet.about):
        if below:
            typer.echo(f"  {harmless(below)}")
    for section in sheet.sections:
        typer.secho(f"\n{harmless(section.title)}", bold=True)
        for line in section.lines:
            _print_line(line)
        if section.note:
            typer.secho(harmless(section.note), dim=True)


def _print_line(line: Line) -> None:
    from memagent.log import harmless

    mark = f"{harmless(line.mark)}  " if line.mark else ""
    aside = typer.style(f"  {harmless(line.aside)}", dim=True) if line.aside else ""
    typer.echo(f"{'  ' * line.depth}{mark}{harmless(line.text)}{aside}")


def _write(file: Path, text: str, left: str = "") -> None:
    """Write a file for a browser. It takes the place of an earlier one, and of nothing else."""
    from memagent.config_file import write_whole
    from memagent.looking.html import made_by_us

    try:
        with file.open("rb") as there:
            ours = made_by_us(there.read(1000))
    except FileNotFoundError:
        ours = True
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}.", hint="Choose another file.") from error
    if not ours:
        raise UserError(f"{file} is there already, and is something else.", hint="Choose another file.")
    write_whole(file, text)
    typer.echo(f"Wrote {file}.{left}")


def _about(entry: Entry) -> str:
    own = entry.settings
    model = own.get("settings", {}).get("model", "")
    made = f"{entry.created:%Y-%m-%d}, preset {own['preset']}, persona {own['persona']}, human {own['human']}"
    return f"made {made}" + (f", model {model}" if model else "")


_RARE = ("of_them_loaded",)
"""What is shown only where there is some."""


def _counts(database: Any, agent: str) -> dict[str, int]:
    queries = {
        "messages": "SELECT count(*) FROM messages WHERE agent = ? AND undone IS NULL AND said <> ''",
        "of_them_loaded": "SELECT count(*) FROM messages WHERE agent = ? AND place <> '' AND undone IS NULL",
        "notes_in_archival_memory": "SELECT count(DISTINCT note) FROM passages WHERE shelf = ? AND undone IS NULL",
        "edits_of_core_memory": "SELECT count(*) FROM block_edits WHERE agent = ? AND version > 1",
    }
    return {what: database.rows(query, agent)[0][0] for what, query in queries.items()}
