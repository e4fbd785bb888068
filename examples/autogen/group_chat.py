"""A group chat: you, a product manager and a coder, each with a memory of its own, in autogen-agentchat.

Both hear all that is said, and by whom. Say "exit" to end it; the next time, they remember what was decided.
"""

import asyncio

from autogen_agentchat.agents import UserProxyAgent
from autogen_agentchat.conditions import StopMessageTermination, TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.ui import Console

from memagent.bridges.autogen import chat_agent


async def main() -> None:
    manager = chat_agent(
        "product_manager",
        description="Decides what is made, and why.",
        system_message="I am a product manager. I say briefly what is to be made, and note what was decided.",
    )
    coder = chat_agent(
        "coder",
        description="Writes the code.",
        system_message="I am a coder. I write short Python for what the product manager decides, and nothing else.",
    )
    user = UserProxyAgent("user")
    ends = TextMentionTermination("exit", sources=["user"]) | StopMessageTermination()
    team = RoundRobinGroupChat([manager, coder, user], termination_condition=ends)
    await Console(team.run_stream(task="I want to show random numbers to my daughter."))
    await manager.close()
    await coder.close()


if __name__ == "__main__":
    asyncio.run(main())
