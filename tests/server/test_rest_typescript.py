"""The REST door with the client that is published for TypeScript: skipped where node or the package is not installed
(`npm install @letta-ai/letta-client`, in a folder that MEMAGENT_TEST_NODE names).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from serving import Serving

SCRIPT = Path(__file__).with_name("typescript") / "talk.mjs"
PACKAGES = Path(os.environ.get("MEMAGENT_TEST_NODE", SCRIPT.parent))


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("node") or not (PACKAGES / "node_modules" / "@letta-ai" / "letta-client").is_dir(),
    reason="node, or @letta-ai/letta-client, is not installed",
)
def test_the_client_for_typescript_drives_an_agent(server: Serving) -> None:
    words = ["node", str(SCRIPT), server.address, server.key(), str(PACKAGES.absolute())]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("listed") and told == {
        "agents": ["ada", "other 0", "other 1", "other 2"],
        "kinds": ["reasoning_message", "tool_call_message", "tool_return_message", "assistant_message"],
        "stop": "end_turn",
        "streamed": "one two three four five six seven eight",
        "block": "Bo.\nlikes tea",
        "found": ["The blue key opens the shed."],
        "runs": ["completed", "completed"],
        "file": "ada",
        "missing": 404,
    }
