"""`memagent run` and `ask`: a chat with an agent, new or existing; or one question and its answer, for scripts and
pipes.

Knows nothing of what happens inside a turn.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.light import debugging
from memagent.cli.names import agents, texts_of
from memagent.errors import AgentBusy, NotFound, UserError

if TYPE_CHECKING:
    from memagent.agent import Agent
    from memagent.cli.opened import Opened

AgentName = Annotated[
    str,
    typer.Option(
        "--agent", "-a", autocompletion=agents, help="The agent; a new one is made if there is none of that name."
    ),
]
Persona = Annotated[
    str | None, typer.Option("--persona", autocompletion=texts_of("persona"), help="Persona of a new agent.")
]
Human = Annotated[
    str | None, typer.Option("--human", autocompletion=texts_of("human"), help="What a new agent knows of you.")
]
Preset = Annotated[
    str | None, typer.Option("--preset", autocompletion=texts_of("preset"), help="Preset of a new agent.")
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="The model to use.")]
Endpoint = Annotated[str | None, typer.Option("--endpoint", help="Address of the model's server.")]
Provider = Annotated[str | None, typer.Option("--provider", help="openai, azure, embedded, scripted, or a server.")]
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
    first: Annotated[bool, typer.Option("--first", help="You speak first; the agent does not greet you.")] = False,
    no_verify: NoVerify = False,
    thoughts: Annotated[
        bool | None, typer.Option("--thoughts/--no-thoughts", help="Show what the agent thinks.")
    ] = None,
    debug: Debug = False,
    yes: Yes = False,
) -> None:
    """Chat with an agent. Everything is stored as it happens; leave with /exit or Ctrl-D."""
    _chat(agent, flags_of(locals()), greeting=not first, yes=yes, debug=debug or debugging())


def _chat(agent: str, given: dict[str, Any], *, greeting: bool, yes: bool, debug: bool) -> None:
    from memagent.cli import slash
    from memagent.cli.chat import Chat
    from memagent.cli.console import Console
    from memagent.cli.opened import attended, opened
    from memagent.cli.printer import Printer
    from memagent.log import start_log
    from memagent.meanwhile import Meanwhile
    from memagent.memory.sources import Sources

    flags, kept = with_model(agent, given, asking=not yes and attended(), yes=yes)
    with opened(flags) as home:
        start_log(home.settings)
        talking, new = _opened_agent(home, agent, flags, kept, yes=yes)
        begun = talking.state.entry.name
        sources = Sources(home.database, home.settings.user)

        def reopen(name: str, model: str) -> Agent:
            own = flags if name == begun else {**given, "model": None}
            return _loaded(home, name, {**own, "model": model} if model else own)

        chat = Chat(
            talking,
            Printer(thoughts=home.settings.thoughts, debug=debug),
            Console(home.settings.home / "history", *slash.completions(home.roster, sources)),
            reopen,
            slash.run,
            slash.LEAVE,
            home.settings.heartbeat_minutes,
            approve_all=yes,
            debug=debug,
            meanwhile=Meanwhile(home.settings),
            greets=greeting,
        )
        chat.tell(f"{begun}{' is new' if new else ''} · {talking.llm.model} · /help lists commands, Ctrl-D leaves")
        if talking.state.archival.others_vectors():
            chat.tell(OTHERS_VECTORS)
        try:
            if new and greeting:
                chat.greet()
            else:
                chat.retell()
            chat.run()
            chat.part()
        finally:
            chat.agent.close()
        chat.tell(f"Everything is kept. Come back with: memagent run --agent {quote(chat.agent.state.entry.name)}")


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
    """Say one thing to an agent, and print its answer.

    The exit code is 0 with one, 3 without, 4 when the agent is busy, 6 when it waits for your word.
    """
    from memagent.cli.opened import opened
    from memagent.cli.printer import print_answer
    from memagent.log import start_log

    given = flags_of(locals())
    text = _words(message)
    flags, kept = with_model(agent, given, asking=False, yes=yes)
    with opened(flags) as home:
        start_log(home.settings)
        talking, new = _opened_agent(home, agent, flags, kept, yes=yes)
        name = talking.state.entry.name
        if not json and (new or (not agent and len(home.roster.all()) > 1)):
            typer.echo(f"{name} is new" if new else f"{name}, since no other agent is named", err=True)
        try:
            code = print_answer(talking, text, json=json, approve=yes)
            if talking.behind.quick:  # nobody waits for a model here
                talking.behind.start()
        finally:
            talking.close()
        if code and talking.state.held_by():
            code = AgentBusy.exit_code
    raise typer.Exit(code)


OTHERS_VECTORS = (
    "Some of what it remembers has vectors of another embedding model, and is found by its words alone until they are "
    "made anew: memagent reindex"
)


def _words(message: str) -> str:
    """What to say: the argument, and what is piped in."""
    from memagent.cli.opened import attended, piped_in

    piped = "" if attended() else piped_in().decode("utf-8-sig", errors="replace")
    text = piped if message in ("", "-") else f"{message}\n\n{piped}" if piped.strip() else message
    if not text.strip():
        raise UserError("What should I say?", hint='Give it as an argument, memagent ask "…", or pipe it in.')
    return text.strip()


def flags_of(given: dict[str, Any]) -> dict[str, Any]:
    """The flags that are settings."""
    names = ("persona", "human", "preset", "model", "endpoint", "provider", "context_window", "thoughts")
    flags = {name: given[name] for name in names if given.get(name) is not None}
    if given.get("no_verify"):
        flags["verify_first"] = False
    if given.get("debug") or debugging():
        flags["log_level"] = "debug"
    return flags


def with_model(agent: str, given: dict[str, Any], *, asking: bool, yes: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The flags, and with them a model when none is chosen; and what of that is kept with a new agent."""
    from memagent import config
    from memagent.cli.choosing import Chooser
    from memagent.cli.configure import ask_all
    from memagent.cli.opened import opened

    settings, before = config.load(given), ""
    if settings.database_there:
        with opened(given) as home:
            name = _meant(home, agent)
            if home.roster.exists(name):
                settings = config.load(given, home.roster.find(name).settings["settings"])
            if not settings.model and home.roster.exists(last := _meant(home, "")):
                before = str(home.roster.find(last).settings["settings"].get("model") or "")
    choice = Chooser(settings, asking, yes, before, lambda: ask_all(settings)).choice()
    flags = {**given, **choice.flags}
    return flags, flags if choice.kept else given


def _opened_agent(
    home: Opened, name: str, flags: dict[str, Any], given: dict[str, Any], *, yes: bool
) -> tuple[Agent, bool]:
    """The agent that is meant, and whether it was made just now. `given` is kept with a new one."""
    from memagent.assemble import make_agent, open_model

    name = _meant(home, name)
    new = not home.roster.exists(name)
    if new:
        _really_new(home, name, yes)
        model = open_model(home.settings)  # where there is no model, no agent is made
        make_agent(home.settings, home.database, name, given=given, llm=model)
    return _loaded(home, name, flags), new


def _loaded(home: Opened, name: str, flags: dict[str, Any]) -> Agent:
    from memagent import config
    from memagent.assemble import load_agent

    entry = home.roster.find(name)
    for what in ("preset", "persona", "human"):
        if flags.get(what) and flags[what] != entry.settings[what]:
            raise UserError(
                f"{name!r} was made with the {what} {entry.settings[what]!r}.",
                hint=f"Make another agent: memagent run --agent NAME --{what} {flags[what]}",
            )
    return load_agent(config.load(flags, entry.settings["settings"]), home.database, name)


def _really_new(home: Opened, name: str, yes: bool) -> None:
    """A name that is nearly that of an agent is more likely a slip than a new agent."""
    from difflib import get_close_matches

    from memagent.cli.opened import attended

    near = get_close_matches(name, [entry.name for entry in home.roster.all()], 1, 0.75)
    if not near or yes:
        return
    if attended():
        import questionary

        if questionary.confirm(f"There is no agent {name!r}, but {near[0]!r}. Make a new one?", default=False).ask():
            return
    raise NotFound(
        f"There is no agent {name!r}.", hint=f"Did you mean {near[0]!r}? To make a new one all the same, add --yes."
    )


def _meant(home: Opened, name: str) -> str:
    """The agent that is meant: the one named, or the one used last, or a new one when there is none."""
    if name or home.settings.agent:
        return name or home.settings.agent
    entries = home.roster.all()
    return max(entries, key=lambda entry: entry.last_talked or entry.created).name if entries else DEFAULT_NAME
