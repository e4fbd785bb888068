"""Makes the reader of a kind of source, from the options that its recipe keeps; and tells what of them it may keep.

Knows nothing of what readers do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memagent import registry
from memagent.errors import MissingExtra, UserError
from memagent.loading.sift import Manner
from memagent.memory.sources import Known
from memagent.sources import Reader

_PATHS = ("path", "files")
"""Options that are paths; all others are as JSON has them."""
_ON_THE_WEB = ("webpage",)
"""Kinds that ask hosts for what they read, and can be told that it has not changed."""
_WITH_VECTORS = ("passages",)
"""Kinds whose readers always give the vectors; it is the load that leaves them."""


def reader_of(
    kind: str, options: Mapping[str, Any], *, known: Mapping[str, str], allowed_hosts: Sequence[str] = ()
) -> Reader:
    """The reader of that kind. `known` are the stamps of what was loaded before, by place."""
    made: Any = registry.find("kind of source", registry.READERS, kind)
    given = {name: _path(value) if name in _PATHS else value for name, value in options.items()}
    if kind in _WITH_VECTORS:
        given.pop("texts_only", None)
    if kind in _ON_THE_WEB:
        given |= {"known": known, "allowed_hosts": allowed_hosts}
    reader: Reader = made(**given)
    return reader


def stamps(documents: Mapping[str, Known], manner: Manner) -> dict[str, str]:
    """The stamps of documents that were made in this manner, by place."""
    told = {place: manner.told(each.stamp) for place, each in documents.items()}
    return {place: stamp for place, stamp in told.items() if stamp}


def without_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options as a recipe may keep them: no password, and paths that mean the same from everywhere."""
    kept = {name: _as_kept(value) if name in _PATHS else value for name, value in options.items()}
    if kept.pop("password", None):
        kept["secret"] = True
    if "://" in str(kept.get("url", "")):
        kept |= without_password(str(kept["url"]))[0]
    return kept


def without_password(url: str) -> tuple[dict[str, Any], str]:
    """The address of a database as a recipe may keep it, and a name for what it means."""
    try:
        from sqlalchemy import URL, exc, make_url
    except ImportError as error:
        raise MissingExtra("What reads databases", "database") from error
    try:
        made = make_url(url)
    except (exc.ArgumentError, ValueError):  # its text may hold the password
        raise UserError(
            "That is no address of a database.", hint="Write it as postgresql://user@host:port/name."
        ) from None
    secret = made.password is not None or bool(made.query)  # some drivers take a password there
    plain = URL.create(made.drivername, made.username, None, made.host, made.port, made.database)
    return {"url": str(plain), **({"secret": True} if secret else {})}, Path(str(made.database or made.host or "")).stem


def _as_kept(value: Any) -> Any:
    whole = [str(Path(each).expanduser().absolute()) for each in (value if isinstance(value, list) else [value])]
    return whole if isinstance(value, list) else whole[0]


def _path(value: Any) -> Any:
    return [Path(each) for each in value] if isinstance(value, list) else Path(value)
