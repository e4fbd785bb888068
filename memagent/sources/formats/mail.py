"""E-mail: single messages and mailboxes. Who wrote to whom, when, what, and the names of what is attached.

Knows nothing of files.
"""

from __future__ import annotations

import email.policy
import re
from collections.abc import Iterator
from datetime import datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from memagent.sources import Document, Part, Unreadable
from memagent.sources.decode import encoding_named, text_of
from memagent.sources.formats import html

LONGEST_HEADING = 200
_SHOWN = ("From", "To", "Cc", "Date")
_BEGIN = re.compile(rb"^From [^\r\n]*\d\d:\d\d[^\r\n]*\r?\n", re.M)


def document(data: bytes, name: str) -> Document:
    """One message."""
    message = _parsed(data)
    parts = tuple(_parts(message))
    if not message.keys() or not parts:
        raise Unreadable("is no e-mail")
    return Document(_header(message, "Subject") or name, parts, when=_date(message))


def mailbox(data: bytes, name: str) -> Document:
    """All messages of a mailbox."""
    begins = [found.span() for found in _BEGIN.finditer(data)]
    if not begins:
        raise Unreadable("is no mailbox")
    ends = [begin for begin, _ in begins[1:]] + [len(data)]
    parts: list[Part] = []
    for (_, start), end in zip(begins, ends, strict=True):
        parts += _parts(_parsed(data[start:end].replace(b"\n>From ", b"\nFrom ")))
    return Document(name, tuple(parts))


def _parsed(data: bytes) -> EmailMessage:
    try:
        return BytesParser(EmailMessage, policy=email.policy.default).parsebytes(data)
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    except (MessageError, ValueError, LookupError, AttributeError, IndexError, TypeError) as error:
        # What the library itself trips over, in headers that nobody should write.
        raise Unreadable(f"is a broken e-mail: {error}") from error


def _parts(message: EmailMessage) -> Iterator[Part]:
    lines = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    subject = _header(message, "Subject") or "(no subject)"
    body, attached = _body(message)
    if attached:
        lines.append(f"Attached: {', '.join(attached)}")
    if not lines and not body.strip():
        return
    text = "\n".join([f"Subject: {subject}", *lines]) + f"\n\n{body.strip()}"
    when = _date(message)
    yield Part(text, (f"{subject[:LONGEST_HEADING]}{f' ({when:%Y-%m-%d})' if when else ''}",))


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except (ValueError, LookupError, AttributeError, IndexError, TypeError, MessageError):
        return ""  # one broken header is no reason to lose the message


def _date(message: EmailMessage) -> datetime | None:
    try:
        found = parsedate_to_datetime(_header(message, "Date"))
        return found if found.tzinfo else found.astimezone()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _body(message: EmailMessage) -> tuple[str, list[str]]:
    """The text, the plain one if there are several, and the names of the attachments."""
    try:
        body = message.get_body(("plain", "html"))
        attached = [str(part.get_filename() or part.get_content_type()) for part in message.iter_attachments()]
    except (ValueError, LookupError, AttributeError, IndexError, TypeError, MessageError):
        return "", []
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    attached = [" ".join(name.split())[:LONGEST_HEADING] for name in attached]
    if body is None:
        return "", attached
    raw = body.get_payload(decode=True)
    data = raw if isinstance(raw, bytes) else b""
    charset = str(body.get_content_charset() or "")
    if body.get_content_subtype() == "html":
        try:
            return "\n\n".join(part.text for part in html.document(data, "", charset).parts), attached
        except Unreadable:
            return "", attached
    try:
        return text_of(data, encoding_named(charset)), attached
    except Unreadable:
        return "", attached
