"""What an agent remembers: core memory, the log of the conversation, recall and archival memory.

Knows nothing of models, tools or the loop.
"""
