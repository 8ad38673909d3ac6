"""The readers of the bank's files.

The files are those of the PKDD'99 Discovery Challenge: the translated edition (comma or semicolon,
ISO or yymmdd dates, quotes in some files) and the Czech original (`.asc`) are both read.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import date

from steelyard.imports.model.berka.operations import classify, read_partner, read_purpose
from steelyard.imports.model.berka.records import (
    Account,
    BerkaBank,
    Card,
    CardKind,
    Client,
    Disposition,
    DispositionRole,
    District,
    Loan,
    LoanOutcome,
    Sex,
    StandingOrder,
    StatementFrequency,
    Transaction,
)
from steelyard.imports.model.refusals import ImportFileMissing, ImportRowMalformed
from steelyard.imports.model.table import Row, Source, rows_of

STEMS = ("district", "client", "account", "disp", "trans", "order", "loan", "card")
"""The files, without their ending (`.csv` or `.asc`); cards may come in parts, `card_*.csv`."""

_ENDINGS = (".csv", ".asc")
_DISTRICT = (
    "code",
    "name",
    "region",
    "inhabitants",
    "municipalities_499",
    "municipalities_1999",
    "municipalities_9999",
    "municipalities_above",
    "cities",
    "urban",
    "salary",
    "unemployment_95",
    "unemployment_96",
    "entrepreneurs",
    "crimes_95",
    "crimes_96",
)
_FREQUENCIES = {
    "monthly issuance": StatementFrequency.MONTHLY,
    "poplatek mesicne": StatementFrequency.MONTHLY,
    "weekly issuance": StatementFrequency.WEEKLY,
    "poplatek tydne": StatementFrequency.WEEKLY,
    "issuance after transaction": StatementFrequency.AFTER_TRANSACTION,
    "poplatek po obratu": StatementFrequency.AFTER_TRANSACTION,
}
_ROLES = {role.value: role for role in DispositionRole}
_CARDS = {kind.value: kind for kind in CardKind}
_OUTCOMES = {
    "a": LoanOutcome.PAID,
    "b": LoanOutcome.NOT_PAID,
    "c": LoanOutcome.RUNNING,
    "d": LoanOutcome.RUNNING_IN_DEBT,
}


def source_of(files: Mapping[str, str], stem: str) -> Source:
    """Return one file of the bank by its name without ending.

    Refusals
    --------
    import_file_missing : neither `stem.csv` nor `stem.asc` is there
    """
    for ending in _ENDINGS:
        if stem + ending in files:
            return Source(stem + ending, files[stem + ending])
    raise ImportFileMissing(file=stem + _ENDINGS[0])


def read_bank(files: Mapping[str, str]) -> BerkaBank:
    """Read all files of the bank and check them against each other.

    Parameters
    ----------
    files : text of each file by its name, such as `trans.csv`; other names are left alone

    Refusals
    --------
    import_file_missing : one of `STEMS` is not there
    import_row_malformed : a value that cannot be read, an id that comes twice, a reference to
        nothing, an account with no owner or two; with file, line and column
    """
    sources = {stem: source_of(files, stem) for stem in STEMS if stem != "card"}
    card_sources = _card_sources(files)
    districts = read_districts(sources["district"])
    district_ids = frozenset(district.district_id for district in districts)
    clients = read_clients(sources["client"], district_ids)
    accounts = read_accounts(sources["account"], district_ids)
    account_ids = frozenset(account.account_id for account in accounts)
    dispositions = read_dispositions(
        sources["disp"], frozenset(client.client_id for client in clients), account_ids
    )
    disposition_ids = frozenset(d.disposition_id for d in dispositions)
    return BerkaBank(
        districts=districts,
        clients=clients,
        accounts=accounts,
        dispositions=dispositions,
        transactions=read_transactions(sources["trans"], account_ids),
        standing_orders=read_standing_orders(sources["order"], account_ids),
        loans=read_loans(sources["loan"], account_ids),
        cards=read_cards(card_sources, disposition_ids),
    )


def read_districts(source: Source) -> tuple[District, ...]:
    """Read `district`: its 16 columns by place, as the editions disagree on their names."""
    seen: set[int] = set()
    found = [_district(row, seen) for row in rows_of(source, _DISTRICT, by_position=True)]
    return tuple(sorted(found, key=lambda district: district.district_id))


def read_clients(source: Source, districts: Container[int]) -> tuple[Client, ...]:
    """Read `client`; day of birth and sex come out of the birth number."""
    seen: set[int] = set()
    found = []
    for row in rows_of(source, ("client_id", "birth_number", "district_id")):
        born_on, sex = _birth(row)
        found.append(
            Client(
                client_id=row.identifier("client_id", seen),
                born_on=born_on,
                sex=sex,
                district_id=row.reference("district_id", districts),
            )
        )
    return tuple(sorted(found, key=lambda client: client.client_id))


def read_accounts(source: Source, districts: Container[int]) -> tuple[Account, ...]:
    """Read `account`."""
    seen: set[int] = set()
    found = [
        Account(
            account_id=row.identifier("account_id", seen),
            district_id=row.reference("district_id", districts),
            statement_frequency=row.word("frequency", _FREQUENCIES),
            opened_on=row.day("date"),
        )
        for row in rows_of(source, ("account_id", "district_id", "frequency", "date"))
    ]
    return tuple(sorted(found, key=lambda account: account.account_id))


def read_dispositions(
    source: Source, clients: Container[int], accounts: frozenset[int]
) -> tuple[Disposition, ...]:
    """Read `disp`, where every one of `accounts` must have exactly one owner."""
    seen: set[int] = set()
    owned: set[int] = set()
    found = []
    line = 1
    for row in rows_of(source, ("disp_id", "client_id", "account_id", "type")):
        line = row.line
        disposition = Disposition(
            disposition_id=row.identifier("disp_id", seen),
            client_id=row.reference("client_id", clients),
            account_id=row.reference("account_id", accounts),
            role=row.word("type", _ROLES),
        )
        if disposition.role is DispositionRole.OWNER:
            if disposition.account_id in owned:
                row.refuse("type", "a second owner of the account", "账户出现第二个所有人")
            owned.add(disposition.account_id)
        found.append(disposition)
    if accounts - owned:
        account_id = min(accounts - owned)
        raise ImportRowMalformed(
            file=source.name,
            line=line,
            column="type",
            reason=f"the file ends without an owner of account {account_id}",
            reason_zh=f"文件结束仍无账户 {account_id} 的所有人",
        )
    return tuple(sorted(found, key=lambda disposition: disposition.disposition_id))


def read_transactions(source: Source, accounts: Container[int]) -> tuple[Transaction, ...]:
    """Read `trans` but for its column `balance`; sorted by account, day and id."""
    columns = ("trans_id", "account_id", "date", "type", "operation", "amount", "k_symbol")
    seen: set[int] = set()
    found = []
    for row in rows_of(source, (*columns, "bank", "account")):
        operation, purpose, counterparty = classify(row)
        found.append(
            Transaction(
                trans_id=row.identifier("trans_id", seen),
                account_id=row.reference("account_id", accounts),
                booked_on=row.day("date"),
                operation=operation,
                purpose=purpose,
                amount_minor=row.amount("amount"),
                counterparty=counterparty,
            )
        )
    return tuple(sorted(found, key=lambda t: (t.account_id, t.booked_on, t.trans_id)))


def read_standing_orders(source: Source, accounts: Container[int]) -> tuple[StandingOrder, ...]:
    """Read `order`."""
    columns = ("order_id", "account_id", "bank_to", "account_to", "amount", "k_symbol")
    seen: set[int] = set()
    found = [
        StandingOrder(
            order_id=row.identifier("order_id", seen),
            account_id=row.reference("account_id", accounts),
            counterparty=read_partner(row, "bank_to", "account_to"),
            amount_minor=row.amount("amount"),
            purpose=read_purpose(row),
        )
        for row in rows_of(source, columns)
    ]
    return tuple(sorted(found, key=lambda order: order.order_id))


def read_loans(source: Source, accounts: Container[int]) -> tuple[Loan, ...]:
    """Read `loan`."""
    columns = ("loan_id", "account_id", "date", "amount", "duration", "payments", "status")
    seen: set[int] = set()
    found = [
        Loan(
            loan_id=row.identifier("loan_id", seen),
            account_id=row.reference("account_id", accounts),
            granted_on=row.day("date"),
            amount_minor=row.amount("amount"),
            duration_months=row.integer("duration"),
            payment_minor=row.amount("payments"),
            outcome=row.word("status", _OUTCOMES),
        )
        for row in rows_of(source, columns)
    ]
    return tuple(sorted(found, key=lambda loan: loan.loan_id))


def read_cards(sources: tuple[Source, ...], dispositions: Container[int]) -> tuple[Card, ...]:
    """Read the parts of `card`; no card may be in two of them."""
    seen: set[int] = set()
    found = [
        Card(
            card_id=row.identifier("card_id", seen),
            disposition_id=row.reference("disp_id", dispositions),
            kind=row.word("type", _CARDS),
            issued_on=row.day("issued"),
        )
        for source in sources
        for row in rows_of(source, ("card_id", "disp_id", "type", "issued"))
    ]
    return tuple(sorted(found, key=lambda card: card.card_id))


def _card_sources(files: Mapping[str, str]) -> tuple[Source, ...]:
    parts = tuple(
        Source(name, text)
        for name, text in sorted(files.items())
        if name.endswith(_ENDINGS) and (name[:-4] == "card" or name.startswith("card_"))
    )
    if not parts:
        raise ImportFileMissing(file="card.csv")
    return parts


def _district(row: Row, seen: set[int]) -> District:
    return District(
        district_id=row.identifier("code", seen),
        name=row.text("name"),
        region=row.text("region"),
        inhabitants=row.integer("inhabitants"),
        municipalities_by_size=(
            row.integer("municipalities_499"),
            row.integer("municipalities_1999"),
            row.integer("municipalities_9999"),
            row.integer("municipalities_above"),
        ),
        cities=row.integer("cities"),
        urban_percent=row.number("urban"),
        average_salary_minor=row.amount("salary"),
        unemployment_1995_percent=row.number("unemployment_95"),
        unemployment_1996_percent=row.number("unemployment_96"),
        entrepreneurs_per_1000=row.number("entrepreneurs"),
        crimes_1995=row.number("crimes_95"),
        crimes_1996=row.number("crimes_96"),
    )


def _birth(row: Row) -> tuple[date, Sex]:
    """Return day of birth and sex: yymmdd, with 50 added to the month of a woman.

    The refusal does not show the number, which belongs to a person.
    """
    text = row.text("birth_number")
    if len(text) == 6 and text.isascii() and text.isdigit():
        year, month, day = int(text[:2]), int(text[2:4]), int(text[4:])
        sex = Sex.FEMALE if month > 50 else Sex.MALE
        try:
            return date(1900 + year, month - 50 if month > 50 else month, day), sex
        except ValueError:
            pass
    raise ImportRowMalformed(
        file=row.file,
        line=row.line,
        column="birth_number",
        reason="not a birth number (yymmdd, the month plus 50 for a woman)",
        reason_zh="不是出生编号（yymmdd，女性月份加 50）",
    )
