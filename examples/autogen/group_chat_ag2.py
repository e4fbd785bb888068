"""A group chat: you, a product manager and a coder, each with a memory of its own, in ag2.

Both hear all that is said, and by whom. Say "exit" to end it; the next time, they remember what was decided.
"""

from autogen import GroupChat, GroupChatManager, UserProxyAgent

from memagent.bridges.autogen import conversable_agent


def main() -> None:
    manager = conversable_agent(
        "product_manager",
        description="Decides what is made, and why.",
        system_message="I am a product manager. I say briefly what is to be made, and note what was decided.",
    )
    coder = conversable_agent(
        "coder",
        description="Writes the code.",
        system_message="I am a coder. I write short Python for what the product manager decides, and nothing else.",
    )
    user = UserProxyAgent("user", human_input_mode="ALWAYS", code_execution_config=False)
    group = GroupChat([user, manager, coder], max_round=30, speaker_selection_method="round_robin")
    user.initiate_chat(GroupChatManager(group), message="I want to show random numbers to my daughter.")
    manager.close()
    coder.close()


if __name__ == "__main__":
    main()
