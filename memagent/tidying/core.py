"""Tidies core memory: a block that is crowded with what the agent noted is put more shortly, by a model.

It is an edit like any other, with its place in the history, and can be undone. A block that the user has edited since
it was last tidied is left alone, and so is one whose agent has not written in it. Knows nothing of the loop.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memagent.errors import ToolError
from memagent.memory.core import Block, Change, CoreMemory
from memagent.storage import Transaction
from memagent.tidying import Proposal
from memagent.tidying.wording import Wording

CAUSE = "tidying"
FULL = 0.7
"""A block is crowded when it is so full …"""
MANY = 12
"""… or has so many lines."""
MOST = 0.85
"""What is rewritten must be shorter than this part of it, or it is not worth a change."""


@dataclass(frozen=True)
class Rewriting:
    """A block that would be rewritten."""

    core: CoreMemory
    block: Block
    after: str

    @property
    def told(self) -> str:
        sizes = f"{len(self.block.value)} characters become {len(self.after)}"
        return f"The block {self.block.label} is put more shortly: {sizes}."

    def carry_out(self, tx: Transaction, now: datetime) -> Mapping[str, Any] | None:
        change = Change(self.block.label, self.block.version, self.block.value, self.after)
        try:
            (edit,) = self.core.store(tx, [change], CAUSE, now)
        except ToolError:  # it was edited while the model wrote
            return None
        return {"block": edit.label, "version": edit.version}


class CrowdedBlocks:
    """Blocks that are nearly full, or have very many lines, are put more shortly."""

    name = "core memory"

    def __init__(self, core: CoreMemory, wording: Wording) -> None:
        self._core = core
        self._wording = wording

    def proposals(self) -> Generator[Proposal | None]:
        self._core.reload()
        for block in list(self._core.blocks.values()):
            if block.read_only or not _crowded(block) or not self._the_agents_own(block) or not self._fits(block):
                continue
            after = yield from self._wording.shorter(block.value, MOST)
            if after and len(after) <= block.limit:
                yield Rewriting(self._core, block, after)

    def _fits(self, block: Block) -> bool:
        return self._wording.fits(block.value)

    def _the_agents_own(self, block: Block) -> bool:
        """Whether, since it was last tidied, the agent wrote in a block and the user did not."""
        by_agent = False
        for edit in self._core.history(block.label):
            if edit.cause == CAUSE:
                break
            if edit.version > 1 and edit.call_id is None:
                return False
            by_agent = by_agent or edit.call_id is not None
        return by_agent

    def undo(self, tx: Transaction, details: Mapping[str, Any], now: datetime) -> bool:
        return self._core.undo_version(tx, str(details["block"]), int(details["version"]), now) is not None


def _crowded(block: Block) -> bool:
    return len(block.value) >= FULL * block.limit or len(block.value.splitlines()) >= MANY
