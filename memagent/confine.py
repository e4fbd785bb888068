"""Keeps a process small that does something risky: its memory, and that it goes first when there is none left.

Knows nothing of what the process does.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def limit_memory(memory: int) -> None:
    """Let this process have so many bytes of address space, for good; where the system can't, nothing happens."""
    if sys.platform == "win32":
        return
    import resource

    for limit, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # macOS knows no limit of memory
            hard = resource.getrlimit(limit)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(limit, (most, most))
    with suppress(OSError):  # Linux: when memory runs out, it's this process that is ended
        Path("/proc/self/oom_score_adj").write_text("1000")
