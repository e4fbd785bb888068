"""Reading on in what was found: the passages around one, and which sources there are to search.

Only what an agent can search can be read: its own notes, and the sources that are attached to it. Knows nothing of how
a search finds.
"""

from __future__ import annotations

from collections.abc import Mapping

from memagent.errors import ToolError
from memagent.memory.passages import COLUMNS, Passage, passage_of
from memagent.storage import Database, Readable

MOST = 2
"""Passages that can be read before and after one, each."""
EXAMPLES = 3


def around(
    database: Database, shelves: Mapping[str, str], number: int, before: int, after: int
) -> tuple[str, list[Passage], int]:
    """A passage with those before and after it in its document; on which shelf it is, and how many the document has.

    `shelves` are those that may be read.
    """
    if not (0 <= before <= MOST and 0 <= after <= MOST):
        raise ToolError(f"before and after must be between 0 and {MOST}.")
    ours = ", ".join("?" for _ in shelves)
    rows = database.rows(
        f"SELECT p.shelf, p.note, p.part FROM passages p WHERE p.id = ? AND p.shelf IN ({ours}) AND p.undone IS NULL",
        number if abs(number) < 2**63 else 0, *shelves,
    )  # fmt: skip
    if not rows:
        raise ToolError(f"There is no passage {str(number)[:20]}. Its number is what a result begins with.")
    shelf, note, part = rows[0]
    found = database.rows(
        f"SELECT {COLUMNS} FROM passages t WHERE t.shelf = ? AND t.note = ? AND t.part BETWEEN ? AND ? "
        "AND t.undone IS NULL ORDER BY t.part",
        shelf, note, part - before, part + after,
    )  # fmt: skip
    total = database.rows(
        "SELECT count(*) FROM passages WHERE shelf = ? AND note = ? AND undone IS NULL", shelf, note
    )  # fmt: skip
    return shelf, [passage_of(row) for row in found], total[0][0]


def readable(database: Database, agent: str) -> list[Readable]:
    """The sources that are attached to an agent, by name."""
    rows = database.rows(
        "SELECT s.id, s.name, (SELECT count(*) FROM documents d WHERE d.source = s.id), "
        "(SELECT coalesce(sum(d.passages), 0) FROM documents d WHERE d.source = s.id) "
        "FROM attachments a JOIN sources s ON s.id = a.source WHERE a.agent = ? ORDER BY s.name",
        agent,
    )
    some = "SELECT place FROM documents WHERE source = ? ORDER BY place LIMIT ?"
    return [
        Readable(name, count, passages, [place for (place,) in database.rows(some, source, EXAMPLES)])
        for source, name, count, passages in rows
    ]
