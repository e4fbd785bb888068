"""Opens the database that the settings name; it is made when it is not there.

Knows nothing of what is kept in it.
"""

from __future__ import annotations

import os
import time

from memagent import registry
from memagent.config import SETTINGS, Settings
from memagent.errors import ConfigError
from memagent.storage import Database, Watch


def opened(settings: Settings) -> Database:
    """The database, brought up to date. An address says itself which kind of storage it is of."""
    kind = "postgres" if settings.database_url else settings.storage
    if kind == "postgres" and not settings.database_url:
        hint = "Set it with: memagent configure --set database=postgresql://USER@HOST/NAME"
        raise ConfigError("The storage postgres needs the address of a database.", hint=hint)
    if settings.storage not in (kind, SETTINGS["storage"].default):
        hint = f"Set one of them back: memagent configure --unset database, or --set storage={kind}"
        raise ConfigError(
            f"The storage {settings.storage} keeps everything in a file, but database is not one.", hint=hint
        )
    storage = registry.find("storage", registry.STORAGES, kind)
    more = {"watch": crash_at(settings.crash_at)} if settings.crash_at else {}
    database: Database = storage.of(settings, **more)
    return database


def crash_at(number: int) -> Watch:
    """For tests: kill this process hard at the n-th commit boundary (just before, and just after, each commit)."""
    passed = 0

    def watch(moment: str) -> None:
        nonlocal passed
        if moment in ("commit", "committed"):
            passed += 1
            if passed == number:
                os.kill(os.getpid(), 9)
                time.sleep(60)

    return watch
