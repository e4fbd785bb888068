"""Makes the reader of a kind of source, from the options that its recipe keeps.

Knows nothing of what readers do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memagent import registry
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


def _path(value: Any) -> Any:
    return [Path(each) for each in value] if isinstance(value, list) else Path(value)
