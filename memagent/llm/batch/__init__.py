"""Many requests to one endpoint, in parallel and within its limits: embeddings of many passages, a file of questions.

`run_batch` asks; a `Call` is what is asked, an `Outcome` what came of it. Knows nothing of agents; who wants results
kept, shown or counted does that in `on_result`.
"""

from memagent.llm.batch.call import Call, Failure, Outcome, UnfitCall, call_from
from memagent.llm.batch.door import Door, door_to
from memagent.llm.batch.pace import Limits
from memagent.llm.batch.run import Ending, run_batch

__all__ = ["Call", "Door", "Ending", "Failure", "Limits", "Outcome", "UnfitCall", "call_from", "door_to", "run_batch"]
