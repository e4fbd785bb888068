"""What went wrong in PostgreSQL, as a person can mend it. No message holds a password, or what was being stored.

Knows nothing of what was being done.
"""

from __future__ import annotations

import re

import psycopg
from psycopg import conninfo

from memagent.errors import ConfigError, StorageError

AWAY = "Start the server, or see whether `database` names the right one."
_SAID_AT_THE_DOOR = {
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "no pg_hba.conf entry": "28000",
    "does not exist": "3D000",
    "too many clients": "53300",
    "remaining connection slots": "53300",
    "starting up": "57P03",
    "shutting down": "57P03",
}
"""What refuses a connection has no code of its own in libpq, only its words."""


def address_of(url: str) -> dict[str, str]:
    """The parts of an address, checked."""
    user, _, rest = url.partition("://")[2].partition("/")
    try:
        if "@" in rest or user.count("@") > 1:  # a mark inside the password: what comes after it would be shown
            raise ValueError
        parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    except (psycopg.Error, ValueError):  # what is said can hold a part of the password
        raise ConfigError(
            "The address of the database can't be read.",
            hint="It must look like postgresql://USER:PASSWORD@HOST:5432/NAME, with %40 for an @ in a password.",
        ) from None
    return parts


def shown(parts: dict[str, str]) -> str:
    """An address as it may be shown: without the password."""
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"


def refused(place: str, parts: dict[str, str], error: psycopg.Error) -> StorageError:
    """Why there is no connection."""
    said = " ".join(str(error).split()).removeprefix("connection failed: ")
    code = next((code for words, code in _SAID_AT_THE_DOOR.items() if "FATAL" in said and words in said), "")
    code = "28P01" if "no password supplied" in said else code
    if code in ("28P01", "28000"):
        return StorageError(
            f"{place} does not let you in: {_reason(said)}.",
            hint="See whether user and password in `database` are right; a password can also be in ~/.pgpass.",
        )
    if code == "3D000" and "database" in said:
        name = parts.get("dbname", "")
        return StorageError(f"There is no database {name!r} at {place}.", hint=f"Make it with: createdb {name}")
    if code == "53300":
        return StorageError(f"{place} has no connection left for us.", hint="Try again when fewer programs use it.")
    if code == "57P03":
        return StorageError(f"{place} is just starting or stopping.", hint="Try again in a moment.")
    return StorageError(f"{place} can't be reached: {_reason(said)}.", hint=AWAY)


def _reason(said: str) -> str:
    """The last part of what libpq says, which tells why; the first tells where, which we have said ourselves."""
    return re.sub(r"^.*?(?:failed: |error: )(?:FATAL: +)?", "", said).split(" Is the server")[0].rstrip(".")[:300]


def explained(place: str, error: psycopg.Error, lost: str = "") -> StorageError:
    """What an error of the server means; `lost` is what to say if it is that the connection is gone."""
    code = error.sqlstate or ""
    if lost and (not code or code.startswith(("08", "57P"))):
        hint = "memagent connects again by itself as soon as the server is there."
        return StorageError(f"The connection to {place} was lost{lost}.", hint=hint)
    said = (error.diag.message_primary or str(error)).split("\n")[0].rstrip(".")
    for codes, message, hint in _MEANINGS:
        if code.startswith(codes):
            return StorageError(message.format(place=place, said=said), hint=hint)
    return StorageError(f"{place}: {said}.", hint="See what is wrong with: memagent doctor")


_MEANINGS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("53100",), "The disk of {place} is full.", "Free some space there; nothing stored is lost."),
    (("53",), "{place} has not enough memory or connections left.", "Try again when fewer programs use it."),
    (
        ("55P03", "40P01", "40001"),
        "{place} is in use by another program for too long; nothing was written.",
        "Try again.",
    ),
    (
        ("25006",),
        "{place} can't be written to: it is read-only, or a copy of another server.",
        "Name the server itself.",
    ),
    (
        ("42501",),
        "You may not do that at {place}.",
        "Let its administrator say: GRANT CREATE ON DATABASE … TO …; what is in the schema memagent must be yours.",
    ),
    (("57014",), "{place} stopped a query that took too long.", "See statement_timeout there."),
    (
        ("3F000", "42P01", "42703", "42883"),
        "The tables of memagent at {place} are not as they should be: {said}.",
        "Was the schema memagent changed by another program? Get a dump of it back.",
    ),
    (("XX", "58"), "{place} is damaged, or its disk fails.", "Look into the server's log."),
)
