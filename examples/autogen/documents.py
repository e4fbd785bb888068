"""A group chat with documents: a librarian who has read them, and a writer who has not, in autogen-agentchat.

python documents.py ~/papers "What do they say about tides?"
"""

import asyncio
import sys

from autogen_agentchat.conditions import MaxMessageTermination, StopMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.ui import Console

from memagent.bridges.autogen import chat_agent


async def main(folder: str, question: str) -> None:
    librarian = chat_agent(
        "librarian", description="Looks things up, and quotes them.", settings={"preset": "documents"}
    )
    loaded = librarian.load_and_attach("papers", "directory", path=folder)
    print(f"{loaded.seen} documents, {loaded.passages} new passages")
    writer = chat_agent(
        "writer",
        description="Puts things into plain words.",
        system_message="I am a writer. I put what the librarian found into one plain sentence.",
    )
    ends = MaxMessageTermination(3) | StopMessageTermination()
    team = RoundRobinGroupChat([librarian, writer], termination_condition=ends)
    await Console(team.run_stream(task=question))
    await librarian.close()
    await writer.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
