"""`memagent model wrappers`: which wrappers there are, and the exact prompt that one makes for an example.

Knows nothing of servers; no model is asked.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from memagent.llm import Request
    from memagent.llm.wrappers import Wrapper


def wrappers(
    name: Annotated[str, typer.Argument(help="A wrapper, to see its prompt.")] = "",
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List the ways in which a text server can be told a conversation, or show one by an example."""
    from memagent import registry
    from memagent.cli.opened import as_json

    if name:
        wrapper: Wrapper = registry.find("wrapper", registry.WRAPPERS, name)()
        prompt = wrapper.prompt(example())
        if json:
            as_json({**_row(name, wrapper), "stop": wrapper.stop, "prompt": prompt})
        else:
            typer.echo(prompt)
        return
    rows = [_row(name, registry.load(place)()) for name, place in registry.WRAPPERS.items()]
    if json:
        as_json(rows)
        return
    width = max(len(name) for name in registry.WRAPPERS)
    for row in rows:
        typer.echo(f"{row['name']:{width}}  {row['about']}")
    typer.echo("\nOne of them in full: memagent model wrappers NAME")


def _row(name: str, wrapper: Wrapper) -> dict[str, Any]:
    return {"name": name, "about": wrapper.about, "fits": wrapper.fits}


def example() -> Request:
    """A conversation in which the agent notes something, and answers."""
    from memagent.llm import Request
    from memagent.messages import SPEAK, Message, ToolCall, answer, result, user_message
    from memagent.tools.loader import link

    began = datetime(2026, 5, 31, 18, 30, tzinfo=timezone(timedelta(hours=2)))
    now = [began + timedelta(seconds=5 * step) for step in range(6)]
    note = ToolCall("000000001", "core_memory_append", '{"name": "human", "content": "Called \\"Ada\\"."}')
    speak = ToolCall("000000002", SPEAK, '{"message": "Hello Ada!"}')
    messages = [
        Message("system", "boot", "You are Sam, who remembers.\n\n<human>\n</human>", now[0]),
        user_message('Call me "Ada".', now[0]),
        answer("I should note that.", (note,), "", now[1]),
        result(note, True, "Saved. human now has 13 characters.", now[2]),
        answer("Now I greet her.", (speak,), "", now[3]),
        result(speak, True, "Sent.", now[4], said="Hello Ada!"),
        user_message("What is my name?", now[5]),
    ]
    tools = link([f"base.{SPEAK}", "base.core_memory_append"], [])
    return Request(messages, [tool.schema for tool in tools.values()])
