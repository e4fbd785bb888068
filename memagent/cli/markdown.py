"""Shows Markdown in a terminal, as the agent wrote it: nothing in it is hidden, acted upon, or turned into a link.

Addresses stand in the open beside their words, HTML stays text, line breaks stay line breaks. Knows nothing of turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment

from memagent.log import harmless

# A definition such as `[word]: address` would vanish from the text, and so would HTML.
_HIDING = ["html_block", "html_inline", "reference"]
_PARSER = MarkdownIt().enable(["strikethrough", "table"]).disable(_HIDING)
_BLOCKS = MarkdownIt().enable("table").disable(_HIDING)
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_BLOCKS.core.ruler.enableOnly(["normalize", "block"])


class SafeMarkdown(Markdown):
    """Markdown by somebody who is not to be trusted."""

    def __init__(self, text: str) -> None:
        super().__init__("", hyperlinks=False)
        self.markup = text
        self.parsed = list(_shown(_PARSER.parse(harmless(text))))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The text without blank lines before and after it."""
        drawn = (part for part in super().__rich_console__(console, options) if isinstance(part, Segment))
        lines = [_trimmed(line) for line in Segment.split_lines(drawn)]
        inked = [i for i, line in enumerate(lines) if line]
        for line in lines[inked[0] : inked[-1] + 1] if inked else []:
            yield from line
            yield Segment.line()


def _trimmed(line: list[Segment]) -> list[Segment]:
    """A line without the blanks at its end, which would become lines of their own in a window made narrower."""
    while line and not (line[-1].style and line[-1].style.bgcolor):
        last = line.pop()
        if words := last.text.rstrip():
            return [*line, Segment(words, last.style)]
    return line


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


def blocks(text: str) -> list[str]:
    """A text in its blocks (paragraphs, lists …). It may still grow, and with it its last block, but no other one."""
    whole = text.rfind("\n") + 1
    if text[:whole].endswith("\n\n") and text[whole : whole + 1].isalpha():
        whole += 1  # a letter is enough to know that a new paragraph begins here
    starts = {token.map[0] for token in _BLOCKS.parse(harmless(text[:whole])) if token.level == 0 and token.map}
    lines = _LINES.findall(text)
    cuts = [0, *sorted(starts)[1:], len(lines)]
    return ["".join(lines[start:end]) for start, end in pairwise(cuts)]
