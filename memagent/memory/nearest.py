"""Whether texts can be searched by what they mean here: what compares vectors is numpy, which comes with the extra
`embeddings`.

Knows nothing of how they are compared; that is the storage's.
"""

from __future__ import annotations

from importlib.util import find_spec


def possible() -> bool:
    """Whether vectors can be searched here."""
    return find_spec("numpy") is not None
