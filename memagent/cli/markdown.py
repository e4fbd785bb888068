"""Shows Markdown in a terminal, as the agent wrote it: nothing in it is hidden, acted upon, or turned into a link.

Addresses stand in the open beside their words, HTML stays text, line breaks stay line breaks. Knows nothing of turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.markdown import Markdown

from memagent.log import harmless

# A definition such as `[word]: address` would vanish from the text, and so would HTML.
_HIDING = ["html_block", "html_inline", "reference"]
_PARSER = MarkdownIt().enable(["strikethrough", "table"]).disable(_HIDING)
_BLOCKS = MarkdownIt().enable("table").disable(_HIDING)
_BLOCKS.core.ruler.enableOnly(["normalize", "block"])


class SafeMarkdown(Markdown):
    """Markdown by somebody who is not to be trusted."""

    def __init__(self, text: str) -> None:
        super().__init__("", hyperlinks=False)
        self.markup = text
        self.parsed = list(_shown(_PARSER.parse(harmless(text))))


def _shown(tokens: Sequence[Token]) -> Iterator[Token]:
    """The same tokens, without what they could do to a terminal or hide from its user."""
    own_address = False
    for i, token in enumerate(tokens):
        token.content = harmless(token.content)  # again: `&#x202e;` has become a character by now
        if token.type == "image":
            yield _text(f"{token.content} ({harmless(str(token.attrs.get('src', '')))})")
            continue
        if token.children:
            token.children = list(_shown(token.children))
        if token.type == "softbreak":
            token.type = "hardbreak"
        elif token.type == "link_open":
            token.attrs["href"] = harmless(str(token.attrs.get("href", "")))
            own_address = tokens[i + 1].content == token.attrs["href"] and tokens[i + 2].type == "link_close"
        if not (own_address and token.type in ("link_open", "link_close")):
            yield token


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def finished(text: str) -> int:
    """Up to where a text that still grows consists of blocks (paragraphs, lists …) that will not change any more."""
    whole = text.rfind("\n") + 1
    if text[:whole].endswith("\n\n") and text[whole : whole + 2].isalpha():
        whole += 2  # enough to know that a new paragraph begins here
    starts = [token.map[0] for token in _BLOCKS.parse(text[:whole]) if token.level == 0 and token.map]
    if len(set(starts)) < 2:
        return 0
    at = 0
    for _ in range(max(starts)):
        at = text.index("\n", at) + 1
    return at
