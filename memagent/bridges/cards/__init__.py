"""Character cards of SillyTavern and its kin, versions 1 to 3, in PNG, JSON and CHARX: read, made into agents, and
written again with nothing lost.

All that stands in a card is data: its macros are replaced as text, and nothing of it is ever run.
"""
