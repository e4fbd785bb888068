"""Where texts come from, and how they are cut into passages. Knows nothing of agents or of where passages are kept."""
