"""`memagent run` and `ask`: a chat with an agent, new or existing; or one question and its answer, for scripts and
pipes.

Knows nothing of what happens inside a turn.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.agent import Agent
    from memagent.cli.opened import Opened

AgentName = Annotated[
    str, typer.Option("--agent", "-a", help="The agent; a new one is made if there is none of that name.")
]
Persona = Annotated[str | None, typer.Option("--persona", help="Persona of a new agent.")]
Human = Annotated[str | None, typer.Option("--human", help="What a new agent knows of you.")]
Preset = Annotated[str | None, typer.Option("--preset", help="Preset of a new agent.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="The model to use.")]
Endpoint = Annotated[str | None, typer.Option("--endpoint", help="Address of the model's server.")]
Provider = Annotated[str | None, typer.Option("--provider", help="openai, azure or scripted.")]
Window = Annotated[int | None, typer.Option("--context-window", help="Tokens that the model can see.")]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Take a new agent's first answer as it is.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show every event, and tracebacks.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; say yes to what an agent wants to do.")]

DEFAULT_NAME = "companion"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(run)
    app.command()(ask)


def run(
    agent: AgentName = "",
    persona: Persona = None,
    human: Human = None,
    preset: Preset = None,
    model: Model = None,
    endpoint: Endpoint = None,
    provider: Provider = None,
    context_window: Window = None,
    first: Annotated[bool, typer.Option("--first", help="You speak first; a new agent does not greet you.")] = False,
    no_verify: NoVerify = False,
    thoughts: Annotated[
        bool | None, typer.Option("--thoughts/--no-thoughts", help="Show what the agent thinks.")
    ] = None,
    debug: Debug = False,
    yes: Yes = False,
) -> None:
    """Chat with an agent. Everything is stored as it happens; leave with /exit or Ctrl-D."""
    _chat(agent, _flags(locals()), greeting=not first, yes=yes, debug=debug)


def _chat(agent: str, flags: dict[str, Any], *, greeting: bool, yes: bool, debug: bool) -> None:
    from memagent.cli import slash
    from memagent.cli.chat import Chat
    from memagent.cli.configure import explained
    from memagent.cli.console import Console
    from memagent.cli.opened import opened
    from memagent.cli.printer import Printer
    from memagent.log import start_log

    explained(flags, yes)
    with opened(flags) as home:
        start_log(home.settings)
        talking, new = _opened_agent(home, agent, flags)

        def reopen(name: str, model: str) -> Agent:
            return _opened_agent(home, name, {**flags, "model": model or None}, must_exist=True)[0]

        chat = Chat(
            talking,
            Printer(thoughts=home.settings.thoughts, debug=debug),
            Console(home.settings.home / "history"),
            reopen,
            slash.run,
            slash.LEAVE,
            home.settings.heartbeat_minutes,
            approve_all=yes,
            debug=debug,
        )
        name = talking.state.entry.name
        chat.tell(f"{name}{' is new' if new else ''} · {talking.llm.model} · /help lists commands, Ctrl-D leaves")
        if new and greeting:
            chat.greet()
        chat.run()
        chat.tell(f"Everything is kept. Come back with: memagent run --agent {chat.agent.state.entry.name}")


def ask(
    message: Annotated[str, typer.Argument(help="What to say; standard input is added to it, or read with -.")] = "",
    agent: AgentName = "",
    persona: Persona = None,
    human: Human = None,
    preset: Preset = None,
    model: Model = None,
    endpoint: Endpoint = None,
    provider: Provider = None,
    context_window: Window = None,
    no_verify: NoVerify = False,
    json: Annotated[bool, typer.Option("--json", help="Every event as one line of JSON.")] = False,
    yes: Yes = False,
    debug: Debug = False,
) -> None:
    """Say one thing to an agent, and print its answer. The exit code is 0 with one, 3 without, 6 when it waits for
    you.
    """
    from memagent.cli.opened import opened
    from memagent.cli.printer import print_answer
    from memagent.log import start_log

    flags = _flags(locals())
    text = _words(message)
    with opened(flags) as home:
        start_log(home.settings)
        talking, _ = _opened_agent(home, agent, flags)
        code = print_answer(talking, text, json=json, approve=yes)
    raise typer.Exit(code)


def _words(message: str) -> str:
    """What to say: the argument, and what is piped in."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    text = piped if message in ("", "-") else f"{message}\n\n{piped}" if piped.strip() else message
    if not text.strip():
        raise UserError("What should I say?", hint='Give it as an argument, memagent ask "…", or pipe it in.')
    return text.strip()


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """The flags that are settings."""
    names = ("persona", "human", "preset", "model", "endpoint", "provider", "context_window", "thoughts")
    flags = {name: given[name] for name in names if name in given}
    if given.get("no_verify"):
        flags["verify_first"] = False
    if given.get("debug"):
        flags["log_level"] = "debug"
    return flags


def _opened_agent(home: Opened, name: str, flags: dict[str, Any], *, must_exist: bool = False) -> tuple[Agent, bool]:
    """The agent that is meant, and whether it was made just now."""
    from memagent import config
    from memagent.assemble import load_agent, make_agent

    name = name or home.settings.agent or _only(home)
    if must_exist or home.roster.exists(name):
        entry = home.roster.find(name)
        settings = config.load(flags, entry.settings["settings"])
        for what in ("preset", "persona", "human"):
            if flags.get(what) and flags[what] != entry.settings[what]:
                raise UserError(
                    f"{name!r} was made with the {what} {entry.settings[what]!r}.",
                    hint=f"Make another agent: memagent run --agent NAME --{what} {flags[what]}",
                )
        return load_agent(settings, home.database, name), False
    return make_agent(home.settings, home.database, name, given=flags), True


def _only(home: Opened) -> str:
    """The agent that is there, when there is just one; a new one's name, when there is none."""
    entries = home.roster.all()
    if len(entries) > 1:
        latest = max(entries, key=lambda entry: str(entry.last_login or entry.created))
        return latest.name
    return entries[0].name if entries else DEFAULT_NAME
