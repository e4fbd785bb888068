"""What other chat programs write of a conversation, as a `Conversation`: ChatGPT, Claude, SillyTavern, and messages
with a role and a text, however these are spelled.

Where a conversation was taken up again from an earlier point, only the branch that was last shown is read. Knows
nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from memagent.messages import storable
from memagent.sources import Conversation, Said, Unreadable
from memagent.sources.when import time_of

Record = Mapping[str, Any]
Role = Literal["user", "assistant"]

_USERS = frozenset({"user", "human", "you", "me", "prompter", "customer"})
_ASSISTANTS = frozenset({"assistant", "ai", "bot", "model", "gpt", "chatgpt", "claude", "char", "character", "agent"})
_SILENT = frozenset({"system", "tool", "function", "developer"})

_ROLES = ("role", "sender", "from", "author", "speaker", "type")
_TEXTS = ("content", "text", "message", "value", "mes", "body")
_TIMES = ("time", "timestamp", "created_at", "created", "date", "create_time", "when", "ts", "send_date", "datetime")
_IDS = ("id", "uuid", "message_id")
_LISTS = ("messages", "conversation", "conversations", "chat", "turns", "dialog", "dialogue")
_CHAT_IDS = ("conversation_id", "conversation", "chat_id", "chat", "session_id", "session", "thread_id", "thread")

Read = Callable[[Record, str, str], Conversation]
"""Makes a conversation of what was written, a place that names it if it has no name itself, and who the user is."""


def reader_of(record: Any) -> Read | None:
    """What reads a record that is a whole conversation; None if it is none."""
    if not isinstance(record, Mapping):
        return None
    if isinstance(record.get("mapping"), Mapping):
        return chatgpt
    if isinstance(record.get("chat_messages"), list):
        return claude
    if _list_in(record) is not None:
        return with_messages
    return None


def stamp_of(record: Record) -> str:
    """What changes when a conversation goes on."""
    return _first(record, ("update_time", "updated_at", "updated"))


def place_of(record: Record) -> str:
    """The name that a conversation has in its own program; "" if it has none."""
    return _first(record, ("conversation_id", "id", "uuid"))


def chatgpt(record: Record, place: str, user: str) -> Conversation:  # noqa: ARG001 - it says itself who that is
    """A conversation of ChatGPT: a tree, of which the branch to the node shown last is read."""
    mapping = record["mapping"]
    said = []
    for node in _branch(mapping, str(record.get("current_node") or "")):
        message = node.get("message")
        if isinstance(message, Mapping) and (found := _of_chatgpt(message)):
            said.append(found)
    return _conversation(place_of(record) or place, record.get("title"), said, "ChatGPT")


def _branch(mapping: Mapping[str, Any], last: str) -> list[Record]:
    """The nodes from the first to this one; to the newest if there is no such one."""
    nodes = {str(key): node for key, node in mapping.items() if isinstance(node, Mapping)}
    if last not in nodes:
        leaves = [key for key, node in nodes.items() if not node.get("children")]
        last = max(leaves, key=lambda key: _seconds(nodes[key]), default="")
    found: dict[str, Record] = {}
    while last in nodes and last not in found:  # the second: a circle, which no program writes
        found[last] = nodes[last]
        last = str(nodes[last].get("parent") or "")
    return list(found.values())[::-1]


def _seconds(node: Record) -> float:
    message = node.get("message")
    when = message.get("create_time") if isinstance(message, Mapping) else None
    return float(when) if isinstance(when, (int, float)) else 0.0


def _of_chatgpt(message: Record) -> Said | None:
    author, content = message.get("author"), message.get("content")
    about = message.get("metadata") or {}
    if not isinstance(author, Mapping) or not isinstance(content, Mapping) or not isinstance(about, Mapping):
        return None
    role = _role(author.get("role"))
    hidden = about.get("is_visually_hidden_from_conversation") or message.get("weight") == 0
    if role is None or hidden or message.get("recipient", "all") not in ("all", None):  # a call of one of its tools
        return None
    if content.get("content_type") not in ("text", "multimodal_text", None):
        return None
    text = _text(content.get("parts"))
    return _said(role, text, when=message.get("create_time"), place=message.get("id"))


def claude(record: Record, place: str, user: str) -> Conversation:  # noqa: ARG001 - it says itself who that is
    """A conversation of Claude."""
    messages = [each for each in record["chat_messages"] if isinstance(each, Mapping)]
    by_id = {str(each.get("uuid")): each for each in messages}
    if messages and all(each.get("parent_message_uuid") for each in messages):
        last = str(record.get("current_leaf_message_uuid") or messages[-1].get("uuid"))
        shown: dict[str, Record] = {}
        while last in by_id and last not in shown:
            shown[last] = by_id[last]
            last = str(by_id[last]["parent_message_uuid"])
        messages = list(shown.values())[::-1]
    said = []
    for message in messages:
        role = _role(message.get("sender"))
        text = _text(message.get("content")) or _text(message.get("text"))
        files = [*_mappings(message.get("attachments")), *_mappings(message.get("files"))]
        names = [str(each["file_name"]) for each in files if each.get("file_name")]
        if names:
            text = f"{text}\n\n[attached: {', '.join(names)}]".strip()
        if role and (found := _said(role, text, when=message.get("created_at"), place=message.get("uuid"))):
            said.append(found)
    return _conversation(place_of(record) or place, record.get("name"), said, "Claude")


def sillytavern(lines: Sequence[Any], place: str) -> Conversation:
    """A chat of SillyTavern: a line about it, then one for each message."""
    head = lines[0] if isinstance(lines[0], Mapping) else {}
    said = []
    for number, line in enumerate(lines[1:], 2):
        if isinstance(line, Mapping) and not line.get("is_system"):
            role: Role = "user" if line.get("is_user") else "assistant"
            name = str(line.get("name") or "")
            if found := _said(role, _text(line.get("mes")), name, line.get("send_date"), f"line {number}"):
                said.append(found)
    about = head.get("chat_metadata")
    own = about.get("integrity") if isinstance(about, Mapping) else None
    return _conversation(str(own or place), head.get("character_name") or place, said, "SillyTavern")


def is_sillytavern(first: Any) -> bool:
    """Whether a file's first line says that it is a chat of SillyTavern."""
    return isinstance(first, Mapping) and "user_name" in first and "character_name" in first


def with_messages(record: Record, place: str, user: str) -> Conversation:
    """An object with a list of messages."""
    messages = _list_in(record) or []
    return of_messages(messages, place_of(record) or place, user, _first(record, ("title", "name")))


def of_messages(messages: Iterable[Any], place: str, user: str, title: str = "") -> Conversation:
    """A list of messages with a role and a text. `user` is the name of the user, where names stand instead of roles."""
    said = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping):
            continue
        who = next((message[key] for key in _ROLES if isinstance(message.get(key), (str, Mapping))), None)
        who = _first(who, ("role", "name")) if isinstance(who, Mapping) else str(who or "")
        role = _role(who, user)
        if role is None:
            if who.lower() in _SILENT or not who:
                continue
            raise Unreadable(f"does not say whether {who!r} is the user", hint="Say which name is yours.")
        text = next((text for key in _TEXTS if (text := _text(message.get(key)))), "")
        when = next((message[key] for key in _TIMES if message.get(key)), None)
        name = str(message.get("name") or ("" if who.lower() in _USERS | _ASSISTANTS else who))
        if found := _said(role, text, name, when, _first(message, _IDS) or f"message {number}"):
            said.append(found)
    return _conversation(place, title, said)


def groups(lines: Iterable[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Messages in lines, those of one conversation together; "" names that of all that do not say where they belong."""
    found: dict[str, list[Any]] = {}
    for line in lines:
        found.setdefault(_first(line, _CHAT_IDS) if isinstance(line, Mapping) else "", []).append(line)
    yield from found.items()


# Pieces --------------------------------------------------------------------------------------------------------------


def _conversation(place: str, title: Any, said: list[Said], program: str = "") -> Conversation:
    if not said:
        raise Unreadable("has no messages")
    return Conversation(storable(place), storable(" ".join(str(title or "").split())), tuple(said), program)


def _said(role: Role, text: str, name: str = "", when: Any = None, place: Any = "") -> Said | None:
    text = storable(text).strip()
    return Said(role, text, storable(name.strip()), time_of(when), storable(str(place or ""))) if text else None


def _role(who: Any, user: str = "") -> Role | None:
    name = str(who or "").strip().lower()
    if user and name not in _USERS | _ASSISTANTS | _SILENT:
        return "user" if name == user.strip().lower() else "assistant" if name else None
    return "user" if name in _USERS else "assistant" if name in _ASSISTANTS else None


def _text(content: Any) -> str:
    """The text of a message: itself, or of its pieces, of which those that are no text are named."""
    if isinstance(content, str):
        return content
    pieces = content if isinstance(content, list) else [content]
    found = []
    for piece in pieces:
        if isinstance(piece, str):
            found.append(piece)
        elif isinstance(piece, Mapping):
            kind = str(piece.get("type") or piece.get("content_type") or "text")
            text = piece.get("text")
            if isinstance(text, str) and kind in ("text", "input_text", "output_text", "audio_transcription"):
                found.append(text)
            elif "image" in kind:
                found.append("[image]")
            elif isinstance(piece.get("parts"), list):
                found += [each for each in piece["parts"] if isinstance(each, str)]
    return "\n\n".join(each.strip() for each in found if each.strip())


def _list_in(record: Record) -> list[Any] | None:
    """The messages in an object, if it has such a list."""
    for key in _LISTS:
        messages = record.get(key)
        if isinstance(messages, list) and messages and isinstance(messages[0], Mapping):
            return messages
    return None


def _first(record: Any, keys: Iterable[str]) -> str:
    return next(
        (str(record[key]) for key in keys if isinstance(record.get(key), (str, int, float)) and record[key]), ""
    )


def _mappings(value: Any) -> list[Record]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
