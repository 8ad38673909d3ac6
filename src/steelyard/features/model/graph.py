"""The link graph: customers joined by the devices, cards, phones, addresses and payees they share.

Kept event by event. Customers that share a thing are neighbours; those connected by any chain of
things are a cluster (union-find with the size at the root: Tarjan, 1975). A thing that many use is
public, a shop or a call centre, and says nothing about them: it links only the first `SHARERS`
customers who came with it. An answer sees what had come by then, whatever its instant; a customer
is known as bad from the label on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from steelyard.features.model.event import Event, Label, Value

LINKS = ("device", "card", "phone", "address", "payee")
"""Fields of events by which customers are linked."""
SHARERS = 20
"""How many customers a thing links."""


@dataclass(frozen=True, slots=True)
class GraphFeature:
    """What the graph says about a customer, in words."""

    name: str
    en: str
    zh: str


GRAPH_FEATURES: Mapping[str, GraphFeature] = {
    feature.name: feature
    for feature in (
        GraphFeature(
            "customer_cluster_size",
            "Customers in the customer's cluster, itself included.",
            "客户所在关联群的客户数（含本人）。",
        ),
        GraphFeature(
            "customer_cluster_bad",
            "Known-bad customers in the customer's cluster, itself included.",
            "客户所在关联群中已知坏客户数（含本人）。",
        ),
        GraphFeature(
            "customer_neighbours",
            "Other customers that share a thing with the customer.",
            "与客户直接共用设备、卡、电话、地址或收款方的其他客户数。",
        ),
        GraphFeature(
            "customer_bad_neighbours",
            "Known-bad customers among those that share a thing with the customer.",
            "与客户直接关联的已知坏客户数。",
        ),
    )
}
"""By name; they are read beside the catalogue, and only from the stream."""


class Standing(NamedTuple):
    """Where a customer stands in the graph; the fields are `GRAPH_FEATURES` without `customer_`."""

    cluster_size: int
    cluster_bad: int
    neighbours: int
    bad_neighbours: int

    def values(self) -> dict[str, int]:
        """Return the features by name."""
        return {f"customer_{name}": value for name, value in self._asdict().items()}


class LinkGraph:
    """Links between customers, and who is known as bad.

    Folding an event costs a near-constant time per link, reading a customer as much as it has
    neighbours, at most `SHARERS` per thing.

    Examples
    --------
    >>> graph = LinkGraph()
    >>> for customer, card in (("ann", "1"), ("bob", "1"), ("bob", "2"), ("eve", "2")):
    ...     graph.link(customer, "card", card)
    >>> graph.mark("eve", is_bad=True)
    >>> graph.standing("ann")
    Standing(cluster_size=3, cluster_bad=1, neighbours=1, bad_neighbours=0)
    """

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}
        self._size: dict[str, int] = {}
        self._bad_in: dict[str, int] = {}
        self._bad: set[str] = set()
        self._sharers: dict[tuple[str, str], list[str]] = {}
        self._things: dict[str, set[tuple[str, str]]] = {}

    def fold(self, event: Event, *, is_asked: bool = True) -> dict[str, int] | None:
        """Take the links of an event; the features of its customer as of it.

        None without a customer, and where they are not asked for: reading costs more than linking.
        """
        customer = _text(event.fields.get("customer"))
        if customer is None:
            return None
        self._root(customer)
        for name in LINKS:
            thing = _text(event.fields.get(name))
            if thing is not None:
                self.link(customer, name, thing)
        return self.standing(customer).values() if is_asked else None

    def hear(self, label: Label, customer: str) -> None:
        """Take a label about an event of a customer: true of any makes it known as bad."""
        if label.value:
            self.mark(customer, is_bad=True)

    def link(self, customer: str, kind: str, thing: str) -> None:
        """Take in that a customer came with a thing."""
        root = self._root(customer)
        key = (kind, thing)
        if key in self._things.get(customer, ()):
            return
        sharers = self._sharers.setdefault(key, [])
        if len(sharers) >= SHARERS:
            return
        if sharers:
            self._join(root, self._root(sharers[0]))
        sharers.append(customer)
        self._things.setdefault(customer, set()).add(key)

    def mark(self, customer: str, *, is_bad: bool) -> None:
        """Take in that a customer is known as bad, or is so no longer."""
        root = self._root(customer)
        if is_bad == (customer in self._bad):
            return
        self._bad_in[root] += 1 if is_bad else -1
        (self._bad.add if is_bad else self._bad.discard)(customer)

    def standing(self, customer: str) -> Standing:
        """Return where a customer stands; one never seen stands alone."""
        if customer not in self._parent:
            return Standing(1, 0, 0, 0)
        root = self._root(customer)
        near = {other for key in self._things.get(customer, ()) for other in self._sharers[key]}
        near.discard(customer)
        return Standing(self._size[root], self._bad_in[root], len(near), len(near & self._bad))

    def _root(self, customer: str) -> str:
        """Return who stands for the customer's cluster; a new one stands for itself."""
        parent = self._parent
        if customer not in parent:
            parent[customer] = customer
            self._size[customer] = 1
            self._bad_in[customer] = 0
            return customer
        while parent[customer] != customer:
            parent[customer] = parent[parent[customer]]
            customer = parent[customer]
        return customer

    def _join(self, one: str, other: str) -> None:
        if one == other:
            return
        if self._size[one] < self._size[other]:
            one, other = other, one
        self._parent[other] = one
        self._size[one] += self._size.pop(other)
        self._bad_in[one] += self._bad_in.pop(other)

    def dump(self) -> tuple[list[tuple[str, str, list[str]]], list[str], list[str]]:
        """Return all there is to know as plain, sorted values: sharers by thing, customers, bad."""
        sharers = sorted((*key, list(names)) for key, names in self._sharers.items())
        return sharers, sorted(self._parent), sorted(self._bad)

    @classmethod
    def load(
        cls, dumped: tuple[list[tuple[str, str, list[str]]], list[str], list[str]]
    ) -> LinkGraph:
        """Return the graph as it was dumped; every answer of it is the same."""
        graph = cls()
        sharers, customers, bad = dumped
        for customer in customers:
            graph._root(customer)
        for kind, thing, names in sharers:
            for customer in names:
                graph.link(customer, kind, thing)
        for customer in bad:
            graph.mark(customer, is_bad=True)
        return graph


def _text(value: Value) -> str | None:
    return None if value is None else str(value)
