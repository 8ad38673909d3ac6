"""The link graph against a recomputation from the whole list of links."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.features.model import graph as model
from steelyard.features.model.event import Event, Label
from steelyard.features.model.graph import GRAPH_FEATURES, LINKS, SHARERS, LinkGraph

people = st.sampled_from("abcdefgh")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("link"), people, st.sampled_from(LINKS), st.sampled_from("123456")),
        st.tuples(st.just("mark"), people, st.booleans()),
    ),
    max_size=40,
)


def recomputed(done: list[tuple], customer: str, sharers: int) -> tuple[int, int, int, int]:
    things: dict[tuple, list[str]] = {}
    bad: set[str] = set()
    for step in done:
        if step[0] == "mark":
            (bad.add if step[2] else bad.discard)(step[1])
            continue
        users = things.setdefault(step[2:], [])
        if step[1] not in users and len(users) < sharers:
            users.append(step[1])

    def near(who: str) -> set[str]:
        return {other for users in things.values() if who in users for other in users} - {who}

    cluster, edge = {customer}, [customer]
    while edge:
        new = near(edge.pop()) - cluster
        cluster |= new
        edge += new
    around = near(customer)
    return len(cluster), len(cluster & bad), len(around), len(around & bad)


@settings(max_examples=200)
@given(steps, st.integers(1, 4))
def test_equals_a_recomputation(done: list[tuple], sharers: int) -> None:
    before, model.SHARERS = model.SHARERS, sharers
    try:
        graph = LinkGraph()
        for i, step in enumerate(done):
            if step[0] == "link":
                graph.link(*step[1:])
            else:
                graph.mark(step[1], is_bad=step[2])
            assert graph.standing(step[1]) == recomputed(done[: i + 1], step[1], sharers)
        again = LinkGraph.load(graph.dump())
        for customer in "abcdefgh":
            expected = recomputed(done, customer, sharers)
            assert graph.standing(customer) == again.standing(customer) == expected
        assert again.dump() == graph.dump()
    finally:
        model.SHARERS = before


def test_an_event_links_its_customer_and_a_label_makes_it_bad() -> None:
    graph = LinkGraph()
    graph.fold(Event("withdrawal", "1", 0, 0, {"customer": "a", "payee": "p", "device": None}))
    made = graph.fold(Event("withdrawal", "2", 0, 1, {"customer": "b", "payee": "p"}))
    assert set(made) == set(GRAPH_FEATURES)
    assert made["customer_cluster_size"] == 2
    assert made["customer_bad_neighbours"] == 0
    graph.hear(Label("withdrawal", "1", 0, 2, "is_fraud", 1), "a")
    graph.hear(Label("withdrawal", "1", 0, 3, "is_fraud", 0), "b")
    assert graph.standing("b").values()["customer_bad_neighbours"] == 1
    assert graph.fold(Event("merchant_application", "3", 0, 4, {"payee": "p"})) is None


def test_a_public_thing_links_only_the_first_who_came() -> None:
    graph = LinkGraph()
    for i in range(SHARERS + 5):
        graph.link(f"c{i}", "payee", "waterworks")
    assert graph.standing("c0").cluster_size == SHARERS
    assert graph.standing(f"c{SHARERS}").cluster_size == 1
