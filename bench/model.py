"""What the measurements share: a home, a model that answers by script, and what the user says to it.

`python -m bench.model MANNER` serves that model until its input ends: for measurements that must not count its work.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.llm.script import Script

ANSWER = (
    "That sounds like a good plan. You told me that you like tea more than coffee, and that your sister comes on "
    "Sunday. Shall we go on with the list?"
)
SUMMARY = "We talked about the garden, about cooking for the sister's visit, and about what to buy for it. " * 3
STREAMED = {"thoughts": "They plan for Sunday; I should mention the sister.", "say": ANSWER, "pace": 0.0005}
SEARCH = {"call": "conversation_search", "arguments": {"query": "garden and list"}, "heartbeat": True}
MANNERS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "streamed": [STREAMED],
    "whole": [{"say": ANSWER}],
    "short": [{"say": "Yes."}],
    "searching": [{"when": "[aeiou]\\.$", "steps": [SEARCH, {"say": ANSWER}]}, {"say": ANSWER}],
}
"""How the model answers: in pieces of six characters as models do; in few pieces at once; in one word; or not before it
has searched, where the user's last word ends in a vowel.
"""

_WORDS = random.Random(1)
WORDS = ["".join(_WORDS.choices("abdeghiklmnoprstu", k=_WORDS.randint(2, 9))) for _ in range(3000)]


def message(number: int) -> str:
    """What the user says in this turn: other words each time, as many as people use."""
    chosen = random.Random(number)
    return " ".join(chosen.choices(WORDS, k=chosen.randint(4, 30))) + "."


def script(manner: str) -> Script:
    """A script that answers in this manner whatever is said, and summarises when it is asked to."""
    from memagent.llm.script_file import read_script

    return read_script([{"when": {"kind": "summary"}, "text": SUMMARY}, *({"when": {}, **e} for e in MANNERS[manner])])


def settings_for(home: Path, **values: Any) -> Settings:
    """The settings of a user who has set just this much."""
    from memagent.config import Settings

    return Settings(**{"home": home, "model": "scripted", "api_key": "none", **values})


@contextmanager
def served_elsewhere(manner: str) -> Iterator[str]:
    """The address of the model, in a process of its own."""
    command = [sys.executable, "-m", "bench.model", manner]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
    ) as server:
        assert server.stdout and server.stdin
        yield server.stdout.readline().strip()
        server.stdin.close()


def main(arguments: Sequence[str]) -> None:
    """Serve the model until the input ends."""
    from memagent.llm.script_server import serve

    with serve(script(arguments[0])) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
