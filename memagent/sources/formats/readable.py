"""Which part of a web page is its text: not the menus, banners, lists of links and comments around it.

The page's own marks are taken at their word (`main`, `article`); where there are none, the element is taken under which
the most paragraphs stand close together. Knows nothing of what is made of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


SKIPPED = _set(
    "script style noscript template svg iframe canvas object embed video audio picture map math button select input "
    "textarea dialog menu head title link meta"
)
ROLES = _set("navigation banner contentinfo search dialog alert alertdialog menu menubar")
_ASIDE_WORDS = r"""
    ad ads advert\w* aside author-?bio banner\w* breadcrumbs? byline captcha comments? commentlist consent cookies?
    disqus\w* footer foot gdpr headerlink header-?nav inline-?newsletter legal masthead menu\w* meta modal
    most-?(?:read|popular) nav\w* newsletter\w* outbrain overlay pager pagination paywall popular popup print-?only
    promo\w* recirc\w* recommend\w* related\w* remark replies right-?rail rss share\w* shar\w*-?bar sharing shoutbox
    sidebar\w* signup skip-?(?:link|to)\w* social\w* sponsor\w* subscri\w* tag-?list tags taboola teaser\w* toc
    toolbar trending
"""
_ASIDE = re.compile(f"(?<![a-z])(?:{'|'.join(_ASIDE_WORDS.split())})(?![a-z])")
_TEXT = re.compile(r"article|body|content|entry|main|post(?!ed)|story|column|text|page\b")
_CAMEL = re.compile(r"([a-z])([A-Z])")

SENTENCE = 25
"""So many characters at least are taken for a sentence."""

LEAST = 0.6
"""So much of a page's prose its text has at least, of what is not marked as something else."""

_PARAGRAPH = _set("p pre blockquote td dd")
_OF_PROSE = _PARAGRAPH | _set("div section article main body")
_NEVER_ASIDE = _set("body html article main table tbody tr td code pre p h1 h2 h3") | {""}
BLOCKS = _PARAGRAPH | _set(
    "th li dt h1 h2 h3 h4 h5 h6 figcaption nav footer aside html body div section article main header form table thead "
    "tbody tfoot tr ul ol dl figure details summary fieldset address center hr caption hgroup"
)


@dataclass(eq=False)
class Element:
    """An element of a page, or a piece of text (then `tag` is "")."""

    tag: str
    text: str = ""
    above: Element | None = None
    about: str = ""
    """Its class, id and role, in lower case."""
    inside: list[Element] = field(default_factory=list)
    length: int = 0
    linked: int = 0
    commas: int = 0
    own: int = 0
    """How much text stands in it that is in no block below it, and is no link."""
    prose: int = 0
    """How much of such text is in it and in all below it, as far as it is in paragraphs."""
    parted: bool = False
    """Whether there are blocks in it."""

    @property
    def density(self) -> float:
        """Which part of its text is links."""
        return self.linked / self.length if self.length else 0.0

    def all(self) -> Iterator[Element]:
        """Itself and all below it, in the order of the page."""
        stack = [self]
        while stack:
            element = stack.pop()
            yield element
            stack.extend(reversed(element.inside))


def measured(root: Element) -> None:
    """Add up how much text is below each element."""
    for element in reversed(list(root.all())):
        if not element.tag:
            element.length = len(" ".join(element.text.split()))
            element.commas = sum(element.text.count(mark) for mark in ",،、，")
            continue
        element.length = element.linked = element.commas = element.own = element.prose = 0
        for each in element.inside:
            element.length += each.length
            element.linked += each.linked
            element.commas += each.commas
            element.prose += each.prose
            if each.tag in BLOCKS or each.parted:
                element.parted = True
            else:
                element.own += each.length - each.linked
        if element.tag == "a":
            element.linked = element.length
        if element.tag in _OF_PROSE and element.own >= SENTENCE:
            element.prose += element.own


def named(classes: str) -> str:
    """The class and id of an element, so that their words can be told apart."""
    return _CAMEL.sub(r"\1-\2", classes).lower().replace("_", "-")


def main_text(body: Element) -> Element:
    """The element that holds the text of a page; what is none of the text is taken out of it."""
    measured(body)
    _take_out_asides(body)
    measured(body)
    for wanted in ("main", "article"):
        marked = [each for each in body.all() if each.tag == wanted or (wanted == "main" and "role=main" in each.about)]
        if marked and 2 * (most := max(marked, key=lambda each: each.prose)).prose > body.prose:
            return _densest(most)
    return _densest(body)


def _take_out_asides(body: Element) -> None:
    """Drop what says of itself that it is not the text, unless most of the text is in it."""
    stack = [body]
    while stack:
        element = stack.pop()
        element.inside = [each for each in element.inside if not _is_aside(each, body)]
        stack += element.inside


def _is_aside(element: Element, body: Element) -> bool:
    if element.tag in _NEVER_ASIDE or 3 * element.prose > body.prose > 0:
        return False
    if element.tag in ("nav", "footer", "aside"):
        return True
    return bool(_ASIDE.search(element.about)) and not _TEXT.search(_ASIDE.sub("", element.about))


def _densest(body: Element) -> Element:
    """The element below this one under which most paragraphs stand; this one if there are no paragraphs."""
    scores: dict[Element, float] = {}
    for element in body.all():
        if element.tag not in _OF_PROSE or element.own < SENTENCE:
            continue
        score = 1 + element.commas * element.own / element.length + min(element.own / 100, 3)
        above = element.above if element.tag in _PARAGRAPH else element
        for share in (1.0, 0.5, 0.2, 0.15):
            if above is None:
                break
            scores[above] = scores.get(above, 0.0) + score * share
            if above is body:
                break
            above = above.above
    best = max(scores, key=lambda each: scores[each] * (1 - each.density), default=body)
    # One that stands above it and has much more of the text is the better one: a text in several sections.
    while best is not body and best.above is not None and best.prose < LEAST * body.prose:
        best = best.above
    return best


def is_list_of_links(element: Element) -> bool:
    """Whether a block within the text is only there to lead elsewhere."""
    return element.length > 0 and element.density > 0.6 and element.commas < 10
