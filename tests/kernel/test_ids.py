from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from steelyard.kernel import uuid7

instants = st.datetimes(
    min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
)
entropy = st.binary(min_size=10, max_size=10)


@given(instants, entropy)
def test_version_and_variant_are_those_of_rfc_9562(at: datetime, noise: bytes) -> None:
    made = uuid7(at, noise)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    assert made.int >> 80 == since // timedelta(milliseconds=1)


@given(instants, entropy, entropy)
def test_ids_sort_as_their_instants(at: datetime, one: bytes, two: bytes) -> None:
    assert uuid7(at, one) < uuid7(at + timedelta(milliseconds=1), two)


@given(instants, entropy)
def test_the_same_arguments_give_the_same_id(at: datetime, noise: bytes) -> None:
    assert uuid7(at, noise) == uuid7(at, noise)
