"""A group chat with documents: a librarian who has read them, and a writer who has not, in ag2.

python documents_ag2.py ~/papers "What do they say about tides?"
"""

import sys

from autogen import GroupChat, GroupChatManager, UserProxyAgent

from memagent.bridges.autogen import conversable_agent


def main(folder: str, question: str) -> None:
    librarian = conversable_agent(
        "librarian", description="Looks things up, and quotes them.", settings={"preset": "documents"}
    )
    loaded = librarian.load_and_attach("papers", "directory", path=folder)
    print(f"{loaded.seen} documents, {loaded.passages} new passages")
    writer = conversable_agent(
        "writer",
        description="Puts things into plain words.",
        system_message="I am a writer. I put what the librarian found into one plain sentence.",
    )
    user = UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
    group = GroupChat([user, librarian, writer], max_round=3, speaker_selection_method="round_robin")
    user.initiate_chat(GroupChatManager(group), message=question)
    librarian.close()
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
