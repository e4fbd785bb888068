"""`memagent journal`, and `/journal` in a chat: read an agent's journal, and have it written now.

Knows nothing of how an entry comes to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.names import agents
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.cli.chat import Chat
    from memagent.cli.opened import Opened
    from memagent.journal import JournalWriter
    from memagent.memory.journal import Entry, Item, Journal
    from memagent.roster import Entry as AgentEntry

DO = ("show", "write")
LIKE = "memagent journal AGENT, memagent journal AGENT show 3, or memagent journal AGENT write"
NONE_YET = "There is no entry. One is written when a conversation is over: memagent journal AGENT write does it now."
MOST_LISTED = 20


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(journal)


def journal(
    agent: Annotated[str, typer.Argument(help="The agent's name.", autocompletion=agents)] = "",
    do: Annotated[str, typer.Argument(help="show: one entry, whole; write: what is over, now.")] = "",
    number: Annotated[str, typer.Argument(help="Which entry, as they are listed.")] = "",
    since: Annotated[str, typer.Option(help="Only from this day on: 2026-05-01.")] = "",
    until: Annotated[str, typer.Option(help="Only up to this day.")] = "",
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Read an agent's journal.

    The newest entry comes first; `show N` shows one whole, with its transcript, and `write` has it written now.
    """
    from memagent.cli.opened import as_json, day, opened
    from memagent.log import harmless
    from memagent.memory.journal import Journal

    if agent in DO and (not do or do.isdecimal()):  # the only agent need not be named
        agent, do, number = "", agent, do
    first, last = day(since), day(until)
    if first and last and first > last:
        raise UserError(f"{first} is after {last}.", hint="--since is the earlier day.")
    with opened() as home:
        entry = home.entry(agent)
        book = Journal(home.database, entry.id)
        if do == "write":
            found: Sequence[Entry] = list(_written_now(home, entry))
        elif do == "show":
            found = [book.get(_number(number))]
        elif do:
            raise UserError(f"{do!r} is nothing that can be done with a journal.", hint=f"Write: {LIKE}")
        else:
            found = book.entries(MOST_LISTED, since=first, until=last)
        if json:
            rows = [_as_data(each) for each in found]
            as_json(rows[0] if do == "show" else rows)
            return
        lines = _whole(book, found[0]) if do == "show" else _listed(found)
        for line in lines or ["There is nothing to write." if do == "write" else NONE_YET]:
            typer.echo(harmless(line))


def in_chat(chat: Chat, rest: str) -> None:
    """The same, within a chat."""
    from memagent.cli.opened import working
    from memagent.config import load
    from memagent.memory.journal import Journal
    from memagent.upkeep import open_journal

    state = chat.agent.state
    word, _, number = rest.partition(" ")
    book = Journal(state.database, state.entry.id)
    if word == "show":
        lines = _whole(book, book.get(_number(number)))
    elif word == "write":
        with working("Writing the journal"):
            writer = open_journal(load({}, state.entry.settings["settings"]), state, chat.agent.llm)
            lines = _listed(list(_written(writer))) or ["There is nothing to write."]
    elif word:
        raise UserError(f"/journal {word} is nothing that can be done.", hint="/journal, /journal show N, or write")
    else:
        lines = _listed(book.entries(MOST_LISTED)) or ["There is no entry yet. /journal write writes one now."]
    for line in lines:
        chat.tell(line)


def _written_now(home: Opened, entry: AgentEntry) -> Iterator[Entry]:
    from memagent import config
    from memagent.assemble import open_model, open_state
    from memagent.cli.opened import spun
    from memagent.upkeep import open_journal

    settings = config.load({}, entry.settings["settings"])
    llm = open_model(settings)
    try:
        writer = open_journal(settings, open_state(settings, home.database, entry), llm)
        yield from spun(_written(writer), "Writing the journal")
    finally:
        if close := getattr(llm, "close", None):
            close()


def _written(writer: JournalWriter) -> Iterator[Entry]:
    """Each entry that was plain, worded by the model; or, where that failed, as it was."""
    writer.close(over=True)
    for entry in writer.waiting(asked=True):
        work = writer.write(entry)
        new = None
        try:
            while True:
                next(work)
        except StopIteration as ended:
            new = ended.value
        yield new or writer.journal.get(entry.id)


def _number(text: str) -> int:
    if not text.strip().isdecimal():
        raise UserError("Which entry?", hint="Give its number, as they are listed: show 3")
    return int(text)


# How entries look -----------------------------------------------------------------------------------------------------


def _listed(entries: Sequence[Entry]) -> list[str]:
    return [f"{each.id:>4}  {each.began:%a %Y-%m-%d %H:%M}{_mark(each)}\n      {each.text}" for each in entries]


def _mark(entry: Entry) -> str:
    if entry.undone:
        return "  (taken back)"
    return "  (plain: made without a model)" if entry.plain else ""


def _whole(book: Journal, entry: Entry) -> list[str]:
    """An entry with all that belongs to it, and its transcript."""
    from memagent.context import transcript
    from memagent.journal import spoken

    lines = [f"{entry.began:%A, %Y-%m-%d %H:%M}{_mark(entry)}", "", entry.text]
    parts: dict[str, Sequence[str]] = {
        "Highlights": entry.highlights,
        "Quotes": [f'{quote.who}: "{quote.text}"' for quote in entry.quotes],
        "I promised": [_item(item) for item in entry.commitments],
        "The user means to do": [_item(item) for item in entry.action_items],
        "Days to come": [_item(item) for item in entry.dates],
    }
    for title, of in parts.items():
        if of:
            lines += ["", f"{title}:", *(f"- {line}" for line in of)]
    said = transcript(spoken(book.transcript(entry)))
    return [*lines, "", f"Transcript (messages {entry.first} to {entry.last}):", said]


def _item(item: Item) -> str:
    return f"{item.what} ({item.day})" if item.day else item.what


def _as_data(entry: Entry) -> dict[str, Any]:
    lists = {name: [vars(each) for each in getattr(entry, name)] for name in ITEMS}
    return {**vars(entry), **lists}


ITEMS = ("quotes", "commitments", "action_items", "dates")
