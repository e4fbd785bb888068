"""How a run stands, as a client sees it.

Knows nothing of how turns run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from memagent.server.ledger import Stored
from memagent.server.rest.ids import shown

STATUS = {
    "queued": "created", "running": "running", "done": "completed", "waiting": "completed", "failed": "failed",
    "interrupted": "cancelled",
}  # fmt: skip
REASONS = {"done": "end_turn", "waiting": "requires_approval", "failed": "error", "interrupted": "cancelled"}


class RunShown(BaseModel):
    """A run, and how it stands."""

    id: str
    agent_id: str
    status: str
    background: bool = True
    created_at: datetime
    completed_at: datetime | None = None
    stop_reason: str | None = None
    total_duration_ns: int | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


def run_shown(run: Stored) -> RunShown:
    """A run as a client sees it; why it failed is in its metadata."""
    took = int((run.ended - run.created).total_seconds() * 1e9) if run.ended else None
    return RunShown(
        id=run.id, agent_id=shown("agent", run.agent), status=STATUS.get(run.state, "failed"), created_at=run.created,
        completed_at=run.ended, stop_reason=REASONS.get(run.state), total_duration_ns=took,
        metadata={"error": run.why} if run.why else {},
    )  # fmt: skip
