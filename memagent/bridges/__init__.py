"""Bridges: what other programs keep and speak, in and out. Knows nothing of the command line or of servers."""
