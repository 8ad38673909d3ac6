"""The matcher: what is found by which evidence, what is a break, and what is left for people."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steelyard.payments.model.breaks import BreakKind, Stage
from steelyard.payments.model.matching import Outcome, Rules, digest, match
from steelyard.payments.model.matching_columns import (
    NOT_SAID,
    Held,
    Listed,
    Ours,
    Theirs,
    columns,
    pack,
    take,
    unpack,
)

DAY = 20_500
NOON = DAY * 86_400 + 43_200
NUMBERS = ("01958f3a6b7c7d4e8f90a1b2c3d4e5f6", "01958f3a6b7c7d4e8f90ffffffff0001")


def ours(*rows: dict[str, Any]) -> Ours:
    given = {
        "number": "", "reference": "", "batch": "", "party": "", "kind": 0, "held": Held.MONEY,
        "amount": 1_000, "fee": NOT_SAID, "currency": "CNY", "at": NOON, "on": DAY,
        "clock": 43_200, "is_due": True, "is_taken": False,
    }  # fmt: skip
    full = [{**given, **row} for row in rows]
    return columns(Ours, {name: [row[name] for row in full] for name in given})


def theirs(*rows: dict[str, Any]) -> Theirs:
    given = {
        "line": 0, "number": "", "reference": "", "batch": "", "party": "", "kind": 0,
        "status": Listed.DONE, "amount": 1_000, "fee": NOT_SAID, "currency": "CNY", "at": NOON,
        "on": DAY, "is_reversal": False, "is_due": True,
    }  # fmt: skip
    full = [{**given, "line": k, **row} for k, row in enumerate(rows, 1)]
    return columns(Theirs, {name: [row[name] for row in full] for name in given})


def found(outcome: Outcome) -> tuple[dict[str, int], dict[str, int]]:
    return outcome.stages(), outcome.kinds()


A, B = NUMBERS


def test_case_55_cut_off_pairs_are_matched_on_either_side_of_midnight() -> None:
    mine = ours(
        {"number": A, "at": NOON + 43_198, "clock": 86_398},
        {"number": B, "at": NOON - 43_199, "clock": 1},
    )
    lines = theirs(
        {"number": A, "at": NOON + 43_201, "on": DAY + 1},
        {"number": B, "at": NOON - 43_202, "on": DAY - 1},
    )
    assert found(match(mine, lines)) == ({"cut_off": 2}, {})


def test_a_day_apart_at_noon_is_a_break() -> None:
    lines = theirs({"number": A, "at": NOON + 86_400, "on": DAY + 1})
    assert found(match(ours({"number": A}), lines)) == ({}, {"date": 1})


def test_case_56_a_duplicated_row_is_matched_once_and_told_once() -> None:
    lines = theirs({"number": A}, {"number": A}, {"number": A.upper()})
    outcome = match(ours({"number": A}), lines)
    assert found(outcome) == ({"exact": 1}, {"duplicate": 2})
    assert outcome.theirs_group.tolist() == [0, -1, -1]
    assert outcome.breaks.difference.tolist() == [1_000, 1_000]


def test_a_duplicate_without_our_number_is_told_by_their_reference() -> None:
    lines = theirs({"reference": "R1", "amount": 700}, {"reference": "R1", "amount": 700})
    outcome = match(ours({"reference": "R1", "number": A, "amount": 700}), lines)
    assert found(outcome) == ({"reference": 1}, {"duplicate": 1})


def test_case_57_equal_amounts_in_one_minute_are_never_guessed() -> None:
    mine = ours({"number": A, "at": NOON}, {"number": B, "at": NOON + 30})
    lines = theirs({"at": NOON + 2}, {"at": NOON + 31})
    outcome = match(mine, lines)
    assert found(outcome) == ({}, {"short": 2, "bank_only": 2})
    # Not even when one of both is missing on their side, or on ours.
    assert found(match(mine, theirs({"at": NOON + 2})))[0] == {}
    assert found(match(ours({"number": A}), lines))[0] == {}
    # The party tells them apart, where both sides name it.
    mine = ours({"number": A, "party": "P1"}, {"number": B, "party": "P2"})
    lines = theirs({"party": "P2"}, {"party": "P1"})
    outcome = match(mine, lines)
    assert found(outcome) == ({"amount_and_time": 2}, {})
    assert outcome.ours_group.tolist() == outcome.theirs_group.tolist()[::-1]


def test_amount_and_time_alone_are_not_enough_against_other_evidence() -> None:
    mine = ours({"number": A, "reference": "R1"})
    assert found(match(mine, theirs({"number": "0" * 32})))[0] == {}
    assert found(match(mine, theirs({"reference": "R2"})))[0] == {}
    assert found(match(mine, theirs({"at": NOON + 600})))[0] == {}
    assert found(match(mine, theirs({})))[0] == {"amount_and_time": 1}


def test_a_crowd_of_candidates_is_left_alone() -> None:
    mine = ours(*({"number": f"{k:032x}", "at": NOON + k % 7} for k in range(200)))
    lines = theirs({"at": NOON})
    assert found(match(mine, lines))[0] == {}


def test_case_58_a_bulk_deposit_is_matched_gross_or_net_of_fees() -> None:
    def rows(batch: str, start: int) -> list[dict[str, Any]]:
        return [
            {"number": f"{start + k:032x}", "batch": batch, "amount": 1_000 + k, "fee": 6}
            for k in range(5)
        ]

    mine = ours(*rows("BD-1", 1), *rows("BD-2", 50), *rows("BD-3", 90))
    lines = theirs(
        {"batch": "bd1", "amount": 5_010, "on": DAY + 1},
        {"number": "BD-2", "amount": 5_010 - 30, "on": DAY + 1},
        {"batch": "BD-3", "amount": 5_009, "on": DAY + 1},
    )
    outcome = match(mine, lines)
    assert found(outcome) == ({"many_to_one": 2}, {"split": 1})
    assert (outcome.ours_group[:5] == outcome.theirs_group[0]).all()
    assert (outcome.ours_group[5:10] == outcome.theirs_group[1]).all()
    assert outcome.breaks.difference.tolist() == [-1]


def test_a_deposit_without_any_number_is_the_sum_of_its_day() -> None:
    mine = ours(*({"number": f"{k:032x}", "amount": 100 * k, "fee": k} for k in range(1, 6)))
    line = {"amount": 1_500 - 15, "on": DAY + 1, "at": NOT_SAID}
    outcome = match(mine, theirs(line))
    assert found(outcome) == ({"many_to_one": 1}, {})
    assert found(match(mine, theirs(line, line)))[0] == {}
    assert found(match(mine, theirs({**line, "amount": 1_400})))[0] == {}


def test_case_59_one_payment_in_several_lines() -> None:
    lines = theirs(
        {"number": A, "amount": 400, "at": NOON},
        {"number": A, "amount": 350, "at": NOON + 9_000},
        {"batch": B, "amount": 250},
        {"batch": B, "amount": 740},
    )
    outcome = match(ours({"number": A, "amount": 750}, {"number": B, "amount": 1_000}), lines)
    assert found(outcome) == ({"one_to_many": 1}, {"split": 1})
    assert outcome.theirs_group.tolist() == [0, 0, -1, -1]
    assert outcome.breaks.difference.tolist() == [-10]


def test_case_64_a_number_that_a_bank_cut_off_or_put_in_capitals() -> None:
    mine = ours({"number": A}, {"number": B, "amount": 2_000})
    lines = theirs(
        {"number": A.upper()[:8] + "-" + A.upper()[8:]}, {"number": B.upper()[:26], "amount": 2_000}
    )
    assert found(match(mine, lines)) == ({"normalised": 2}, {})
    # What is left of both is the same: nobody knows which of them it is.
    twins = ours({"number": A}, {"number": A[:20] + "0" * 12})
    outcome = match(twins, theirs({"number": A[:20]}))
    assert found(outcome) == ({}, {"short": 2, "bank_only": 1})
    # Half a number with another amount is no evidence.
    other = match(mine, theirs({"number": A[:20], "amount": 999}))
    assert found(other)[0] == {}
    # The tail of a number, and the channel's own number in another form.
    assert found(match(mine, theirs({"number": A[12:]})))[0] == {"normalised": 1}
    mine = ours({"number": A, "reference": "2026-rf-0001"})
    assert found(match(mine, theirs({"reference": "2026RF0001"})))[0] == {"reference": 1}


def test_case_65_small_differences_of_a_fee_accumulate() -> None:
    rows = [{"number": f"{k:032x}", "fee": 60} for k in range(1, 41)]
    lines = theirs(*({**row, "fee": 61} for row in rows))
    mine = ours(*rows)
    one = Rules(tolerance_minor=1, budget_minor=100)
    assert found(match(mine, lines, one)) == ({"tolerance": 40}, {})
    # Forty times a cent is more than this day may differ in: then none of it is tolerated.
    outcome = match(mine, lines, Rules(tolerance_minor=1, budget_minor=39))
    assert found(outcome) == ({}, {"fee": 40})
    assert outcome.breaks.difference.sum() == -40
    # Each day has a budget of its own.
    half = theirs(*({**row, "fee": 61, "on": DAY + k % 2} for k, row in enumerate(rows)))
    near = ours(*({**row, "clock": 86_390, "at": NOON + 43_190} for row in rows))
    half.at[:] = NOON + 43_195
    split = match(near, half, Rules(tolerance_minor=1, budget_minor=20))
    assert found(split) == ({"tolerance": 40}, {})


def test_conflicting_numbers_match_nothing() -> None:
    mine = ours({"number": A, "reference": "R1"}, {"number": B, "reference": "R2"})
    outcome = match(mine, theirs({"number": A, "reference": "R2"}))
    assert found(outcome) == ({}, {"short": 2, "bank_only": 1})


def test_each_kind_of_break_of_a_pair() -> None:
    rows: list[tuple[dict[str, Any], dict[str, Any], BreakKind, int]] = [
        ({}, {"amount": 990}, BreakKind.AMOUNT, -10),
        ({"fee": 6}, {"fee": 9}, BreakKind.FEE, -3),
        ({}, {"currency": "USD"}, BreakKind.CURRENCY, 1_000),
        ({}, {"status": Listed.FAILED}, BreakKind.STATUS, -1_000),
        ({}, {"amount": -1_000}, BreakKind.DIRECTION, -2_000),
        ({}, {"amount": -1_000, "is_reversal": True}, BreakKind.STATUS, -1_000),
        ({"held": Held.OPEN}, {}, BreakKind.LONG, 1_000),
        ({"held": Held.NO_MONEY}, {}, BreakKind.LONG, 1_000),
        ({"held": Held.REVERSED}, {}, BreakKind.STATUS, 1_000),
        ({"is_taken": True}, {}, BreakKind.DUPLICATE, 1_000),
    ]
    for mine, line, kind, difference in rows:
        outcome = match(ours({"number": A, **mine}), theirs({"number": A, **line}))
        assert outcome.kinds() == {kind.word: 1}, (mine, line)
        assert outcome.breaks.difference.tolist() == [difference], (mine, line)


def test_what_has_no_money_on_either_side_agrees() -> None:
    mine = ours(
        {"number": A, "held": Held.NO_MONEY},
        {"number": B, "held": Held.REVERSED},
        {"number": "c" * 32, "held": Held.NO_MONEY},
    )
    lines = theirs(
        {"number": A, "status": Listed.FAILED, "amount": 0},
        {"number": B},
        {"number": B, "amount": -1_000, "is_reversal": True},
        {"number": "d" * 32, "status": Listed.PENDING},
    )
    assert found(match(mine, lines)) == ({"exact": 1, "one_to_many": 1}, {})


def test_nothing_matches_nothing() -> None:
    outcome = match(ours(), theirs())
    assert found(outcome) == ({}, {})
    assert found(match(ours({"number": A}), theirs()))[1] == {"short": 1}
    assert found(match(ours(), theirs({"number": A})))[1] == {"bank_only": 1}
    mine = ours({"number": A, "held": Held.OPEN})
    assert found(match(mine, theirs()))[1] == {"platform_only": 1}
    mine.is_due[:] = False
    assert found(match(mine, theirs()))[1] == {}


_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", A, B, A.upper(), A[:20], "0" * 32]),
        st.sampled_from(["", "R1", "R2"]),
        st.sampled_from(["", "X1"]),
        st.integers(-3, 3),
        st.integers(0, 3),
    ),
    max_size=9,
)


@given(_ROWS, _ROWS)
def test_every_row_is_in_one_group_or_one_break(mine: list[Any], lines: list[Any]) -> None:
    names = ("number", "reference", "batch", "amount", "at")
    numbered: dict[str, dict[str, Any]] = {}
    for row in mine:
        made = {**dict(zip(names, row, strict=True)), "at": NOON + row[4] * 40}
        numbered.setdefault(made["number"] or f"{len(numbered):032d}", made)
    held = ours(*({**row, "number": number} for number, row in numbered.items()))
    listed = theirs(
        *({**dict(zip(names, row, strict=True)), "at": NOON + row[4] * 40} for row in lines)
    )
    outcome = match(held, listed)
    breaks = outcome.breaks
    for group, side in ((outcome.ours_group, breaks.ours), (outcome.theirs_group, breaks.theirs)):
        alone = group < 0
        assert (
            not np.isin(side[(side >= 0)], np.flatnonzero(~alone)).any()
            or (
                # A repeat names the payment that it repeats.
                breaks.kind[np.isin(side, np.flatnonzero(~alone))] == BreakKind.DUPLICATE
            ).all()
        )
    for group in range(len(outcome.stage)):
        assert (outcome.ours_group == group).any()
        assert (outcome.theirs_group == group).any()
        if outcome.stage[group] in (Stage.EXACT, Stage.AMOUNT_AND_TIME, Stage.NORMALISED):
            total = held.amount[outcome.ours_group == group].sum()
            assert total == listed.amount[outcome.theirs_group == group].sum()
    assert found(match(held, listed)) == found(outcome)


def test_case_67_a_digest_does_not_depend_on_the_order_of_ours() -> None:
    mine = ours(*({"number": f"{k:032x}", "amount": 100 + k} for k in range(50)))
    lines = theirs(*({"number": f"{k:032x}", "amount": 100 + k % 49} for k in range(5, 50)))
    first = digest(mine, lines, match(mine, lines))
    turned = take(mine, np.arange(49, -1, -1))
    assert digest(turned, lines, match(turned, lines)) == first
    lines.amount[3] += 1
    assert digest(mine, lines, match(mine, lines)) != first


def test_columns_are_packed_and_come_back() -> None:
    lines = theirs({"number": A}, {"number": B, "amount": -5})
    back = unpack(pack({"number": lines.number, "amount": lines.amount}))
    assert back["number"].tolist() == [A.encode(), B.encode()]
    assert back["amount"].tolist() == [1_000, -5]
