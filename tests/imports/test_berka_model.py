from __future__ import annotations

import doctest
import importlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from functools import cache
from itertools import permutations, product
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.imports.model.berka import (
    COUNTERPARTY_OF,
    OPERATION_LABELS,
    Agreement,
    BalanceColumn,
    BerkaBank,
    Comparison,
    Counterparty,
    CounterpartyKind,
    DispositionRole,
    LoanOutcome,
    Operation,
    Purpose,
    Sex,
    StatementFrequency,
    Transaction,
    Way,
    chronological,
    compare_balances,
    misfit_of,
    order_transactions,
    overdraft_limit_minor,
    overdrafts,
    read_balance_column,
    read_bank,
    sample_files,
    source_of,
)
from steelyard.imports.model.refusals import ImportFileMissing, ImportRowMalformed
from steelyard.imports.model.table import Source, rows_of
from steelyard.imports.store import read_folder, write_folder

CHECKOUT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("STEELYARD_DATA", CHECKOUT / "../shared/data")) / "berka"
CASH = Counterparty(CounterpartyKind.CASH)

DISTRICT = "A1;A2;A3;A4;A5;A6;A7;A8;A9;A10;A11;A12;A13;A14;A15;A16\n" + (
    "1;Hill;north;61000;3;9;4;1;2;61.5;8950;?;3.02;118;?;2310\n"
)
TRANS_HEADING = "trans_id;account_id;date;type;operation;amount;balance;k_symbol;bank;account\r\n"
FILES = MappingProxyType(
    {
        "district.csv": DISTRICT,
        "client.csv": '"client_id";"birth_number";"district_id"\n1;"706213";1\n2;"450204";1\n',
        "account.csv": (
            '"account_id";"district_id";"frequency";"date"\n7;1;"monthly issuance";930101\n'
        ),
        "disp.csv": (
            '"disp_id";"client_id";"account_id";"type"\n1;1;7;"OWNER"\n2;2;7;"DISPONENT"\n'
        ),
        "trans.csv": TRANS_HEADING
        + "5;7;930103;withdrawal in cash;withdrawal in cash;200.50;799.50; ;;0\r\n"
        + "9;7;930101;credit;credit in cash;1000.00;1000.00;;;\r\n",
        "order.csv": (
            "order_id,account_id,bank_to,account_to,amount,k_symbol\n"
            "3,7,YZ,87144583,2452.0,SIPO\n4,7,QR,123,1.0, \n"
        ),
        "loan.csv": (
            "loan_id,account_id,date,amount,duration,payments,status\n"
            "11,7,1994-01-05,96396,12,8033,B\n"
        ),
        "card_dev.csv": "card_id;disp_id;type;issued\n1;1;gold;960307\n",
        "card_comp.csv": '"card_id";"disp_id";"type";"issued"\r\n2;2;"junior";961028\r\n',
    }
)


def posted(ordered: Sequence[Transaction]) -> list[tuple[int, int]]:
    """What a ledger that starts from zero says after each row."""
    balance_minor = 0
    statement = []
    for row in ordered:
        balance_minor += row.signed_minor
        statement.append((row.trans_id, balance_minor))
    return statement


def line(trans_id: int, day: int, signed_minor: int, account_id: int = 7) -> Transaction:
    operation = Operation.CASH_DEPOSIT if signed_minor >= 0 else Operation.CASH_WITHDRAWAL
    return Transaction(
        trans_id=trans_id,
        account_id=account_id,
        booked_on=date(1995, 1, day),
        operation=operation,
        purpose=None,
        amount_minor=abs(signed_minor),
        counterparty=CASH,
    )


def column_of(ordered: Sequence[Transaction], noise: Sequence[int] = ()) -> BalanceColumn:
    """The column of a bank that booked in this order and wrote balances off by the noise."""
    balances = dict(posted(ordered))
    for trans_id, off_minor in zip(list(balances), noise, strict=False):
        balances[trans_id] += off_minor
    return BalanceColumn({7: balances})


def compared(files: dict[str, str]) -> tuple[BerkaBank, Comparison]:
    bank, column = read_bank(files), read_balance_column(source_of(files, "trans"))
    ordered = order_transactions(bank.transactions, column)
    ours = {account_id: posted(rows) for account_id, rows in ordered.items()}
    return bank, compare_balances(ours, column)


# --- readers


def test_the_files_become_records_whatever_their_delimiter_quotes_and_dates() -> None:
    bank = read_bank(FILES)
    district = bank.districts[0]
    assert (district.name, district.inhabitants, district.average_salary_minor) == (
        "Hill",
        61_000,
        895_000,
    )
    assert district.unemployment_1995_percent is None
    assert district.crimes_1995 is None
    assert [(c.born_on, c.sex) for c in bank.clients] == [
        (date(1970, 12, 13), Sex.FEMALE),
        (date(1945, 2, 4), Sex.MALE),
    ]
    account = bank.accounts[0]
    assert account.opened_on == date(1993, 1, 1)
    assert account.statement_frequency is StatementFrequency.MONTHLY
    assert [d.role for d in bank.dispositions] == [DispositionRole.OWNER, DispositionRole.DISPONENT]
    assert [(t.trans_id, t.signed_minor) for t in bank.transactions] == [(9, 100_000), (5, -20_050)]
    assert [(o.counterparty.key, o.amount_minor, o.purpose) for o in bank.standing_orders] == [
        ("other_bank/YZ/87144583", 245_200, Purpose.HOUSEHOLD),
        ("other_bank/QR/123", 100, None),
    ]
    loan = bank.loans[0]
    assert (loan.granted_on, loan.amount_minor, loan.payment_minor, loan.outcome) == (
        date(1994, 1, 5),
        9_639_600,
        803_300,
        LoanOutcome.NOT_PAID,
    )
    assert [(c.card_id, c.issued_on) for c in bank.cards] == [
        (1, date(1996, 3, 7)),
        (2, date(1996, 10, 28)),
    ]


def test_the_czech_original_is_read_too() -> None:
    files = dict(FILES)
    del files["trans.csv"], files["card_dev.csv"], files["card_comp.csv"]
    files["account.csv"] = files["account.csv"].replace("monthly issuance", "POPLATEK TYDNE")
    files["loan.csv"] = files["loan.csv"].replace(",", ";").replace("1994-01-05", "940105")
    files["card.asc"] = '"card_id";"disp_id";"type";"issued"\n1;1;"classic";"931107 00:00:00"\n'
    names = TRANS_HEADING.strip().split(";")
    files["trans.asc"] = ";".join(f'"{name}"' for name in names) + (
        '\n1;7;930101;"PRIJEM";"PREVOD Z UCTU";3679.00;4679.00;"DUCHOD";"AB";"41403269"\n'
        '2;7;930131;"PRIJEM";"";19.20;4698.20;"UROK";"";""\n'
        '3;7;930131;"VYDAJ";"VYBER";14.60;4683.60;"SLUZBY";"";""\n'
    )
    bank = read_bank(files)
    assert bank.accounts[0].statement_frequency is StatementFrequency.WEEKLY
    assert bank.loans[0].granted_on == date(1994, 1, 5)
    assert bank.cards[0].issued_on == date(1993, 11, 7)
    assert [(t.operation, t.purpose, t.counterparty.key) for t in bank.transactions] == [
        (Operation.TRANSFER_IN, Purpose.PENSION, "other_bank/AB/41403269"),
        (Operation.INTEREST_CREDITED, None, "interest_expense"),
        (Operation.STATEMENT_FEE, None, "fee_income"),
    ]


@pytest.mark.parametrize("missing", ["district.csv", "trans.csv", "order.csv", "loan.csv"])
def test_a_missing_file_is_refused_by_name(missing: str) -> None:
    with pytest.raises(ImportFileMissing) as refused:
        read_bank({name: text for name, text in FILES.items() if name != missing})
    assert refused.value.facts["file"] == missing
    assert missing in refused.value.sentence("zh-CN")


def test_no_part_of_the_cards_is_a_missing_file() -> None:
    with pytest.raises(ImportFileMissing, match=r"card\.csv"):
        read_bank({name: text for name, text in FILES.items() if not name.startswith("card")})


@pytest.mark.parametrize(
    ("name", "old", "new", "line_number", "column"),
    [
        ("trans.csv", "1000.00;1000", "1000.005;1000", 3, "amount"),
        ("trans.csv", "200.50;", "-200.50;", 2, "amount"),
        ("trans.csv", "200.50;", "2e2;", 2, "amount"),
        ("trans.csv", "930103", "930230", 2, "date"),
        ("trans.csv", "930103", "3.1.93", 2, "date"),
        ("trans.csv", "5;7;93", "9;7;93", 3, "trans_id"),
        ("trans.csv", "5;7;93", "5;8;93", 2, "account_id"),
        ("trans.csv", "withdrawal in cash;w", "theft;w", 2, "type"),
        ("trans.csv", "credit in cash", "remittance to another bank", 3, "operation"),
        ("trans.csv", "credit in cash", "collection from another bank", 3, "account"),
        ("trans.csv", "799.50; ;", "799.50;gift;", 2, "k_symbol"),
        ("trans.csv", ";799.50; ;;0", "", 2, "balance"),
        ("trans.csv", ";k_symbol", ";symbol", 1, "k_symbol"),
        ("client.csv", "706213", "701313", 2, "birth_number"),
        ("client.csv", "450204", "45020", 3, "birth_number"),
        ("client.csv", '204";1', '204";2', 3, "district_id"),
        ("client.csv", '204";1', '204";1;1', 3, "district_id"),
        ("account.csv", "monthly", "yearly", 2, "frequency"),
        ("disp.csv", "DISPONENT", "OWNER", 3, "type"),
        ("disp.csv", '1;1;7;"OWNER"', '1;1;7;"DISPONENT"', 3, "type"),
        ("disp.csv", '"DISPONENT"', '"DISPONENT', 3, "disp_id"),
        ("district.csv", "61000", "", 2, "inhabitants"),
        ("district.csv", "3.02", "3,02", 2, "unemployment_96"),
        ("order.csv", "SIPO", "UROK", 2, "k_symbol"),
        ("loan.csv", ",B", ",E", 2, "status"),
        ("card_dev.csv", "1;1;", "2;1;", 2, "card_id"),
        ("card_comp.csv", "2;2;", "2;3;", 2, "disp_id"),
    ],
)
def test_a_malformed_row_is_refused_with_its_place(
    name: str, old: str, new: str, line_number: int, column: str
) -> None:
    assert old in FILES[name]
    files = {**FILES, name: FILES[name].replace(old, new, 1)}
    with pytest.raises(ImportRowMalformed) as refused:
        read_bank(files)
    facts = refused.value.facts
    assert (facts["file"], facts["line"], facts["column"]) == (name, line_number, column)
    assert "?" not in refused.value.sentence("en")
    assert f"第 {line_number} 行" in refused.value.sentence("zh")


def test_a_refusal_does_not_show_a_birth_number() -> None:
    files = {**FILES, "client.csv": FILES["client.csv"].replace("706213", "701399")}
    with pytest.raises(ImportRowMalformed) as refused:
        read_bank(files)
    assert "701399" not in f"{refused.value} {refused.value.facts}"


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    with pytest.raises(ImportRowMalformed, match="empty"):
        list(rows_of(Source("trans.csv", text), ("trans_id",)))


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}.{:02d}", "{}.{:02d} "]))
def test_an_amount_is_read_exactly(minor: int, form: str) -> None:
    text = ("-" if minor < 0 else "") + form.format(*divmod(abs(minor), 100))
    row = next(rows_of(Source("x.csv", f"amount;y\n{text};1"), ("amount",)))
    assert row.minor("amount") == minor


@given(st.dates(date(1900, 1, 1), date(1999, 12, 31)), st.booleans())
def test_a_birth_number_gives_day_and_sex(born_on: date, is_female: bool) -> None:
    month = born_on.month + 50 * is_female
    number = f"{born_on.year % 100:02d}{month:02d}{born_on.day:02d}"
    files = {**FILES, "client.csv": FILES["client.csv"].replace("706213", number)}
    client = read_bank(files).clients[0]
    assert (client.born_on, client.sex is Sex.FEMALE) == (born_on, is_female)


def test_every_operation_has_its_names_and_its_other_side() -> None:
    assert set(OPERATION_LABELS) == set(COUNTERPARTY_OF) == set(Operation)
    assert len({label for pair in OPERATION_LABELS.values() for label in pair}) == 16
    assert Operation.SANCTION_INTEREST.label("zh") == "透支罚息"


def test_what_is_posted_does_not_carry_the_banks_balance() -> None:
    names = {field.name for field in fields(Transaction)}
    assert not {name for name in names if "balance" in name}
    files = {**FILES, "trans.csv": FILES["trans.csv"].replace(";799.50;", ";nonsense;")}
    assert read_bank(files) == read_bank(FILES)
    with pytest.raises(ImportRowMalformed, match="column balance"):
        read_balance_column(source_of(files, "trans"))


# --- the order within a day


def test_the_order_of_a_day_is_found() -> None:
    true = [line(30, 1, 90_000), line(20, 2, -50_000), line(10, 2, 70_000), line(40, 2, -15)]
    ordered = order_transactions(reversed(true), column_of(true))
    assert ordered == {7: tuple(true)}


def test_a_drift_of_earlier_days_does_not_mislead_the_order() -> None:
    true = [line(1, 1, 1_000), line(3, 2, 25), line(2, 2, -20), line(4, 2, 300)]
    column = column_of(true, noise=[-20, -20, -20, -20])
    assert order_transactions(true, column)[7] == tuple(true)


def test_the_order_of_a_day_may_depend_on_the_end_of_the_day_before() -> None:
    # Day 1 by itself fits both ways equally badly; only the step into day 2 tells its last row.
    a, b, c = line(1, 1, 500), line(2, 1, 500), line(3, 2, 100)
    column = BalanceColumn({7: {1: 1_000, 2: 1_000, 3: 1_100}})
    rows = order_transactions([a, b, c], column)[7]
    assert misfit_of(rows, column) == min(
        misfit_of(order, column) for order in ([a, b, c], [b, a, c])
    )


@st.composite
def statements(draw: st.DrawFn, days: int = 4, rows: int = 5) -> list[Transaction]:
    """Rows of one account in the bank's order, ids in an order of their own."""
    sizes = draw(st.lists(st.integers(1, rows), min_size=1, max_size=days))
    ids = draw(st.permutations(range(1, sum(sizes) + 1)))
    amount = st.integers(-3_000, 3_000).map(lambda tens: tens * 10)
    taken = iter(ids)
    return [
        line(next(taken), day, draw(amount))
        for day, size in enumerate(sizes, 1)
        for _ in range(size)
    ]


@given(statements(), st.randoms(use_true_random=False))
def test_an_exact_column_is_met_in_every_row_however_the_rows_are_shuffled(
    true: list[Transaction], random: object
) -> None:
    shuffled = list(true)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    column = column_of(true)
    found = order_transactions(shuffled, column)[7]
    assert found == order_transactions(true, column)[7]
    assert Counter(found) == Counter(true)
    assert [row.booked_on for row in found] == [row.booked_on for row in true]
    assert dict(posted(found)) == column.by_account[7]
    assert posted(found)[-1][1] == sum(row.signed_minor for row in true)


@settings(max_examples=60)
@given(
    statements(days=3, rows=3),
    st.lists(st.sampled_from([-40, -10, 0, 0, 0, 10, 20, 500]), min_size=9, max_size=9),
)
def test_no_order_fits_better_than_the_one_found(true: list[Transaction], noise: list[int]) -> None:
    column = column_of(true, noise)
    days = [[t for t in true if t.booked_on.day == day] for day in (1, 2, 3)]
    orders = product(*(list(permutations(day)) for day in days))
    best = min(misfit_of([row for day in order for row in day], column) for order in orders)
    assert misfit_of(order_transactions(true, column)[7], column) == best


def test_a_day_longer_than_the_complete_search_is_still_ordered() -> None:
    amounts = [(place * 7_919) % 1_009 * 10 - 4_000 for place in range(40)]
    true = [line(place * 37 % 61, 1, amount) for place, amount in enumerate(amounts, 1)]
    assert dict(posted(order_transactions(true, column_of(true))[7])) == dict(posted(true))


def test_the_bank_is_posted_day_by_day_with_each_accounts_own_order() -> None:
    first = (line(5, 1, 10), line(4, 2, 10), line(3, 2, 10))
    second = (line(2, 1, 10, account_id=8), line(1, 2, 10, account_id=8))
    merged = chronological({8: second, 7: first})
    assert [row.trans_id for row in merged] == [5, 2, 4, 3, 1]


# --- overdrafts


@given(st.lists(st.integers(-1_000, 1_000)))
def test_the_overdraft_limit_is_the_smallest_that_lets_every_row_pass(changes: list[int]) -> None:
    limit_minor = overdraft_limit_minor(changes)
    balances = [sum(changes[: place + 1]) for place in range(len(changes))]
    assert all(balance >= -limit_minor for balance in balances)
    assert limit_minor == 0 or -limit_minor in balances


def test_only_accounts_below_zero_are_listed() -> None:
    below = (line(1, 1, 10, account_id=8), line(2, 1, -30, account_id=8))
    assert overdrafts({7: (line(3, 1, 10),), 8: below}) == {8: 20}


# --- the comparison


def test_both_ways_of_the_comparison_by_hand() -> None:
    column = BalanceColumn({7: {1: 1_000, 2: 1_500, 3: 1_210, 4: 900}})
    # changes 1000, 490, -300, -330: off by 0, -10, -20, -40 in sum and by 0, -10, -10, -20 a row
    ours = {7: [(1, 1_000), (2, 1_490), (3, 1_190), (4, 860)]}
    account = compare_balances(ours, column).accounts[0]
    cumulative, row_to_row = account.cumulative, account.row_to_row
    assert (cumulative.rows_exact, cumulative.rows_within, cumulative.rows_beyond) == (1, 1, 2)
    assert (row_to_row.rows_exact, row_to_row.rows_within, row_to_row.rows_beyond) == (1, 2, 1)
    assert (cumulative.largest_minor, row_to_row.largest_minor) == (-40, -20)
    assert account.agreement(Way.CUMULATIVE) is Agreement.DIFFERS


def test_the_verdicts_are_counted_and_the_furthest_comes_first() -> None:
    column = BalanceColumn({n: {n: 100, n + 50: 200} for n in (1, 2, 3, 4)})
    ours = {
        1: [(1, 100), (51, 200)],
        2: [(2, 110), (52, 210)],
        3: [(3, 110), (53, 220)],
        4: [(4, 100), (54, 900)],
    }
    comparison = compare_balances(ours, column)
    assert {a: comparison.count(Way.CUMULATIVE, a) for a in Agreement} == {
        Agreement.EXACT: 1,
        Agreement.WITHIN_ROUNDING: 1,
        Agreement.DIFFERS: 2,
        Agreement.INCOMPLETE: 0,
    }
    assert [a.account_id for a in comparison.differing(Way.CUMULATIVE)] == [4, 3]
    assert [a.account_id for a in comparison.differing(Way.ROW_TO_ROW)] == [4]
    assert comparison.largest_differences(Way.CUMULATIVE) == {0: 1, 10: 1, 20: 1, 700: 1}
    assert comparison.accumulated_rounding == 1
    assert comparison.rows == 8


@pytest.mark.parametrize(
    ("ours", "missing", "surplus"),
    [
        ({}, 2, 0),
        ({7: [(1, 100)]}, 1, 0),
        ({7: [(1, 100), (2, 200), (3, 300)]}, 0, 1),
        ({7: [(1, 100), (2, 200), (2, 200)]}, 0, 1),
    ],
)
def test_rows_of_one_side_only_are_never_called_agreement(
    ours: dict[int, list[tuple[int, int]]], missing: int, surplus: int
) -> None:
    comparison = compare_balances(ours, BalanceColumn({7: {1: 100, 2: 200}}))
    account = comparison.accounts[0]
    assert (account.rows_missing, account.rows_surplus) == (missing, surplus)
    assert comparison.count(Way.ROW_TO_ROW, Agreement.INCOMPLETE) == 1
    assert comparison.largest_differences(Way.CUMULATIVE) == {}


def test_an_account_without_rows_on_either_side_is_not_counted() -> None:
    assert compare_balances({7: []}, BalanceColumn({})).accounts == ()


def test_a_wrong_amount_in_the_ledger_is_seen() -> None:
    files = sample_files()
    bank, column = read_bank(files), read_balance_column(source_of(files, "trans"))
    ordered = order_transactions(bank.transactions, column)
    ours = {account_id: posted(rows) for account_id, rows in ordered.items()}
    account_id = bank.accounts[0].account_id
    ours[account_id] = [(trans_id, minor + 100) for trans_id, minor in ours[account_id]]
    comparison = compare_balances(ours, column)
    assert account_id in [a.account_id for a in comparison.differing(Way.ROW_TO_ROW)]


# --- the sample


def test_the_sample_is_the_same_for_the_same_seed() -> None:
    assert sample_files(3) == sample_files(3)
    assert sample_files(3) != sample_files(4)


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_the_sample_has_its_sizes_and_its_quirks(seed: int) -> None:
    files = sample_files(seed)
    bank, comparison = compared(files)
    assert (len(bank.clients), len(bank.accounts), len(bank.transactions)) == (60, 50, 600)
    assert len(bank.dispositions) == 60
    assert len(comparison.accounts) == 40
    assert min(map(len, (bank.loans, bank.cards, bank.standing_orders, bank.districts))) > 0
    assert comparison.count(Way.CUMULATIVE, Agreement.EXACT) > 0
    assert comparison.count(Way.CUMULATIVE, Agreement.WITHIN_ROUNDING) > 0
    assert comparison.accumulated_rounding > 0
    assert comparison.differing(Way.ROW_TO_ROW) == ()
    column = read_balance_column(source_of(files, "trans"))
    ordered = order_transactions(bank.transactions, column)
    assert list(overdrafts(ordered)) == [14]
    by_day = Counter((t.account_id, t.booked_on) for t in bank.transactions)
    assert max(by_day.values()) >= 6
    in_file = [int(row.text("trans_id")) for row in rows_of(source_of(files, "trans"), ())]
    found = [row.trans_id for rows in ordered.values() for row in rows]
    assert sorted(in_file) == sorted(found)
    assert in_file != found


def test_the_sample_can_be_larger() -> None:
    bank, comparison = compared(sample_files(clients=120, accounts=100, transactions=12_000))
    assert (len(bank.accounts), len(bank.transactions)) == (100, 12_000)
    assert comparison.differing(Way.ROW_TO_ROW) == ()


def test_the_sample_survives_the_folder(tmp_path: Path) -> None:
    files = sample_files()
    write_folder(tmp_path / "bank", files)
    (tmp_path / "bank" / "notes.txt").write_text("not a file of the bank")
    assert read_folder(tmp_path / "bank") == files


def test_a_folder_that_is_not_there_and_a_file_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFileMissing):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "client.csv").write_bytes(b"client_id;birth_number\n1;\xff\xfe\n")
    with pytest.raises(ImportRowMalformed) as refused:
        read_folder(tmp_path)
    assert (refused.value.facts["line"], refused.value.facts["column"]) == (2, 2)


@pytest.mark.parametrize("name", ["table", "berka.operations", "berka.ordering"])
def test_the_examples_run(name: str) -> None:
    module = importlib.import_module(f"steelyard.imports.model.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


# --- the real bank

needs_real = pytest.mark.skipif(
    not (REAL / "trans.csv").is_file(),
    reason="the Berka data is absent: set STEELYARD_DATA to the folder that holds berka/",
)


@cache
def real_files() -> dict[str, str]:
    return read_folder(REAL)


@needs_real
def test_the_real_bank_is_read_whole() -> None:
    bank = read_bank(real_files())
    assert len(bank.clients) == len(bank.dispositions) == 5_369
    assert (len(bank.accounts), len(bank.transactions), len(bank.districts)) == (4_500, 30_200, 77)
    assert (len(bank.standing_orders), len(bank.loans), len(bank.cards)) == (6_471, 682, 202)
    assert Counter(t.operation for t in bank.transactions) == {
        Operation.CASH_WITHDRAWAL: 10_660,
        Operation.CASH_DEPOSIT: 5_304,
        Operation.INTEREST_CREDITED: 5_130,
        Operation.TRANSFER_OUT: 4_375,
        Operation.STATEMENT_FEE: 3_186,
        Operation.TRANSFER_IN: 1_448,
        Operation.CARD_WITHDRAWAL: 54,
        Operation.SANCTION_INTEREST: 43,
    }
    partners = {t.counterparty for t in bank.transactions if t.counterparty.account}
    assert len(partners) == 540


@needs_real
def test_the_real_balances_agree_row_to_row_and_drift_by_their_rounding() -> None:
    _, comparison = compared(real_files())
    assert comparison.rows == 30_200
    assert [comparison.count(Way.CUMULATIVE, a) for a in Agreement] == [34, 191, 129, 0]
    assert [comparison.count(Way.ROW_TO_ROW, a) for a in Agreement] == [34, 320, 0, 0]
    assert comparison.largest_differences(Way.CUMULATIVE) == {
        0: 34,
        10: 191,
        20: 86,
        30: 28,
        40: 9,
        50: 4,
        60: 2,
    }


@needs_real
def test_the_real_accounts_below_zero_are_those_below_zero_at_the_bank() -> None:
    bank = read_bank(real_files())
    column = read_balance_column(source_of(real_files(), "trans"))
    limits = overdrafts(order_transactions(bank.transactions, column))
    below = {a for a, rows in column.by_account.items() if min(rows.values()) < 0}
    assert set(limits) == below
    assert len(limits) == 14
    assert max(limits.items(), key=lambda item: item[1]) == (2335, 1_703_030)
