"""A shopping list, kept in a file of the agent's own."""

from memagent.tools import AgentFacade, tool


@tool(after_cut="retry")
def add_to_list(self: AgentFacade, item: str) -> str:
    """Put something on the user's shopping list.

    Args:
        item: What to buy.
    """
    self.files.mkdir(parents=True, exist_ok=True)
    with (self.files / "shopping.txt").open("a", encoding="utf-8") as file:
        file.write(f"{item}\n")
    return "It is on the list."


@tool(after_cut="retry")
def read_list(self: AgentFacade) -> str:
    """Read the user's shopping list."""
    path = self.files / "shopping.txt"
    return path.read_text(encoding="utf-8") if path.exists() else "The list is empty."
