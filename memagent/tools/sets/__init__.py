"""The function sets that come with memagent; each file is one, loaded like your own. Knows nothing of who uses them."""
