"""An agent that remembers, and a user who replies by itself: the smallest chat, in ag2.

It talks to the model that memagent is set up for. Run it twice: the second time, the agent knows Bo.
"""

from autogen import UserProxyAgent

from memagent.bridges.autogen import conversable_agent


def main() -> None:
    ada = conversable_agent("ada", system_message="I am Ada. I remember everybody I have met, and what they told me.")
    user = UserProxyAgent(
        "user",
        human_input_mode="NEVER",
        max_consecutive_auto_reply=1,
        default_auto_reply="Go on, I am listening.",
        code_execution_config=False,
    )
    user.initiate_chat(ada, message="Hello! My name is Bo, and I keep bees.")
    ada.close()


if __name__ == "__main__":
    main()
