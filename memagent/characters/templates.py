"""Templates of prompts, by name: texts with `${variable}` where something is filled in, stored with the system.

Knows nothing of characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from string import Template

from memagent.characters.checking import check_prompt_template
from memagent.errors import NotFound, UserError
from memagent.library import check_name
from memagent.messages import storable
from memagent.storage import Database


class Templates:
    """The templates of one owner."""

    def __init__(self, database: Database, owner: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock

    def add(self, name: str, text: str) -> None:
        """Store a template, in the place of one that has the name already."""
        if not (fit := check_prompt_template(text)):
            raise UserError(fit.why)
        name = check_name(name, "name of a template")
        with self._database.write() as tx:
            tx.run(
                "INSERT INTO templates (owner, name, text, created) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (owner, name) DO UPDATE SET text = excluded.text, created = excluded.created",
                self._owner, name, text, self._clock().isoformat(),
            )  # fmt: skip

    def text(self, name: str) -> str:
        """A template as it was written."""
        found = self.all()
        if name not in found:
            hint = f"There are: {', '.join(found)}." if found else "There are none yet."
            raise NotFound(f"There is no template {name!r}.", hint=hint)
        return found[name]

    def all(self) -> dict[str, str]:
        """Every template by name."""
        rows = self._database.rows("SELECT name, text FROM templates WHERE owner = ? ORDER BY name", self._owner)
        return {name: text for name, text in rows}

    def delete(self, name: str) -> None:
        """Delete a template."""
        with self._database.write() as tx:
            if not tx.run("DELETE FROM templates WHERE owner = ? AND name = ?", self._owner, storable(name)):
                self.text(name)

    def fill(self, name: str, /, **variables: object) -> str:
        """A template with its variables filled in. None may be missing, and none unknown."""
        text = self.text(name)
        wanted = list(dict.fromkeys(variables_in(text)))
        if missing := [variable for variable in wanted if variable not in variables]:
            raise UserError(f"The template {name!r} needs: {', '.join(missing)}.", hint="Give each of them a value.")
        if unknown := [variable for variable in variables if variable not in wanted]:
            has = f"It has: {', '.join(wanted)}." if wanted else "It has none."
            raise UserError(f"The template {name!r} has no variable {', '.join(map(repr, unknown))}.", hint=has)
        return Template(text).substitute(variables)


def variables_in(text: str) -> Iterator[str]:
    """The variables of a template, as often as they stand there."""
    for found in Template.pattern.finditer(text):
        if variable := found["named"] or found["braced"]:
            yield variable
