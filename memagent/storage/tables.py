"""The tables as every engine has them: what is copied from one to another, in an order in which each row finds those
that it refers to.

What an engine keeps beside them for speed is not among them. Knows nothing of what the rows mean.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table: its columns, and the first of them by which each row is known. Those that have an `id` that counts
    are `counted`.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    counted: bool = False


def _table(name: str, columns: str, key: str = "id", *, counted: bool = False) -> Table:
    return Table(name, tuple(columns.split()), tuple(key.split()), counted)


TABLES = (
    _table(
        "agents", "id owner name created settings system last_login quiet_until fence holder lease_until"
    ),
    _table("turns", "agent turn state steps prompt_tokens completion_tokens started ended", "agent turn"),
    _table(
        "messages",
        "id agent seq turn role kind content calls call_id name said created undone place",
        counted=True,
    ),
    _table("calls", "agent call_id state idempotency_key digest created", "agent call_id"),
    _table("blocks", "agent label position value size_limit description read_only version id", "agent label"),
    _table("block_edits", "id agent label version before after cause turn call_id created", counted=True),
    _table("shared_blocks", "id owner label value size_limit description read_only about created"),
    _table("sources", "id owner name kind about created updated holder lease_until"),
    _table("recipes", "id source kind about options tokens loaded", counted=True),
    _table("documents", "id source place stamp digest title passages loaded recipe", counted=True),
    _table("attachments", "agent source since", "agent source"),
    _table("cards", "agent document files made", "agent"),
    _table("lore", "agent number note called_by text", "agent number"),
    _table("passages", "id shelf note part text tags place turn created undone", counted=True),
    _table("passages_vectors", "id item shelf model vector", counted=True),
    _table("messages_vectors", "id item shelf model vector", counted=True),
    _table("keepers", "shelf owner agent created", "shelf"),
    _table(
        "facts",
        "id shelf line text kind about subject details said since until confidence confirmed renewed origin agent"
        " message quote ended how heir created",
        counted=True,
    ),
    _table("fact_changes", "id fact what why origin agent message details created", counted=True),
    _table("fact_readers", "agent place seq tries failed changed", "agent place"),
    _table("facts_vectors", "id item shelf model vector", counted=True),
    _table("journal", "id agent first last entry details created undone", counted=True),
    _table("tidyings", "id agent run kind told details created undone", counted=True),
    _table("templates", "owner name text created", "owner name"),
    _table("active_characters", "owner agent", "owner"),
    _table("keys", "id owner name digest scopes limits created used revoked"),
    _table("runs", "id agent key otid work told state why turn holder created ended"),
    _table("audit", "id created owner key address what target outcome", counted=True),
    _table("scenes", "id owner topic members holder lease_until started ended", counted=True),
)  # fmt: skip
