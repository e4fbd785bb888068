"""Who and what is connected in an agent's memory: the user, the agent, persons, and what facts tell of.

Knows nothing of how that is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from memagent.facts import SELF, USER
from memagent.facts.people import relations
from memagent.facts.records import Record, folded, same
from memagent.looking import Line, Section, Sheet, Sight
from memagent.storage import marked

PEOPLE = 40
SUBJECTS = 60
YOU = "You"


@dataclass(frozen=True)
class Node:
    """Somebody or something. `count` is how many facts there are of it."""

    key: str
    label: str
    kind: Literal["user", "self", "person", "subject"]
    count: int = 0


@dataclass(frozen=True)
class Edge:
    """A connection: what `end` is to `begin`, if that is known."""

    begin: str
    end: str
    label: str = ""


@dataclass
class Graph:
    """Nodes by key, the user first; and edges. `left` says what there is no room for."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    left: str = ""

    def add(self, node: Node) -> str:
        """Put a node there, if it is not there already; returns its key."""
        self.nodes.setdefault(node.key, node)
        return node.key

    def connect(self, begin: str, end: str, label: str = "") -> None:
        """Put an edge there, if there is none yet between these two this way round."""
        if begin != end and not any((one.begin, one.end) == (begin, end) for one in self.edges):
            self.edges.append(Edge(begin, end, label))


@dataclass(frozen=True)
class Branch:
    """A node in its place in a tree that begins with the user: `label` is what it is to the node above it."""

    node: Node
    label: str
    branches: Sequence[Branch]


def connected(sight: Sight) -> Graph:
    """The graph of an agent's memory, as much of it as can be read."""
    graph = Graph()
    graph.add(Node(USER, YOU, "user"))
    people = [person for records in sight.memories for person in records.people()]
    own = next((one for one in people if one.value.relation == SELF), None)
    graph.add(Node(SELF, own.name if own else sight.name, "self"))
    graph.connect(USER, SELF)
    others = sorted(
        (one for one in people if one.value.relation not in (SELF, USER)), key=lambda one: not one.value.relation
    )
    _add_people(graph, people, others[:PEOPLE])
    left = len(others) - len(others[:PEOPLE])
    more = _add_subjects(graph, sight, people)
    _reach_all(graph)
    told = [f"{left:,} more people" if left else "", f"{more:,} more subjects" if more else ""]
    graph.left = " and ".join(part for part in told if part)
    return graph


def _reach_all(graph: Graph) -> None:
    """Connect with the user whatever is not, directly or by way of others: it is what the user's memory holds."""
    while left := graph.nodes.keys() - {one.node.key for one in walk(tree(graph)[0])}:
        outside = [key for key in graph.nodes if key in left]
        ends = {edge.end for edge in graph.edges}
        graph.connect(USER, next((key for key in outside if key not in ends), outside[0]))


def _add_people(graph: Graph, people: Sequence[Record], shown: Sequence[Record]) -> None:
    for one in shown:
        graph.add(Node(_key(one.name), one.name, "person"))
    selves = {one.name: SELF for one in people if one.value.relation == SELF}
    for tie in relations(people):
        begin, end = (_end(selves, name) for name in (tie.of, tie.other))
        if begin in graph.nodes and (end in graph.nodes or len(graph.nodes) < 2 * PEOPLE):
            graph.add(Node(end, tie.other, "person"))
            graph.connect(begin, end, tie.what)


def _end(selves: dict[str, str], name: str) -> str:
    return USER if name == USER else selves.get(name, _key(name))


def _key(name: str) -> str:
    return f"person {folded(name)}"


def _add_subjects(graph: Graph, sight: Sight, people: Sequence[Record]) -> int:
    """What facts tell of, what there is most of first; returns how many of that there is no room for."""
    counted: dict[tuple[str, str], int] = {}
    for records in sight.memories:
        kinds, values = marked(["person", "event", "conversation"])
        rows = records.ledger.database.rows(
            "SELECT t.about, t.subject, count(*) FROM facts t WHERE t.shelf = ? AND t.kind NOT IN "
            f"({kinds}) AND (t.subject <> '' OR t.about NOT IN (?, ?)) GROUP BY t.about, t.subject ORDER BY 3 DESC",
            records.ledger.keeper.shelf, *values, USER, SELF,
        )  # fmt: skip
        for about, subject, count in rows:
            pair = about, " ".join(subject.split())
            counted[pair] = counted.get(pair, 0) + count
    ordered = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    for (about, subject), count in ordered[:SUBJECTS]:
        begin = about if about in (USER, SELF) else _person_key(about, people)
        graph.add(Node(begin, about, "person"))
        if subject and not same(about, subject):
            graph.connect(begin, graph.add(Node(f"subject {subject.casefold()}", subject, "subject", count)))
    return len(ordered) - min(len(ordered), SUBJECTS)


def _person_key(about: str, people: Sequence[Record]) -> str:
    for one in people:
        if any(same(about, name) for name in (one.name, *one.value.aliases)):
            return one.value.relation if one.value.relation in (USER, SELF) else _key(one.name)
    return _key(about)


# As a tree ------------------------------------------------------------------------------------------------------------


def tree(graph: Graph) -> tuple[Branch, list[Edge]]:
    """The graph as a tree that begins with the user, each node as near to it as can be; and the edges left over."""
    below: dict[str, list[Edge]] = {}
    seen = {USER}
    used: set[Edge] = set()
    level = [USER]
    while level:
        following = []
        for key in level:
            for edge in graph.edges:
                end = edge.end if edge.begin == key else edge.begin if edge.end == key else key
                if end not in seen:
                    seen.add(end)
                    used.add(edge)
                    following.append(end)
                    below.setdefault(key, []).append(edge)
        level = following

    def branch(key: str, label: str) -> Branch:
        branches = []
        for edge in below.get(key, ()):
            away = edge.begin == key
            told = edge.label if away or not edge.label else f"whose {edge.label} is {graph.nodes[key].label}"
            branches.append(branch(edge.end if away else edge.begin, told))
        return Branch(graph.nodes[key], label, branches)

    return branch(USER, ""), [edge for edge in graph.edges if edge not in used]


def walk(branch: Branch) -> Iterable[Branch]:
    """A branch and all below it."""
    yield branch
    for one in branch.branches:
        yield from walk(one)


def graph_sheet(sight: Sight, graph: Graph, picture: str = "") -> Sheet:
    """The graph as a page: the tree as lines, and what else is connected."""
    root, others = tree(graph)
    lines = list(_lines(root, 0))
    sections = [Section("Who and what", lines, f"{graph.left} are not shown" if graph.left else "")]
    if others:
        label = {key: node.label for key, node in graph.nodes.items()}
        ties = [Line(f"{label[one.begin]} – {label[one.end]}", one.label) for one in others]
        sections.append(Section("Connected, too", ties))
    return Sheet(f"{sight.name}: who and what is connected", "", sections, picture)


def _lines(branch: Branch, depth: int) -> Iterable[Line]:
    node = branch.node
    facts = f"{node.count} facts" if node.count > 1 else ""
    yield Line(node.label, ", ".join(part for part in (branch.label, facts) if part), depth=depth)
    for one in branch.branches:
        yield from _lines(one, depth + 1)
