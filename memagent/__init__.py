"""memagent: agents that edit their own memory, on any model, in one file on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memagent.remembering import Memory

__all__ = ["Memory", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`from memagent import Memory` loads what that needs, and nothing else does."""
    if name == "Memory":
        from memagent.remembering import Memory

        return Memory
    raise AttributeError(f"module 'memagent' has no attribute {name!r}")
