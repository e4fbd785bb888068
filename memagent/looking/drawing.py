"""Pictures as SVG: a graph as a tree that grows to the right, and what held when as bars over time.

A picture is one file without scripts, fonts or anything else from elsewhere, and is light or dark as its reader's
screen is. Knows nothing of where what it shows comes from.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from unicodedata import east_asian_width

from memagent.log import plain_to_see
from memagent.looking.graph import Branch, Graph, Node, tree, walk
from memagent.looking.timeline import Span

STYLE = """
.drawn{--ink:#1f2328;--muted:#656d76;--line:#b9c1c9;--paper:#ffffff;--user:#0969da;--self:#8250df;--person:#1a7f37;
--subject:#9a6700;font:13px system-ui,-apple-system,"Segoe UI",sans-serif;background:var(--paper)}
@media (prefers-color-scheme:dark){.drawn{--ink:#e6edf3;--muted:#8d96a0;--line:#4a525b;--paper:#0d1117;--user:#58a6ff;
--self:#bc8cff;--person:#3fb950;--subject:#d29922}}
.drawn text{fill:var(--ink)}.drawn .muted{fill:var(--muted);font-size:11px;paint-order:stroke;stroke:var(--paper);
stroke-width:4px}.drawn path{fill:none;stroke:var(--line);stroke-width:1.4}.drawn .other{stroke-dasharray:4 4}
.drawn .box{fill-opacity:.13;stroke-width:1.4}.drawn .user{fill:var(--user);stroke:var(--user)}
.drawn .self{fill:var(--self);stroke:var(--self)}.drawn .person{fill:var(--person);stroke:var(--person)}
.drawn .subject{fill:var(--subject);stroke:var(--subject)}.drawn .past{fill:var(--muted);stroke:var(--muted)}
.drawn .grid{stroke:var(--line);stroke-width:.6}
"""
ROW = 34
HALF = 12
LETTER = 7.3
"""About how wide a letter is; one that fills a square, such as a Chinese one, is twice that."""
LONGEST = 34
GAP = 46
LABELLED = 30
"""With more dashed lines than that, what they say would only hide them; the page beside the picture says it."""


def picture_of_graph(graph: Graph) -> str:
    """A graph as a tree that begins with the user, at the left; what else is connected, by dashed lines."""
    root, others = tree(graph)
    columns = list(_columns([root]))
    left = 16.0
    at: dict[str, tuple[float, float]] = {}
    lines, boxes = list[str](), list[str]()
    rows = _rows(root)
    for column in columns:
        left += max(_width(clipped(one.label, LONGEST)) * 0.85 for one in column) + (GAP if at else 0)
        for one in column:
            at[one.node.key] = (left, 20 + HALF + rows[one.node.key] * ROW)
            boxes.append(_box(one.node, *at[one.node.key]))
        left += max(_width(_named(one.node)) + 16 for one in column)
    for one in walk(root):
        lines += [_line(at, one.node, below) for below in one.branches]
    for edge in others:
        (x1, y1), (x2, y2) = at[edge.begin], at[edge.end]
        x1, x2 = x1 + _width(_named(graph.nodes[edge.begin])) + 16, x2 + _width(_named(graph.nodes[edge.end])) + 16
        bend = max(x1, x2) + 40
        lines.append(
            f'<path class="other" d="M{x1:.0f} {y1:.0f}C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"/>'
        )
        if len(others) <= LABELLED:
            lines.append(_muted(edge.label, bend - 14, (y1 + y2) / 2 + 4, "start"))
    tall = 40 + 2 * HALF + max(rows.values()) * ROW
    room = max((_width(clipped(edge.label, LONGEST)) for edge in others), default=0) + (60 if others else 16)
    return _svg(left + room, tall, [*lines, *boxes], "Who and what is connected")


def _columns(level: Sequence[Branch]) -> Iterator[Sequence[Branch]]:
    while level:
        yield level
        level = [below for one in level for below in one.branches]


def _rows(root: Branch) -> dict[str, float]:
    """In which row each node stands: one without branches has its own, any other is in the middle of its branches."""
    rows: dict[str, float] = {}
    free = 0

    def place(branch: Branch) -> float:
        nonlocal free
        if branch.branches:
            below = [place(one) for one in branch.branches]
            rows[branch.node.key] = (below[0] + below[-1]) / 2
        else:
            rows[branch.node.key] = free
            free += 1
        return rows[branch.node.key]

    place(root)
    return rows


def _line(at: dict[str, tuple[float, float]], above: Node, below: Branch) -> str:
    x1, y1 = at[above.key]
    x2, y2 = at[below.node.key]
    x1 += _width(_named(above)) + 16
    middle = x1 + GAP / 2
    curve = f"M{x1:.0f} {y1:.0f}C{middle:.0f} {y1:.0f} {x1:.0f} {y2:.0f} {x1 + GAP:.0f} {y2:.0f}L{x2:.0f} {y2:.0f}"
    return f'<path d="{curve}"/>{_muted(below.label, x2 - 6, y2 - 4, "end")}'


def _box(node: Node, x: float, y: float) -> str:
    wide = _width(_named(node)) + 16
    shape = (
        f'<rect class="box {node.kind}" x="{x:.0f}" y="{y - HALF:.0f}" width="{wide:.0f}" height="{2 * HALF}" rx="6"/>'
    )
    return f"<g>{shape}{_text(_named(node), x + 8, y + 4.5)}<title>{plain(node.label)}</title></g>"


def _named(node: Node) -> str:
    return clipped(node.label, LONGEST) + (f" ×{node.count}" if node.count > 1 else "")


# Over time ------------------------------------------------------------------------------------------------------------

LABELS = 300.0
BARS = 500.0
TICKS = 6


@dataclass(frozen=True)
class _Scale:
    """Days as places from left to right."""

    first: int
    last: int

    def x(self, day: int) -> float:
        return LABELS + BARS * (min(max(day, self.first), self.last) - self.first) / max(self.last - self.first, 1)


def picture_of_spans(spans: Sequence[Span], today: date) -> str:
    """What held when: a bar for each, which is open to the right where it holds still."""
    begins = [_day(span.begin) for span in spans]
    ends = [_day(span.end, last=True) if span.end else today.toordinal() for span in spans]
    scale = _Scale(min([today.toordinal(), *begins]), max([today.toordinal(), *begins, *ends]))
    tall = 44 + ROW * 0.75 * len(spans)
    drawn = []
    for day in sorted({scale.first + (scale.last - scale.first) * number // (TICKS - 1) for number in range(TICKS)}):
        x = scale.x(day)
        drawn.append(f'<path class="grid" d="M{x:.0f} 30V{tall - 8:.0f}"/>')
        drawn.append(_muted(date.fromordinal(day).isoformat(), x, 20, "middle"))
    for number, (span, begin, end) in enumerate(zip(spans, begins, ends, strict=True)):
        drawn.append(_bar(span, scale.x(begin), scale.x(max(begin, end)), 44 + ROW * 0.75 * number))
    return _svg(LABELS + BARS + 44, tall, drawn, "What held when")


def _bar(span: Span, begin: float, end: float, y: float) -> str:
    kind = "past" if span.fact.state != "holds" else "self" if span.fact.kind == "event" else "person"
    label = _text(clipped(span.fact.text, 39), LABELS - 12, y + 4.5, "end")
    if span.fact.kind == "event":
        shape = f'<circle class="box {kind}" cx="{begin:.1f}" cy="{y:.1f}" r="5"/>'
    else:
        shape = (
            f'<rect class="box {kind}" x="{begin:.1f}" y="{y - 6:.1f}" width="{max(end - begin, 3):.1f}" '
            'height="12" rx="4"/>'
        )
    until = span.end or "today"
    return f"<g>{label}{shape}<title>{plain(span.fact.text)} ({plain(span.begin)} – {plain(until)})</title></g>"


def _day(text: str, *, last: bool = False) -> int:
    """A day, month or year as the number of its first or last day."""
    known = text[:10]
    missing = ("-12-31" if last else "-01-01")[len(known) - len("2026") :]
    year, month, day = map(int, f"{known}{missing}".split("-"))
    return date(year, month, min(day, calendar.monthrange(year, month)[1])).toordinal()


# Pieces ---------------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Somebody's text as it may stand in a picture: on one line, nothing of it a mark, nothing hidden."""
    return escape(plain_to_see(" ".join(text.split())))


def clipped(text: str, most: int) -> str:
    """The beginning of a text, on one line, as much as fits into the room of so many letters."""
    line, room = plain_to_see(" ".join(text.split())), most * LETTER
    if _width(line) <= room:
        return line
    kept = ""
    for char in line:
        if _width(f"{kept}{char}…") > room:
            break
        kept += char
    return f"{kept.rstrip()}…"


def _width(text: str) -> float:
    return sum(LETTER * (1.8 if east_asian_width(char) in "WF" else 1) for char in text)


def _text(text: str, x: float, y: float, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _muted(text: str, x: float, y: float, anchor: str) -> str:
    if not text:
        return ""
    said = escape(clipped(text, LONGEST))
    return f'<text class="muted" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{said}</text>'


def _svg(wide: float, tall: float, pieces: Sequence[str], title: str) -> str:
    size = f'width="{wide:.0f}" height="{tall:.0f}" viewBox="0 0 {wide:.0f} {tall:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="drawn" {size} role="img">'
    paper = f'<rect width="{wide:.0f}" height="{tall:.0f}" style="fill:var(--paper)"/>'
    return "\n".join([head, f"<title>{plain(title)}</title>", f"<style>{STYLE}</style>", paper, *pieces, "</svg>\n"])
