"""Files of debits: control totals, wrong rows, two people, parts, results; nothing taken twice."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from steelyard.base import Database
from steelyard.base.http import Caller
from steelyard.cli import payments_batch
from steelyard.kernel import SteppingClock
from steelyard.parties import approvals
from steelyard.payments.model import accounts
from steelyard.payments.model.batches import (
    WORDS,
    Amounts,
    Batch,
    BatchState,
    Head,
    RowError,
    parts_of,
    totals_differ,
)
from steelyard.payments.model.batches_file import check, read_head, read_rows
from steelyard.payments.model.batches_refusals import (
    DebitBatchIsUnknown,
    DebitBatchStateForbids,
    DebitFileIsMalformed,
    DebitFileWasSeen,
    DebitResultIsMalformed,
)
from steelyard.payments.model.channel import Decline, Finding, PayRequest, Said
from steelyard.payments.model.debits import DebitState
from steelyard.payments.model.mandates import Mandate
from steelyard.payments.model.orders import Mode
from steelyard.payments.service import batches, debits, mandates
from steelyard.payments.store import batches as table
from tests.payments.debiting import TODAY, a_new_mandate, signed
from tests.payments.till import (
    EVERYTHING,
    OTHER_SHOP,
    SHOP,
    ScriptedDesk,
    balance,
    open_shop,
    paying,
    sum_of_postings,
)

PENDING = accounts.pending(SHOP, "CNY")
MAKER, CHECKER = "staff:maker", "staff:checker"
Line = tuple[str, str, str, str, str]


@pytest.fixture
def shop(database: Database) -> Database:
    open_shop(database)
    return database


def a_file(
    rows: Sequence[Line],
    *,
    total: str | None = None,
    count: int | None = None,
    amounts: str = "decimal",
    no: str = "F-1",
) -> bytes:
    """Write a file of debits as a merchant would."""
    out = io.StringIO()
    writer = csv.writer(out)
    if total is None:
        total = f"{sum(round(float(row[2]) * 100) for row in rows) / 100:.2f}"
    writer.writerow(
        (
            "H",
            "steelyard.debits.1",
            no,
            "CNY",
            amounts,
            len(rows) if count is None else count,
            total,
        )
    )
    writer.writerow(("debit_no", "mandate_no", "amount", "due_on", "subject"))
    writer.writerows(rows)
    return out.getvalue().encode()


def lines_of(mandate: Mandate, many: int, *, start: int = 1, amount: str = "1.00") -> list[Line]:
    """Return rows that are good."""
    return [
        (f"B-{n}", mandate.mandate_no, amount, str(TODAY), f"Rent 房租 {n}")
        for n in range(start, start + many)
    ]


def upload(database: Database, content: bytes, merchant: UUID = SHOP) -> Batch:
    """Upload a file, and let what goes by itself happen."""
    new = batches.NewBatch(
        id=uuid4(), merchant=merchant, mode=Mode.LIVE, name="rent.csv", content=content
    )
    made = database.transact(lambda unit: batches.upload(unit, new), actor=MAKER)
    return batches.work(database, made.id, ScriptedDesk())


def approve(database: Database, batch: Batch, desk: ScriptedDesk | None = None) -> Batch:
    """Have a second person say yes, and let it be submitted."""
    asked = database.transact(lambda unit: batches.request_approval(unit, batch.id), actor=MAKER)
    checker = Caller(CHECKER, frozenset({"payments.approve"}))
    database.transact(
        lambda unit: approvals.approve(unit, asked.id, by=checker, shown_hash=asked.shown_hash),
        actor=CHECKER,
    )
    database.transact(lambda unit: batches.approve(unit, batch.id, asked.id), actor=MAKER)
    return batches.work(database, batch.id, desk or ScriptedDesk())


def run(database: Database, batch: Batch, desk: ScriptedDesk) -> Batch:
    """Send what is due, follow it, and say how far the file came."""
    with paying(database, desk) as opened:
        debits.send_due(database, opened)
        opened.poll()
    database.transact(lambda unit: debits.follow_due(unit, limit=1_000))
    return batches.work(database, batch.id, desk)


def result(database: Database, batch: Batch) -> list[list[str]]:
    with database.reading() as connection:
        content = batches.result_of(connection, batch.id)
    return list(csv.reader(io.StringIO(content.decode())))


def errors_of(database: Database, batch: Batch) -> list[tuple[int, str | None]]:
    with database.reading() as connection:
        return [(row.line, row.error) for row in batches.wrong_rows(connection, batch.id)]


def test_a_file_from_the_upload_to_the_result(shop: Database) -> None:
    made = signed(shop)
    batch = upload(shop, a_file(lines_of(made, 5)))
    assert (batch.state, batch.rows, batch.errors) == (BatchState.VALIDATED, 5, 0)
    batch = approve(shop, batch)
    assert batch.state is BatchState.SUBMITTED
    assert batch.cause is not None
    assert batch.cause.startswith("approval:")
    batch = run(shop, batch, ScriptedDesk())
    assert batch.state is BatchState.COMPLETE
    assert balance(shop, PENDING) == 500
    rows = result(shop, batch)
    assert [row[5] for row in rows[2:-1]] == ["succeeded"] * 5
    assert rows[-1] == ["T", "5", "5", "5.00"]
    assert sum_of_postings(shop) == 0


def test_who_made_it_does_not_approve_it(shop: Database) -> None:
    batch = upload(shop, a_file(lines_of(signed(shop), 1)))
    asked = shop.transact(lambda unit: batches.request_approval(unit, batch.id), actor=MAKER)
    maker = Caller(MAKER, frozenset({"payments.approve"}))
    with pytest.raises(approvals.MakerIsChecker):
        shop.transact(
            lambda unit: approvals.approve(unit, asked.id, by=maker, shown_hash=asked.shown_hash),
            actor=MAKER,
        )
    with pytest.raises(approvals.ApprovalIsNotOpen):
        shop.transact(lambda unit: batches.approve(unit, batch.id, asked.id), actor=MAKER)
    with shop.reading() as connection:
        assert batches.read(connection, batch.id).state is BatchState.VALIDATED


def test_case_39_the_same_file_is_refused_whatever_it_is_called(shop: Database) -> None:
    content = a_file(lines_of(signed(shop), 3))
    first = upload(shop, content)
    with pytest.raises(DebitFileWasSeen) as refused:
        upload(shop, content)
    assert refused.value.facts["batch"] == first.id


def test_case_39_rows_that_stood_in_another_file_are_refused(shop: Database) -> None:
    made = signed(shop)
    rows = lines_of(made, 4)
    upload(shop, a_file(rows))
    renumbered = [("N-1", *rows[0][1:]), rows[1], *lines_of(made, 1, start=9)]
    second = upload(shop, a_file(renumbered, no="F-2"))
    assert second.state is BatchState.VALIDATED
    assert errors_of(shop, second) == [
        (3, "row_was_in_another_file"),
        (4, "debit_no_was_used"),
    ]
    # A single debit of that number is one as well.
    assert second.good_minor == 100


def test_case_39_what_was_recalled_may_come_again(shop: Database) -> None:
    rows = lines_of(signed(shop), 3)
    first = upload(shop, a_file(rows))
    recalled = batches.recall(shop, first.id, merchant=SHOP, actor=MAKER)
    assert recalled.state is BatchState.RECALLED
    assert [row[5] for row in result(shop, recalled)[2:-1]] == ["refused"] * 3
    second = upload(shop, a_file(rows, no="F-2"))
    assert (second.state, second.errors) == (BatchState.VALIDATED, 0)
    third = approve(shop, second)
    with pytest.raises(DebitBatchStateForbids):
        batches.recall(shop, third.id, actor=MAKER)


def bad_row(rows: list[Line]) -> list[Line]:
    middle = len(rows) // 2
    return [
        *rows[:middle],
        ("BAD", "no-such-mandate", "1.00", str(TODAY), "x"),
        *rows[middle + 1 :],
    ]


def check_one_bad_row(shop: Database, many: int) -> Batch:
    content = a_file(bad_row(lines_of(signed(shop), many)))
    batch = upload(shop, content)
    assert (batch.state, batch.rows, batch.errors) == (BatchState.VALIDATED, many, 1)
    assert errors_of(shop, batch) == [(many // 2 + 3, "mandate_is_unknown")]
    assert batch.good_minor == (many - 1) * 100
    en, zh = WORDS[RowError.MANDATE_IS_UNKNOWN]
    assert en
    assert zh
    return batch


def test_case_40_one_bad_row_among_many_is_listed_and_the_rest_goes_on(shop: Database) -> None:
    check_one_bad_row(shop, 12_000)


@pytest.mark.long
def test_case_40_one_bad_row_among_a_hundred_thousand(shop: Database) -> None:
    batch = check_one_bad_row(shop, 100_000)
    rows = result(shop, batch)
    assert len(rows) == 100_000 + 3


def test_a_row_is_wrong_for_its_own_reason(shop: Database) -> None:
    made = signed(shop, single_most_minor=10_000)
    stopped = signed(shop)
    shop.transact(lambda unit: mandates.suspend(unit, stopped.id))
    good = lines_of(made, 1)[0]
    rows: list[Line] = [
        good,
        good,
        ("B-2", *good[1:]),
        ("B-3", made.mandate_no, "100.01", str(TODAY), "x"),
        ("B-4", made.mandate_no, "1.00", "2026-03-01", "x"),
        ("B-5", made.mandate_no, "1.00", "2026-02-30", "x"),
        ("B-6", stopped.mandate_no, "1.00", str(TODAY), "x"),
        ("=B", made.mandate_no, "1.00", str(TODAY), "x"),
    ]
    batch = upload(shop, a_file(rows))
    assert errors_of(shop, batch) == [
        (4, "debit_no_repeated"),
        (5, "row_repeated"),
        (6, "exceeds_mandate"),
        (7, "due_in_the_past"),
        (8, "due_on"),
        (9, "mandate_is_not_active"),
        (10, "debit_no"),
    ]
    told = [row[1] for row in result(shop, batch)[2:-1]]
    assert told[-1] == "'=B"


def results_file(rows: Sequence[tuple[object, ...]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("number", "outcome", "amount_minor", "code", "reference"))
    writer.writerows(rows)
    return out.getvalue().encode()


def test_case_41_a_channels_result_that_lacks_rows_has_others_and_comes_twice(
    shop: Database,
) -> None:
    desk = ScriptedDesk(capacity=replace(EVERYTHING, batch=True))
    desk.channel.paid = lambda _: Finding(said=Said.PENDING)
    desk.channel.rest = Finding(said=Said.PENDING)
    batch = approve(shop, upload(shop, a_file(lines_of(signed(shop), 5))), desk)
    batch = run(shop, batch, desk)
    assert batch.state is BatchState.SUBMITTED
    content = results_file(
        [
            ("B-1", "succeeded", 100, "", "R1"),
            ("B-2", "failed", 100, "AC04", "R2"),
            ("B-2", "succeeded", 100, "", "R2"),
            ("B-3", "succeeded", 100, "", "R3"),
            ("STRANGER", "succeeded", 100, "", "R9"),
            ("B-4", "perhaps", 100, "", ""),
        ]
    )
    taken = batches.take_result(shop, batch.id, content)
    assert (taken.rows, taken.new, taken.missing) == (6, 3, 2)
    assert [what for _, _, what in taken.problems] == ["repeated", "unknown", "malformed"]
    again = batches.take_result(shop, batch.id, content)
    assert again.was_seen
    assert again.problems == taken.problems
    batch = run(shop, batch, desk)
    assert batch.state is BatchState.PARTIAL
    told = {row[1]: row[5] for row in result(shop, batch)[2:-1]}
    assert told == {
        "B-1": "succeeded",
        "B-2": "failed",
        "B-3": "succeeded",
        "B-4": "under_way",
        "B-5": "under_way",
    }
    assert balance(shop, PENDING) == 200
    rest = results_file([("B-4", "succeeded", 100, "", ""), ("B-5", "succeeded", 100, "", "")])
    assert batches.take_result(shop, batch.id, rest).missing == 0
    assert run(shop, batch, desk).state is BatchState.COMPLETE


def test_case_41_the_result_lists_every_row_once_whatever_became_of_it(shop: Database) -> None:
    made = signed(shop, period_most_minor=50_000, single_most_minor=50_000)
    rows = [*lines_of(made, 3, amount="200.00"), ("no", "such", "1.00", str(TODAY), "row")]
    desk = ScriptedDesk()
    batch = approve(shop, upload(shop, a_file(rows)), desk)
    # The third crosses the period: the batch goes on without it.
    assert errors_of(shop, batch) == [(5, "debit_exceeds_mandate"), (6, "mandate_is_unknown")]
    desk.channel.paid = lambda request: (
        Finding(said=Said.DECLINED, code="MD01", decline=Decline.MANDATE_INVALID)
        if len(desk.channel.sent) == 1
        else Finding(said=Said.SUCCEEDED, amount_minor=request.amount_minor)
    )
    batch = run(shop, batch, desk)
    told = result(shop, batch)[2:-1]
    assert [row[0] for row in told] == ["3", "4", "5", "6"]
    assert Counter(row[5] for row in told) == {"succeeded": 1, "failed": 1, "refused": 2}
    assert batch.state is BatchState.COMPLETE


def test_another_amount_in_a_result_is_held(shop: Database) -> None:
    desk = ScriptedDesk()
    desk.channel.paid = lambda _: Finding(said=Said.PENDING)
    desk.channel.rest = Finding(said=Said.PENDING)
    batch = run(shop, approve(shop, upload(shop, a_file(lines_of(signed(shop), 1)))), desk)
    content = results_file([("B-1", "succeeded", 99, "", "")])
    taken = batches.take_result(shop, batch.id, content)
    assert [what for _, _, what in taken.problems] == ["amount"]
    assert balance(shop, PENDING) == 0
    assert balance(shop, accounts.unclaimed("CNY")) == 99


@pytest.mark.parametrize(
    ("rows", "amounts", "total"),
    [
        ("10000", "minor", "1000000.00"),  # rows in fen, the total meant them as yuan
        ("100", "minor", "10000.00"),  # rows are yuan, the header says fen
        ("10000.00", "decimal", "10000.00"),  # rows are fen with two noughts put behind
    ],
)
def test_case_44_fen_taken_for_yuan_do_not_add_up(
    shop: Database, rows: str, amounts: str, total: str
) -> None:
    made = signed(shop, single_most_minor=10**9, period_most_minor=10**9)
    lines: list[Line] = [(f"B-{n}", made.mandate_no, rows, str(TODAY), f"{n}") for n in range(100)]
    batch = upload(shop, a_file(lines, amounts=amounts, total=total))
    assert batch.state is BatchState.REJECTED_FILE
    assert "fen and yuan" in batch.why
    with pytest.raises(DebitBatchStateForbids):
        shop.transact(lambda unit: batches.request_approval(unit, batch.id))


def test_case_44_decimals_are_written_as_the_header_says(shop: Database) -> None:
    made = signed(shop)
    right = a_file(
        [("B-1", made.mandate_no, "10000", str(TODAY), "")], amounts="minor", total="100.00"
    )
    assert upload(shop, right).good_minor == 10_000
    wrong = a_file(
        [("B-2", made.mandate_no, "100.00", str(TODAY), "")], amounts="minor", total="100.00"
    )
    batch = upload(shop, wrong)
    assert batch.state is BatchState.REJECTED_FILE
    assert errors_of(shop, batch) == [(3, "amount")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02",
        b"H,steelyard.debits.1,F,CNY,decimal,1,1.00\n",
        b"H,steelyard.debits.1,F,CNY,yuan,1,1.00\ndebit_no,mandate_no,amount,due_on,subject\n",
        b"H,steelyard.debits.1,F,XXQ,decimal,1,1.00\ndebit_no,mandate_no,amount,due_on,subject\n",
        b"H,steelyard.debits.1,F,CNY,decimal,1,100\ndebit_no,mandate_no,amount,due_on,subject\n",
        b"H,steelyard.debits.1,F,CNY,decimal,1,1.00\na,b,c\n",
        b"%PDF-1.4",
    ],
)
def test_what_is_no_file_of_debits_is_refused(shop: Database, content: bytes) -> None:
    with pytest.raises(DebitFileIsMalformed):
        upload(shop, content)


def test_a_file_in_gb18030_with_a_mark_or_carriage_returns_is_read() -> None:
    text = (
        "H,steelyard.debits.1,F,CNY,decimal,1,1.00\r\n"
        "debit_no,mandate_no,amount,due_on,subject\r\nB-1,M-1,1.00,2026-03-10,三月房租\r\n"
    )
    for content in (text.encode("gb18030"), text.encode("utf-8-sig"), text.encode()):
        head = read_head(content)
        (row,) = read_rows(content, head)
        assert (row.subject, row.amount_minor, row.error) == ("三月房租", 100, None)
        assert check(content).is_good


def test_a_quote_that_never_ends_rejects_the_file(shop: Database) -> None:
    content = a_file(lines_of(signed(shop), 3)) + b'B-9,"M'
    batch = upload(shop, content)
    assert batch.state is BatchState.REJECTED_FILE


def test_a_crash_between_chunks_is_gone_on_from(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_PARSE", 4)
    monkeypatch.setattr(batches, "_VALIDATE", 4)
    monkeypatch.setattr(batches, "_SUBMIT", 2)
    content = a_file(lines_of(signed(shop), 11))
    seen: list[str] = []
    real = table.change

    def crash(connection: sa.Connection, before: Batch, after: Batch) -> Batch:
        seen.append(before.state.value)
        if len(seen) % 3 == 0:
            raise KeyboardInterrupt
        return real(connection, before, after)

    monkeypatch.setattr(table, "change", crash)
    new = batches.NewBatch(id=uuid4(), merchant=SHOP, mode=Mode.LIVE, name="x", content=content)
    made = shop.transact(lambda unit: batches.upload(unit, new))

    def on(batch: Batch) -> Batch:
        for _ in range(20):
            try:
                return batches.work(shop, batch.id, ScriptedDesk())
            except KeyboardInterrupt:
                continue
        raise AssertionError("it never ended")

    batch = on(made)
    assert (batch.state, batch.rows, batch.errors) == (BatchState.VALIDATED, 11, 0)
    asked = shop.transact(lambda unit: batches.request_approval(unit, batch.id), actor=MAKER)
    checker = Caller(CHECKER, frozenset({"payments.approve"}))
    shop.transact(
        lambda unit: approvals.approve(unit, asked.id, by=checker, shown_hash=asked.shown_hash),
        actor=CHECKER,
    )
    seen.clear()
    shop.transact(lambda unit: batches.approve(unit, batch.id, asked.id), actor=MAKER)
    assert on(batch).state is BatchState.SUBMITTED
    with shop.reading() as connection:
        assert batches.progress(connection, batch.id) == {DebitState.SCHEDULED: 11}


def test_a_rerun_touches_what_is_not_final_only(shop: Database, clock: SteppingClock) -> None:
    desk = ScriptedDesk()
    poor: set[str] = set()

    def answer(request: PayRequest) -> Finding:
        if len(poor) < 2:
            poor.add(request.number)
            return Finding(said=Said.DECLINED, code="AM04", decline=Decline.INSUFFICIENT_FUNDS)
        return Finding(said=Said.SUCCEEDED, amount_minor=request.amount_minor)

    desk.channel.paid = answer
    batch = approve(shop, upload(shop, a_file(lines_of(signed(shop), 5))), desk)
    batch = run(shop, batch, desk)
    assert batch.state is BatchState.PARTIAL
    clock.advance(timedelta(hours=1))
    assert shop.transact(lambda unit: batches.rerun(unit, batch.id, merchant=SHOP)) == 2
    batch = run(shop, batch, desk)
    assert batch.state is BatchState.COMPLETE
    assert desk.channel.verbs().count("pay") == 7
    with pytest.raises(DebitBatchStateForbids):
        shop.transact(lambda unit: batches.rerun(unit, batch.id))


def test_parts_follow_what_channels_take(shop: Database) -> None:
    desk = ScriptedDesk(capacity=replace(EVERYTHING, daily_most_minor=250, most_minor=120))
    made = signed(shop, channel="scripted")
    rows = [*lines_of(made, 5), ("B-9", made.mandate_no, "1.21", str(TODAY), "x")]
    batch = approve(shop, upload(shop, a_file(rows)), desk)
    with shop.reading() as connection:
        made_parts = batches.parts(connection, batch.id)
    assert [(one.channel, one.rows, one.sum_minor) for one in made_parts] == [
        ("scripted", 2, 200),
        ("scripted", 2, 200),
        ("scripted", 1, 100),
    ]
    assert errors_of(shop, batch) == [(8, "channel_limit")]


def test_parts_hold_every_row_once() -> None:
    rows = [(n, "ab"[n % 2], 7 * n % 50 + 1) for n in range(1, 200)]
    placed, parts = parts_of(rows, {"a": 100, "b": None})
    assert [line for line, _ in placed] == [line for line, _, _ in rows]
    assert sum(one.rows for one in parts) == len(rows)
    assert sum(one.sum_minor for one in parts) == sum(minor for _, _, minor in rows)
    assert all(one.sum_minor <= 100 for one in parts if one.channel == "a")


def test_another_merchants_file_is_not_found(shop: Database) -> None:
    batch = upload(shop, a_file(lines_of(signed(shop), 1)))
    with shop.reading() as connection, pytest.raises(DebitBatchIsUnknown):
        batches.read(connection, batch.id, merchant=OTHER_SHOP)
    with pytest.raises(DebitBatchIsUnknown):
        batches.recall(shop, batch.id, merchant=OTHER_SHOP, actor=MAKER)
    with pytest.raises(DebitBatchIsUnknown):
        batches.take_result(shop, batch.id, b"", merchant=OTHER_SHOP)
    with pytest.raises(DebitResultIsMalformed):
        batches.take_result(shop, batch.id, b"a,b\n")


def test_another_merchants_mandate_is_unknown_to_a_file(shop: Database) -> None:
    theirs = shop.transact(lambda unit: mandates.propose(unit, a_new_mandate(merchant=OTHER_SHOP)))
    batch = upload(shop, a_file(lines_of(theirs, 1)))
    assert (batch.state, batch.why) == (BatchState.REJECTED_FILE, "no row is good")


def test_control_totals_say_what_differs() -> None:
    head = Head(file_no="F", currency="CNY", amounts=Amounts.MINOR, stated_rows=2, stated_minor=500)
    assert totals_differ(head, 2, 500, 0) == ""
    assert "rows 3" in totals_differ(head, 3, 500, 0)
    assert "not known" in totals_differ(head, 2, 400, 1)
    assert "a 100th" in totals_differ(head, 2, 5, 0)


def test_the_command_line_checks_a_file(tmp_path: Path) -> None:
    rows: list[Line] = [(f"B-{n}", "M-1", "1.00", str(TODAY), f"{n}") for n in range(3)]
    good, wrong = tmp_path / "good.csv", tmp_path / "wrong.csv"
    good.write_bytes(a_file(rows))
    wrong.write_bytes(a_file([*rows, rows[0]]))
    runner = CliRunner()
    assert runner.invoke(payments_batch.app, ["check", str(good)]).exit_code == 0
    refused = runner.invoke(payments_batch.app, ["check", str(wrong), "--json"])
    assert refused.exit_code == 1
    assert [one["code"] for one in json.loads(refused.stdout)["errors"]] == ["debit_no_repeated"]
