"""Services behind an address: how one is asked, why it says no, when to ask again, and how all of that is told.

Models are asked this way, and embeddings. Knows nothing of what is asked.
"""
