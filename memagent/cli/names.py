"""The names that a shell can complete: of agents, of the texts and function sets that they are made from, of sources.

Whatever is wrong in home then completes nothing; the command itself will tell. What is typed so far comes in the
parameters that typer knows: `ctx` and `incomplete`. Knows nothing of shells.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from memagent.errors import MemagentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memagent.library import Kind

TEXTS = ("preset", "persona", "human", "prompt")
KINDS = ("agent", *TEXTS, "functions")


def agents(incomplete: str) -> list[str]:
    """The agents whose names begin so."""
    return _beginning(incomplete, "agent")


def sources(incomplete: str) -> list[str]:
    """The sources whose names begin so."""
    return _beginning(incomplete, "source")


def agents_and_kinds(incomplete: str) -> list[str]:
    """The agents, and the kinds of things, whose names begin so."""
    return _beginning(incomplete, "agent") + [kind for kind in KINDS if kind.startswith(incomplete)]


def of_kind(ctx: Any, incomplete: str) -> list[str]:
    """What begins so and is of the kind that stands before it on the line."""
    return _beginning(incomplete, str(ctx.params.get("kind") or ""))


def texts_of(kind: str) -> Callable[[str], list[str]]:
    """What completes the names of one kind of texts."""

    def texts(incomplete: str) -> list[str]:
        return _beginning(incomplete, kind)

    return texts


def _beginning(begun: str, kind: str) -> list[str]:
    found: list[str] = []
    with suppress(MemagentError):
        found = _names(kind)
    return [name for name in found if name.startswith(begun)]


def _names(kind: str) -> list[str]:
    from memagent import config

    settings = config.load({})
    if kind in TEXTS:
        from memagent.library import Library

        return [item.name for item in Library(settings.home).names(cast("Kind", f"{kind}s"))]
    if kind == "functions":
        from memagent.tools.loader import available_sets

        return sorted(available_sets(settings.home / "functions"))
    if kind in ("agent", "source") and settings.database_there:  # else it would be made
        from memagent.cli.opened import opened
        from memagent.memory.sources import Sources

        with opened() as home:
            if kind == "source":
                return [entry.name for entry in Sources(home.database, settings.user).all()]
            return [entry.name for entry in home.roster.all()]
    return []
