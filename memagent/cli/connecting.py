"""What a person gave to say which database is meant, as options of a reader, and what of that may be remembered.

Knows nothing of what is read there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memagent.errors import UserError
from memagent.loading.opening import without_password

Options = dict[str, Any]


def database_options(source: str, parts: Mapping[str, Any], ask_password: bool) -> tuple[Options, Options, str]:
    """Options for the reader; the same without a password; and a name for what they mean."""
    given = {name: value for name, value in parts.items() if value}
    if source and given:
        raise UserError("Give an address, or its parts, not both.")
    if source and "://" not in source:
        return place_options(source)
    options: Options = {"url": source} if source else given
    password = _asked() if ask_password else ""
    kept, found = without_password(source) if source else (dict(given), str(given.get("database", "")))
    if password:
        options, kept = options | {"password": password}, kept | {"secret": True}
    return options, kept, found


def place_options(source: str) -> tuple[Options, Options, str]:
    """The same for an address or a path."""
    if "://" in source:
        return {"url": source}, *without_password(source)
    path = Path(source).expanduser().absolute()
    return {"path": str(path)}, {"path": str(path)}, path.stem


def _asked() -> str:
    from memagent.cli.opened import attended

    if not attended():
        raise UserError("Nobody is there to type the password.", hint="Put it into the address.")
    import questionary

    return str(questionary.password("Password").unsafe_ask())
