"""Files that somebody sends to the server become sources: kept until they are loaded (`incoming`), loaded in a process
of its own (`child`), one load of a source after the other (`carrying`).

Knows nothing of requests.
"""
