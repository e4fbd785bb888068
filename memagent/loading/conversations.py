"""Brings conversations with other programs into an agent's recall memory, as if they had been had with it.

A conversation is known again by where it is from, its title and its beginning, so that an export that is loaded twice
is there once, and a longer one adds what is new. All that is needed for that stands in the agent's own log: so it goes
where the agent goes, and with it. Knows nothing of how exports are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count as counted

from memagent.errors import EmbeddingError, MissingExtra
from memagent.loading import Came, CatchingUp, Embedded, Event, Outcome, Told
from memagent.messages import Kind, Message, estimate, storable
from memagent.persistence import PersistenceManager
from memagent.sources import Conversation, ConversationReader, Said, Unreadable
from memagent.storage import Database, Transaction

MOST = 1000
"""So many messages are stored together, or as many as one conversation has."""
AT_ONCE = 512
"""Messages that the embedder is given together."""
LONGEST_TITLE = 120
_BEGINNING = 3
"""So many messages at the beginning are looked at to know a conversation again."""


def bring_in(
    state: PersistenceManager, reader: ConversationReader, program: str = "", *, only_look: bool = False
) -> Iterator[Event]:
    """Load what there is. What comes of a conversation is told when it is stored; `program` is where it was had, where
    the export does not say so. With `only_look`, nothing is stored.
    """
    pending: list[tuple[str, Conversation]] = []
    size = new = 0
    for item in reader.conversations():
        place = storable(item.place)
        try:
            conversation = item.read()
        except (Unreadable, MissingExtra) as error:
            yield Came(place, "unreadable", reason=str(error))
            continue
        pending.append((place, replace(conversation, program=conversation.program or program)))
        size += len(conversation.said)
        if size >= MOST or only_look:
            new += yield from _carried_out(state, pending, only_look)
            pending, size = [], 0
    new += yield from _carried_out(state, pending, only_look)
    if not only_look:
        yield from _embedded(state, new)


def _embedded(state: PersistenceManager, new: int) -> Iterator[Event]:
    """Give what was said its vectors: what is new, and what an earlier load did not come to."""
    try:
        left, brought_in = state.recall.waiting()
        if left:
            yield CatchingUp(left, max(0, brought_in - new))
        while count := state.recall.catch_up(AT_ONCE):
            yield Embedded(count)
    except EmbeddingError as error:
        yield Told(f"Messages are found by their words for now: {error} Later, give: memagent reindex")


def _carried_out(
    state: PersistenceManager, pending: Sequence[tuple[str, Conversation]], only_look: bool
) -> Generator[Came, None, int]:
    """What comes of each; returns how many messages are new."""
    now, new = state.clock(), 0
    if only_look:
        yield from (_told(item, *_new(state, state.database, each, now)[1:]) for item, each in pending)
    elif pending:
        with state.alone() as tx:
            told = [_bring_in(state, tx, item, conversation, now) for item, conversation in pending]
        new = sum(each.passages for each in told)
        yield from told
    return new


def _bring_in(state: PersistenceManager, tx: Transaction, item: str, conversation: Conversation, now: datetime) -> Came:
    place, new, known = _new(state, tx, conversation, now)
    if new:
        state.log.bring_in(tx, new, place)
    return _told(item, new, known)


def _told(item: str, new: Sequence[Message], known: int) -> Came:
    outcome: Outcome = "unchanged" if not new else "changed" if known else "new"
    return Came(item, outcome, len(new), sum(estimate(message.said) for message in new))


def _new(
    state: PersistenceManager, reader: Database | Transaction, conversation: Conversation, now: datetime
) -> tuple[str, list[Message], int]:
    """What of a conversation is new, at which place it belongs, and how much of it is there already."""
    messages = _messages(conversation, now)
    place, known = _known(state, reader, conversation, messages)
    there = Counter(_key(message) for message in known)
    new = []
    for message in messages:
        if there[key := _key(message)]:
            there[key] -= 1
        else:
            new.append(message)
    return place, new, len(known)


def _known(
    state: PersistenceManager, reader: Database | Transaction, conversation: Conversation, messages: Sequence[Message]
) -> tuple[str, Sequence[Message]]:
    """At which place a conversation stands or will stand, and what of it is there. Others may have its title."""
    title = " ".join(storable(conversation.title).split())[:LONGEST_TITLE] or "without a title"
    begin = f"{storable(conversation.program)} › {title}" if conversation.program else title
    dated = {_key(m): said.when is not None for m, said in zip(messages, _spoken(conversation), strict=True)}
    for number in counted(1):
        place = begin + (f" ({number})" if number > 1 else "")
        known = state.log.brought_in(reader, place)
        if not known or _same(known, messages, dated):
            return place, known
    raise AssertionError


def _same(known: Sequence[Message], messages: Sequence[Message], dated: dict[tuple[str, str], bool]) -> bool:
    """Whether what is there is of the same conversation: both begin with the same message, said at the same time if
    that is told.
    """
    return any(
        _key(one) == _key(two) and (not dated[_key(two)] or one.created == two.created)
        for one in known[:_BEGINNING]
        for two in messages[:_BEGINNING]
    )


def _key(message: Message) -> tuple[str, str]:
    return message.role, message.said


def _spoken(conversation: Conversation) -> list[Said]:
    return [said for said in conversation.said if storable(said.text).strip()]


def _messages(conversation: Conversation, now: datetime) -> list[Message]:
    """What was said as messages; what has no time of its own was said when what is before or after it was."""
    spoken = _spoken(conversation)
    last = next((said.when for said in spoken if said.when), now)
    messages = []
    for said in spoken:
        last = said.when or last
        created = last if last.tzinfo else last.astimezone()
        kind: Kind = "user" if said.role == "user" else "answer"
        words = storable(said.text).strip()
        messages.append(Message(said.role, kind, "", created, words, name=storable(said.name) or None))
    return messages
