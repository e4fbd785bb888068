"""A sheet as one HTML file: no scripts, nothing from elsewhere, light or dark as its reader's screen is.

Whatever somebody wrote stays text. Knows nothing of what a sheet tells.
"""

from __future__ import annotations

import re
from html import escape

from memagent.log import harmless
from memagent.looking import Line, Section, Sheet

MADE_BY = '<meta name="generator" content="memagent">'
PICTURE = 'class="drawn"'
"""What a picture of ours says at its beginning."""
LINKS = 16
"""So many sections get links above the first."""
OPEN = 40
"""A section with more lines is folded at first."""

_STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--muted:#656d76;--line:#d8dee4;--paper:#fff;--mark:#0969da}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--muted:#8d96a0;--line:#30363d;--paper:#0d1117;--mark:#58a6ff}}
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);background:var(--paper);
max-width:54rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:0}h1+p{margin:.2rem 0 1.2rem}p,.aside,.note{color:var(--muted)}
nav{margin:0 0 1.5rem}nav a{color:var(--mark);margin-right:1rem;text-decoration:none}
section,details{border-top:1px solid var(--line);padding:.6rem 0}
h2,summary{font-size:1.1rem;font-weight:600;margin:.2rem 0 .4rem}summary{cursor:pointer}
ul{list-style:none;margin:0;padding:0}li{padding:.1rem 0;white-space:pre-wrap}
.mark{color:var(--mark);margin-right:.8rem;font-variant-numeric:tabular-nums}.aside{font-size:.88em;margin-left:.8rem}
.picture{overflow-x:auto;margin-bottom:1rem}.picture svg{display:block}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"


def page(sheet: Sheet) -> str:
    """A whole file."""
    titles = [(f"s{number}", _short(section.title)) for number, section in enumerate(sheet.sections)]
    links = "".join(f'<a href="#{anchor}">{_text(title)}</a>' for anchor, title in titles)
    body = [
        f"<h1>{_text(sheet.title)}</h1>",
        f"<p>{_text(sheet.about)}</p>",
        f"<nav>{links}</nav>" if 1 < len(titles) <= LINKS else "",
        f'<div class="picture">{sheet.picture}</div>' if sheet.picture else "",
        *(_section(f"s{number}", section) for number, section in enumerate(sheet.sections)),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MADE_BY}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(sheet.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def made_by_us(begin: bytes) -> bool:
    """Whether a file that begins so is a page or picture of ours, or empty."""
    return not begin.strip() or MADE_BY.encode() in begin or PICTURE.encode() in begin


def _section(anchor: str, section: Section) -> str:
    lines = "\n".join(_line(line) for line in section.lines)
    note = f'<p class="note">{_text(section.note)}</p>' if section.note else ""
    if len(section.lines) > OPEN:
        title = f"{_text(section.title)} ({len(section.lines)} lines)"
        return f'<details id="{anchor}"><summary>{title}</summary>{note}<ul>{lines}</ul></details>'
    return f'<section id="{anchor}"><h2>{_text(section.title)}</h2>{note}<ul>{lines}</ul></section>'


def _line(line: Line) -> str:
    mark = f'<span class="mark">{_text(line.mark)}</span>' if line.mark else ""
    aside = f'<span class="aside">{_text(line.aside)}</span>' if line.aside else ""
    indent = f' style="padding-left:{min(line.depth, 12) * 1.4:.1f}rem"' if line.depth else ""
    return f"<li{indent}>{mark}{_text(line.text)}{aside}</li>"


def _text(text: str) -> str:
    """Somebody's text: nothing in it is a mark of HTML, or turns its direction round."""
    return escape(harmless(text))


def _short(title: str) -> str:
    return re.split(r"  \(", title)[0]
