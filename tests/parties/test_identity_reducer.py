"""The reducer: evidence in any order, repeated, late and contradicting."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.parties import IdentityLevel, identity
from steelyard.parties.model.identity import Standing, settle, stand

AT = datetime(2026, 3, 2, tzinfo=UTC)
STEP, FINDING, SOURCE, STATE = (
    identity.Step,
    identity.Finding,
    identity.EvidenceSource,
    identity.AttemptState,
)
WORDS = {
    "answer": SOURCE.ANSWER,
    "poll": SOURCE.POLL,
    "operator": SOURCE.OPERATOR,
}

SETTLED = [
    ("", "intended"),
    ("answer passed", "passed"),
    ("answer failed", "failed"),
    ("answer unknown", "unknown"),
    ("answer not_received", "void"),
    ("answer unknown, poll not_received", "void"),
    ("answer unknown, poll unknown", "unknown"),
    ("answer unknown, poll passed", "passed"),
    ("answer unknown, poll not_received, poll passed", "passed"),
    ("answer passed, poll passed, poll passed", "passed"),
    ("answer passed, poll unknown", "passed"),
    ("answer passed, poll not_received", "passed"),
    ("answer passed, poll failed", "disputed"),
    ("answer passed, poll failed, operator passed", "passed"),
    ("answer passed, operator failed, poll passed", "failed"),
    ("operator passed, operator failed", "failed"),
]


def evidence(text: str) -> list[identity.Evidence]:
    told = [part.split() for part in text.split(", ") if part]
    return [
        identity.Evidence(UUID(int=1), n, WORDS[source], FINDING(finding), "", "", AT)
        for n, (source, finding) in enumerate(told, start=1)
    ]


@pytest.mark.parametrize(("text", "state"), SETTLED)
def test_what_evidence_comes_to(text: str, state: str) -> None:
    assert settle(evidence(text)) == state


pieces = st.lists(
    st.builds(
        lambda source, finding: f"{source} {finding}",
        st.sampled_from(["answer", "poll"]),
        st.sampled_from([f.value for f in FINDING]),
    ),
    max_size=6,
)


@given(pieces, st.randoms())
def test_order_and_repeats_do_not_matter(told: list[str], chance: object) -> None:
    known = evidence(", ".join(told))
    shuffled = known + known[: len(known) // 2]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert settle(shuffled) is settle(known)


@given(pieces)
def test_nothing_is_guessed(told: list[str]) -> None:
    state = settle(evidence(", ".join(told)))
    findings = {text.split()[1] for text in told}
    assert (state is STATE.PASSED) == ("passed" in findings and "failed" not in findings)
    assert (state is STATE.FAILED) == ("failed" in findings and "passed" not in findings)
    assert (state is STATE.DISPUTED) == ({"passed", "failed"} <= findings)


def about(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


NOW = dict.fromkeys(STEP, about("new"))

LEVELS = [
    ("", 0, ""),
    ("number passed", 0, ""),
    ("phone passed", 0, ""),
    ("number passed, phone_code passed", 0, ""),
    ("number passed, phone passed", 1, ""),
    ("number passed, phone passed, name passed", 2, ""),
    ("number passed, phone passed, name passed, face passed", 3, ""),
    ("number passed, phone passed, face passed", 1, ""),
    ("name passed, face passed", 0, ""),
    ("number unknown, phone passed", 0, ""),
    ("number passed, phone passed, number unknown", 1, ""),
    ("number passed, phone passed, number void", 1, ""),
    ("number passed, phone passed, number failed", 0, ""),
    ("number failed, number passed, phone passed", 1, ""),
    ("number passed, phone passed, phone failed", 1, ""),
    ("number passed, phone passed, phone disputed", 0, "phone"),
    ("number passed, phone passed, name disputed", 1, "name"),
    ("number passed, phone passed, name passed, face passed, face failed", 3, ""),
    ("number passed, phone passed, name passed, name failed, face passed", 1, ""),
    ("number passed old, phone passed", 0, ""),
    ("number passed, phone passed old", 0, ""),
    ("number passed, number failed old, phone passed", 1, ""),
]


def attempts(text: str) -> list[identity.Attempt]:
    made = []
    for n, part in enumerate([p.split() for p in text.split(", ") if p], start=1):
        made.append(
            identity.Attempt(
                id=UUID(int=n),
                party=UUID(int=0),
                number=n,
                step=STEP(part[0]),
                provider="p",
                about=about(part[2] if len(part) > 2 else "new"),
                state=STATE(part[1]),
                version=1,
                started_at=AT,
                started_wall_at=AT,
            )
        )
    return made


@pytest.mark.parametrize(("text", "level", "disputed"), LEVELS)
def test_what_attempts_prove(text: str, level: int, disputed: str) -> None:
    standing = stand(attempts(text), NOW)
    assert standing.level == level
    assert {step.value for step in standing.disputed} == set(disputed.split())


histories = st.lists(
    st.builds(
        lambda step, state, old: f"{step} {state}{old}",
        st.sampled_from([s.value for s in STEP]),
        st.sampled_from([s.value for s in STATE]),
        st.sampled_from(["", " old"]),
    ),
    max_size=12,
)


@given(histories, st.randoms())
def test_the_level_depends_on_the_attempts_alone(told: list[str], chance: object) -> None:
    made = attempts(", ".join(told))
    standing = stand(made, NOW)
    chance.shuffle(made)  # type: ignore[attr-defined]
    assert stand(made, NOW) == standing
    assert not standing.passed & standing.disputed
    if standing.level >= IdentityLevel.NUMBER_AND_PHONE:
        assert {STEP.NUMBER, STEP.PHONE} <= standing.passed
    assert stand(made, {}) == Standing(IdentityLevel.NONE, frozenset(), frozenset())


@given(histories, st.sampled_from(["unknown", "void", "intended"]))
def test_what_found_nothing_changes_nothing(told: list[str], state: str) -> None:
    for step in STEP:
        more = [*told, f"{step.value} {state}"]
        assert stand(attempts(", ".join(more)), NOW) == stand(attempts(", ".join(told)), NOW)
