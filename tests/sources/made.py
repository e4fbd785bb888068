"""Files of other programs, made by hand: a PDF and a Word document are little more than text in an envelope."""

from __future__ import annotations

import io
import zipfile

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(pages: list[str], outline: list[tuple[str, int]] = (), info: str = "") -> bytes:
    """A PDF with these texts; `outline` names pages, counted from 0."""
    objects: dict[int, str] = {}
    first = 10
    for number, text in enumerate(pages):
        lines = "".join(f"({line}) Tj 0 -14 Td " for line in text.split("\n"))
        stream = f"BT /F1 12 Tf 72 720 Td {lines}ET"
        objects[first + 2 * number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {first + 2 * number + 1} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects[first + 2 * number + 1] = f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream"
    kids = " ".join(f"{first + 2 * number} 0 R" for number in range(len(pages)))
    marks = first + 2 * len(pages)
    objects[1] = f"<< /Type /Catalog /Pages 2 0 R{' /Outlines 4 0 R' if outline else ''} >>"
    objects[2] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"
    objects[3] = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects[5] = f"<< {info} >>"
    if outline:
        objects[4] = f"<< /Type /Outlines /First {marks} 0 R /Last {marks + len(outline) - 1} 0 R >>"
        for number, (title, page) in enumerate(outline):
            following = f"/Next {marks + number + 1} 0 R" if number + 1 < len(outline) else ""
            target = f"[{first + 2 * page} 0 R /Fit]"
            objects[marks + number] = f"<< /Title ({title}) /Parent 4 0 R /Dest {target} {following} >>"
    made = b"%PDF-1.4\n"
    places = {}
    for number, text in sorted(objects.items()):
        places[number] = len(made)
        made += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    table = len(made)
    made += b"xref\n0 1\n0000000000 65535 f \n"
    for number, place in places.items():
        made += f"{number} 1\n{place:010} 00000 n \n".encode()
    size = max(objects) + 1
    return made + f"trailer\n<< /Size {size} /Root 1 0 R /Info 5 0 R >>\nstartxref\n{table}\n%%EOF".encode()


def docx(body: str, styles: str = "", core: str = "", document: bytes | None = None) -> bytes:
    """A Word document with this inside of its body, and of its styles."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/styles.xml", f"<w:styles {W}>{styles}</w:styles>")
        if core:
            archive.writestr("docProps/core.xml", core)
        text = document if document is not None else f"<w:document {W}><w:body>{body}</w:body></w:document>".encode()
        archive.writestr("word/document.xml", text)
    return made.getvalue()


def paragraph(text: str, style: str = "", more: str = "") -> str:
    """A paragraph of a Word document."""
    styled = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{styled}{more}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def table(rows: list[list[str]]) -> str:
    """A table of a Word document."""
    cells = ("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"
