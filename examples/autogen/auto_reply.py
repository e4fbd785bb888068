"""An agent that remembers, and a user who replies by itself: the smallest chat, in autogen-agentchat.

It talks to the model that memagent is set up for. Run it twice: the second time, the agent knows Bo.
"""

import asyncio

from autogen_agentchat.agents import UserProxyAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.ui import Console

from memagent.bridges.autogen import chat_agent


def go_on(prompt: str) -> str:
    """What the user says, whatever it is asked."""
    return "Go on, I am listening."


async def main() -> None:
    ada = chat_agent("ada", system_message="I am Ada. I remember everybody I have met, and what they told me.")
    user = UserProxyAgent("user", input_func=go_on)
    team = RoundRobinGroupChat([ada, user], termination_condition=MaxMessageTermination(4))
    await Console(team.run_stream(task="Hello! My name is Bo, and I keep bees."))
    await ada.close()


if __name__ == "__main__":
    asyncio.run(main())
