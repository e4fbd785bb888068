"""Opens the database that the settings name; it is made when it is not there.

Knows nothing of what is kept in it.
"""

from __future__ import annotations

from memagent import registry
from memagent.config import Settings
from memagent.storage import Database


def opened(settings: Settings) -> Database:
    """The database, brought up to date."""
    storage = registry.find("storage", registry.STORAGES, settings.storage)
    database: Database
    if settings.crash_at:
        from memagent.storage.sqlite import crash_at

        database = storage.of(settings, crash_at(settings.crash_at))
    else:
        database = storage.of(settings)
    return database
