"""The functions that agents here may call: those that come with memagent, and those in the operator's home.

None ever comes from a client. Knows nothing of requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memagent.errors import ConfigError, ToolFileError, UserError
from memagent.messages import SPEAK
from memagent.server.problems import Refused
from memagent.server.rest.ids import named
from memagent.server.rest.shapes import ToolShown, kept_beside
from memagent.settings import Settings
from memagent.tools import Tool
from memagent.tools.loader import available_sets, link, load_file

NO_CODE = (
    "No function is taken from a client: none of its code ever runs here. Put the function into a file in the "
    "functions folder of the server's home, and name it."
)
DISABLED = "disabled"


@dataclass(frozen=True)
class Offered:
    """A function, and how a preset names it: by its set and its own name."""

    tool: Tool

    @property
    def entry(self) -> str:
        """As a preset names it."""
        return f"{Path(self.tool.where.rpartition(':')[0]).stem}.{self.tool.name}"

    @property
    def id(self) -> str:
        """As a client names it."""
        return named("tool", self.entry)

    def shown(self) -> ToolShown:
        """As a client sees it."""
        schema = dict(self.tool.schema)
        return ToolShown(
            id=self.id, name=self.tool.name, description=schema.get("description"), json_schema=schema,
            tags=[self.entry.partition(".")[0]], return_char_limit=self.tool.rules.result_limit,
            default_requires_approval=self.tool.rules.approval or None,
        )  # fmt: skip


def offered(settings: Settings) -> list[Offered]:
    """Every function there is, by set; a file that can't be loaded has none."""
    found: list[Offered] = []
    for path in available_sets(settings.home / "functions").values():
        try:
            found += [Offered(tool) for tool in load_file(path).values()]
        except ToolFileError:
            continue  # its own agents tell what is wrong with it; others need not suffer
    return sorted(found, key=lambda each: each.entry)


def of_agent(settings: Settings, kept: Mapping[str, Any]) -> list[Offered]:
    """The functions of an agent."""
    tools = link(kept["functions"], [settings.home / "functions"], kept["rules"])
    return [Offered(tool) for tool in tools.values()]


def there(settings: Settings, kept: Mapping[str, Any]) -> list[Offered]:
    """Those functions of an agent that can be found now: a file that is gone, or broken, is in nobody's way."""
    try:
        return of_agent(settings, kept)
    except UserError:
        found: list[Offered] = []
        for entry in kept["functions"]:
            with suppress(UserError):
                found += of_agent(settings, {"functions": [entry], "rules": {}})
        return found


def disabled(kept: Mapping[str, Any]) -> list[ToolShown]:
    """The functions that came with an agent from elsewhere, and are not here: to be seen, never to be run."""
    return [
        ToolShown(
            id=named("tool", f"disabled.{each['name']}"), name=each["name"], description=each.get("description"),
            json_schema=each.get("json_schema") or {}, source_code=each.get("source_code"), tags=[DISABLED],
        )
        for each in kept_beside(kept).get("disabled_tools", ())
    ]  # fmt: skip


def named_by(settings: Settings, id: str) -> Offered:
    """The function of that id, or of that name."""
    known = [each for each in offered(settings) if id in (each.id, each.entry)]
    known = known or [each for each in offered(settings) if id == each.tool.name]
    if not known:
        raise Refused(404, f"There is no tool {id[:80]!r}.")
    return known[0]


def entries(settings: Settings, names: Iterable[str], ids: Iterable[str]) -> list[str]:
    """Functions that are asked for by name or id, as a preset names them."""
    found = []
    for each in [*names, *ids]:
        try:
            found.append(named_by(settings, each).entry)
        except Refused as refused:
            there = ", ".join(each.tool.name for each in offered(settings))
            raise Refused(400, f"{refused.detail} There are: {there}. {NO_CODE}") from refused
    return list(dict.fromkeys(found))


def with_functions(settings: Settings, kept: Mapping[str, Any], functions: Iterable[str]) -> dict[str, Any]:
    """The settings of an agent with these functions; one that speaks by a function keeps that."""
    wanted = list(functions)
    if kept["speech"] == "send_message" and f"base.{SPEAK}" not in wanted and "base" not in wanted:
        wanted = [f"base.{SPEAK}", *wanted]
    linked = link(wanted, [settings.home / "functions"], {})
    rules = {name: dict(of) for name, of in kept["rules"].items() if name in linked}
    return {**kept, "functions": wanted, "rules": rules}


def added(settings: Settings, kept: Mapping[str, Any], functions: Iterable[str]) -> dict[str, Any]:
    """The settings of an agent with these functions too."""
    have = {each.entry for each in of_agent(settings, kept)}
    try:
        return with_functions(settings, kept, [*kept["functions"], *(each for each in functions if each not in have)])
    except ConfigError as error:
        raise Refused(400, str(error)) from error


def without(settings: Settings, kept: Mapping[str, Any], function: str) -> dict[str, Any]:
    """The settings of an agent without one of its functions."""
    if kept["speech"] == "send_message" and function == f"base.{SPEAK}":
        raise Refused(400, f"The agent speaks by {SPEAK}: without it, it would be mute.")
    left = [each.entry for each in of_agent(settings, kept) if each.entry != function]
    return with_functions(settings, kept, left)
