"""Routes: books, accounts, transfers, balances, statements, proofs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    Cursor,
    Limit,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.kernel import CursorIsInvalid, Refusal, RefusalKind, UnknownCurrency
from steelyard.ledger import (
    CHARTS,
    REFUSALS,
    Account,
    AccountKind,
    Answer,
    Book,
    BookReader,
    ChartIsOfOtherFunds,
    ChartIsUnknown,
    Funds,
    Item,
    Kind,
    NewAccount,
    Search,
    Transfer,
    accepted,
    accounts_of,
    books,
    close_account,
    close_day,
    close_period,
    entry_of,
    open_accounts,
    open_book,
    open_chart,
    post,
    refusals,
    reverse,
    set_limits,
)

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])

MAX_TRANSFERS = 2_000
MAX_ACCOUNTS = 1_000
_MOST = 2**62 - 1

Reads = Annotated[Read, reading("ledger.read")]
BookId = Annotated[str, Path(description="id of the book", max_length=40)]
Ref = Annotated[str, StringConstraints(max_length=120, min_length=1)]
AccountRefIn = Annotated[Ref, Path(description="account: its code, or its number")]
Minor = Annotated[int, Field(description="minor units of the currency", ge=0, le=_MOST)]
Cause = Annotated[str, StringConstraints(max_length=120)]
Text = Annotated[str, StringConstraints(max_length=200, min_length=1)]
Metadata = dict[str, bool | int | str]


class KeyIsNotTheTransferId(Refusal):
    """The hot path takes the transfer's id as idempotency key."""

    kind = RefusalKind.INVALID
    en = "The Idempotency-Key of this route is the id of the transfer, a UUID."
    zh = "该接口的 Idempotency-Key 即转账编号，须为 UUID。"


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BookIn(_In):
    """A book to open."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "id": "shop",
                "name": "Shop wallets",
                "funds": "client",
                "timezone": "Asia/Shanghai",
                "business_on": "2026-03-02",
                "chart": "wallets",
                "currencies": ["CNY"],
            }
        },
    )

    id: Annotated[str, StringConstraints(max_length=40)]
    name: Text
    funds: Literal["own", "client"] = Field(description="whose money it keeps, for ever")
    timezone: Annotated[str, StringConstraints(max_length=60)] = "UTC"
    business_on: date = Field(description="its first business date")
    chart: Text | None = Field(None, description="chart of accounts that it begins with")
    currencies: list[Annotated[str, StringConstraints(max_length=3)]] = Field(
        default_factory=list, max_length=20, description="in which the chart is opened"
    )


class BookOut(BaseModel):
    """A book as it stands."""

    id: str
    name: str
    timezone: str
    funds: Literal["own", "client"]
    business_on: date
    closed_through: date | None
    accounts: int
    transfers: int
    head: str = Field(description="hash of the last transfer, hexadecimal")

    @classmethod
    def of(cls, book: Book) -> BookOut:
        """Return the wire form of a book."""
        return cls(
            id=book.id,
            name=book.name,
            timezone=book.timezone,
            funds=book.funds.value,
            business_on=book.business_on,
            closed_through=book.closed_through,
            accounts=book.accounts,
            transfers=book.transfers,
            head=book.head.hex(),
        )


class ChartLineOut(BaseModel):
    """An account of a chart."""

    code: str
    kind: Literal["asset", "liability", "equity", "income", "expense"]
    name_en: str
    name_zh: str


class ChartOut(BaseModel):
    """The accounts that a book of some business begins with."""

    name: str
    version: int
    funds: Literal["own", "client"]
    name_en: str
    name_zh: str
    lines: list[ChartLineOut]


class ChartsOut(BaseModel):
    """Every chart of accounts."""

    items: list[ChartOut]


class BooksOut(BaseModel):
    """Every book."""

    items: list[BookOut]


class AccountIn(_In):
    """An account to open."""

    code: Annotated[str, StringConstraints(max_length=120)]
    currency: Annotated[str, StringConstraints(max_length=3)]
    kind: Literal["asset", "liability", "equity", "income", "expense"]
    owner: Text | None = None
    debit_limit: Minor | None = None
    credit_limit: Minor | None = None
    mirrors: Annotated[str, StringConstraints(max_length=40)] | None = None
    metadata: Metadata | None = None

    def made(self) -> NewAccount:
        """Return the value."""
        return NewAccount(
            code=self.code,
            currency=self.currency,
            kind=AccountKind(self.kind),
            owner=self.owner,
            debit_limit=self.debit_limit,
            credit_limit=self.credit_limit,
            mirrors=self.mirrors,
            metadata=self.metadata,
        )


class AccountsIn(_In):
    """Accounts to open in one transaction, all or none."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "cause": "rule.sign_up@1",
                "accounts": [
                    {"code": "wallet:7", "currency": "CNY", "kind": "liability", "debit_limit": 0}
                ],
            }
        },
    )

    cause: Cause
    accounts: list[AccountIn] = Field(min_length=1, max_length=MAX_ACCOUNTS)


class AccountOut(BaseModel):
    """An account as it stands; amounts in minor units."""

    id: int
    book: str
    code: str
    currency: str
    kind: Literal["asset", "liability", "equity", "income", "expense"]
    owner: str | None
    mirrors: str | None
    metadata: Metadata | None
    balance_minor: int = Field(description="posted, on the account's natural side")
    spendable_minor: int | None = Field(description="what can be debited; null: no limit")
    debits_posted: int
    debits_held: int
    credits_posted: int
    credits_held: int
    debit_limit: int | None
    credit_limit: int | None
    closed: bool
    opened_at: datetime

    @classmethod
    def of(cls, account: Account) -> AccountOut:
        """Return the wire form of an account."""
        return cls(
            id=account.id,
            book=account.book,
            code=account.code,
            currency=account.currency,
            kind=account.kind.value,
            owner=account.owner,
            mirrors=account.mirrors,
            metadata=None if account.metadata is None else dict(account.metadata),
            balance_minor=account.balance_minor,
            spendable_minor=account.spendable_minor,
            debits_posted=account.debits_posted,
            debits_held=account.debits_held,
            credits_posted=account.credits_posted,
            credits_held=account.credits_held,
            debit_limit=account.debit_limit,
            credit_limit=account.credit_limit,
            closed=account.closed,
            opened_at=account.opened_at,
        )


class AccountPage(PageOut):
    """Accounts by number."""

    items: list[AccountOut]


class AccountsOut(BaseModel):
    """Accounts, in the order asked for."""

    items: list[AccountOut]


class LimitsIn(_In):
    """Both limits of an account; null is no limit."""

    cause: Cause
    debit_limit: Minor | None
    credit_limit: Minor | None


class CauseIn(_In):
    """Who says so, `name@version`."""

    cause: Cause


class TransferBody(_In):
    """What a transfer does; see `kind`."""

    cause: Cause = Field(description="who says that the money moves, `name@version`")
    kind: Literal["single", "hold", "post", "void", "reversal"] = "single"
    debit: Ref | None = Field(None, description="code or number of the account debited")
    credit: Ref | None = Field(None, description="code or number of the account credited")
    amount_minor: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    currency: Annotated[str, StringConstraints(max_length=3)] | None = None
    refers_to: UUID | None = Field(None, description="hold to resolve, or transfer to reverse")
    linked: bool = Field(False, description="stands or falls with the next one of the batch")
    at_most: bool = Field(False, description="as much of the amount as the limits allow")
    entry: UUID | None = None
    effective_on: date | None = Field(None, description="value date; the book's date if null")
    expires_at: AwareDatetime | None = None
    decision_id: UUID | None = None
    metadata: Metadata | None = None

    def made(self, book: str, id: UUID) -> Transfer:
        """Return the value."""
        return Transfer(
            id=id,
            book=book,
            cause=self.cause,
            debit=_account(self.debit),
            credit=_account(self.credit),
            amount_minor=self.amount_minor,
            currency=self.currency,
            kind=Kind[self.kind.upper()],
            refers_to=self.refers_to,
            linked=self.linked,
            at_most=self.at_most,
            entry=self.entry,
            effective_on=self.effective_on,
            expires_at=self.expires_at,
            decision_id=self.decision_id,
            metadata=self.metadata,
        )


class TransferIn(TransferBody):
    """A transfer of a batch."""

    id: UUID = Field(description="chosen by you; a repeat carries the same id")


class TransfersIn(_In):
    """Transfers of one book in one transaction; each is answered by itself."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "transfers": [
                    {
                        "id": "0198f6f0-7d1a-7c3e-9a55-1f6f2b1c0d11",
                        "cause": "no_policy@0",
                        "debit": "wallet:7",
                        "credit": "shop:3",
                        "amount_minor": 1990,
                        "currency": "CNY",
                    }
                ]
            }
        },
    )

    transfers: list[TransferIn] = Field(min_length=1, max_length=MAX_TRANSFERS)


class AnswerOut(BaseModel):
    """The answer to one transfer."""

    id: UUID
    outcome: str = Field(description="`created`, `exists`, or the code of a refusal")
    about: str = Field(description="field or account that a refusal is about")
    title: str | None = Field(description="the sentence of a refusal, in the reader's language")
    at: int | None = Field(description="recording instant, microseconds since 1970")
    amount_minor: int | None
    debit_balance: int | None = Field(description="debits less credits of the debited account")
    credit_balance: int | None
    hash: str | None

    @classmethod
    def of(cls, answer: Answer, language: str) -> AnswerOut:
        """Return the wire form of an answer."""
        refused = REFUSALS.get(answer.outcome)
        record = answer.record
        shown = record if answer.outcome.is_accepted else None
        sentence = refused(id=answer.id, about=answer.about).sentence(language) if refused else None
        return cls(
            id=answer.id,
            outcome=answer.outcome.value,
            about=answer.about,
            title=sentence,
            at=shown.at if shown else None,
            amount_minor=shown.amount_minor if shown else None,
            debit_balance=shown.debit_balance if shown else None,
            credit_balance=shown.credit_balance if shown else None,
            hash=shown.hash.hex() if shown else None,
        )


class AnswersOut(BaseModel):
    """One answer for each transfer, in their order."""

    items: list[AnswerOut]


class MovementOut(BaseModel):
    """A recorded transfer."""

    id: UUID
    book: str
    at: int
    recorded_at: datetime
    effective_on: date
    kind: Literal["single", "hold", "post", "void", "reversal"]
    debit: int
    debit_code: str
    credit: int
    credit_code: str
    amount_minor: int
    currency: str
    cause: str
    refers_to: UUID | None
    entry: UUID | None
    decision_id: UUID | None
    hash: str

    @classmethod
    def of(cls, movement: Any) -> MovementOut:
        """Return the wire form of a movement."""
        fields = {name: getattr(movement, name) for name in cls.model_fields if name != "kind"}
        return cls(kind=movement.kind.word, **fields)


class MovementPage(PageOut):
    """Movements, the newest first."""

    items: list[MovementOut]


class EntryOut(BaseModel):
    """The movements of a journal entry, in all the books that it touches."""

    items: list[MovementOut]


class LineOut(BaseModel):
    """A line of a statement."""

    at: int
    recorded_at: datetime
    id: UUID
    kind: str
    effective_on: date
    counter: int
    counter_code: str
    change_minor: int
    balance_minor: int
    cause: str
    entry: UUID | None

    @classmethod
    def of(cls, line: Any) -> LineOut:
        """Return the wire form of a line."""
        own = {"kind", "counter", "counter_code"}
        fields = {name: getattr(line, name) for name in cls.model_fields if name not in own}
        number, code = line.counter
        return cls(kind=line.kind.word, counter=number, counter_code=code, **fields)


class StatementPage(PageOut):
    """Lines of a statement, each with the balance after it."""

    items: list[LineOut]


class BalanceOut(BaseModel):
    """A posted balance, on the account's natural side."""

    account: int
    code: str
    currency: str
    balance_minor: int
    recorded_at: datetime | None
    effective_on: date | None


class TrialTotalOut(BaseModel):
    """The columns of a trial balance for one currency."""

    currency: str
    accounts: int
    debit_minor: int
    credit_minor: int
    difference_minor: int


class TrialLineOut(BaseModel):
    """The balance of one account."""

    account: int
    code: str
    kind: str
    currency: str
    debit_minor: int
    credit_minor: int


class TrialOut(BaseModel):
    """A trial balance."""

    book: str
    is_balanced: bool
    totals: list[TrialTotalOut]
    lines: list[TrialLineOut]


class HeadOut(BaseModel):
    """The end of a book's chain, to be published where nobody can change it."""

    book: str
    transfers: int
    at: int
    hash: str


class DayIn(_In):
    """The business date to go on to; the next day if null."""

    next_on: date | None = None


class PeriodIn(_In):
    """Last day of the period that is closed."""

    through: date


def _account(reference: str | None) -> int | str | None:
    if reference is not None and reference.isascii() and reference.isdecimal():
        return int(reference)
    return reference


_NO_BOOK = (refusals.BookNotFound,)
_NO_ACCOUNT = (refusals.BookNotFound, refusals.AccountNotFound)


@router.get("/charts", response_model=ChartsOut, responses=refused_by())
def list_charts(read: Reads) -> ChartsOut:
    """List the charts of accounts that a book can begin with."""
    return ChartsOut(
        items=[
            ChartOut(
                name=chart.name,
                version=chart.version,
                funds=chart.funds.value,
                name_en=chart.en,
                name_zh=chart.zh,
                lines=[
                    ChartLineOut(
                        code=line.code, kind=line.kind.value, name_en=line.en, name_zh=line.zh
                    )
                    for line in chart.lines
                ],
            )
            for chart in CHARTS.values()
        ]
    )


@router.get("/books", response_model=BooksOut, responses=refused_by())
def list_books(read: Reads) -> BooksOut:
    """List the books."""
    with read.database.reading() as connection:
        return BooksOut(items=[BookOut.of(book) for book in books(connection)])


@router.post(
    "/books",
    response_model=BookOut,
    status_code=201,
    responses=refused_by(
        refusals.BookIsMalformed,
        refusals.BookExists,
        refusals.AccountExists,
        ChartIsUnknown,
        ChartIsOfOtherFunds,
        UnknownCurrency,
        write=True,
    ),
)
def open_a_book(body: BookIn, write: Annotated[Write, writing("ledger.open_book")]) -> Response:
    """Open a book, with a chart of accounts if one is named; again, nothing changes."""

    def work(unit: UnitOfWork) -> BookOut:
        made = open_book(
            unit,
            body.id,
            name=body.name,
            funds=Funds(body.funds),
            business_on=body.business_on,
            timezone=body.timezone,
        )
        if body.chart is not None:
            open_chart(unit, body.id, body.chart, currencies=body.currencies)
            made = BookReader(unit.connection, body.id).book
        return BookOut.of(made)

    return write.run(work, status=201)


@router.get("/books/{book}", response_model=BookOut, responses=refused_by(*_NO_BOOK))
def read_a_book(book: BookId, read: Reads) -> BookOut:
    """Show a book."""
    with read.database.reading() as connection:
        return BookOut.of(BookReader(connection, book).book)


@router.get("/books/{book}/head", response_model=HeadOut, responses=refused_by(*_NO_BOOK))
def read_head(book: BookId, read: Reads) -> HeadOut:
    """Show the end of the book's hash chain."""
    with read.database.reading() as connection:
        head = BookReader(connection, book).head()
    return HeadOut(book=head.book, transfers=head.transfers, at=head.at, hash=head.hash)


@router.post(
    "/books/{book}/accounts",
    response_model=AccountsOut,
    status_code=201,
    responses=refused_by(
        refusals.BookNotFound,
        refusals.AccountIsMalformed,
        refusals.AccountExists,
        refusals.ClientFundsCannotBeEarned,
        refusals.PersonalData,
        UnknownCurrency,
        write=True,
    ),
)
def open_some_accounts(
    book: BookId, body: AccountsIn, write: Annotated[Write, writing("ledger.open_account")]
) -> Response:
    """Open accounts, all or none; those that exist on the same terms are kept."""

    def work(unit: UnitOfWork) -> AccountsOut:
        made = [account.made() for account in body.accounts]
        numbers = open_accounts(unit, book, made, cause=body.cause)
        reader = BookReader(unit.connection, book)
        return AccountsOut(items=[AccountOut.of(reader.account(n)) for n in numbers])

    return write.run(work, status=201)


@router.get(
    "/books/{book}/accounts",
    response_model=AccountPage,
    responses=refused_by(*_NO_BOOK, CursorIsInvalid),
)
def list_accounts(
    book: BookId, read: Reads, cursor: Cursor = None, limit: Limit = 50
) -> AccountPage:
    """List the accounts of a book, by number."""
    with read.database.reading() as connection:
        page = BookReader(connection, book).accounts(cursor=cursor, limit=limit)
    return page_out(AccountPage, page, AccountOut.of)


@router.get("/accounts", response_model=AccountsOut, responses=refused_by())
def list_accounts_of(read: Reads, owner: Annotated[Text, Query()]) -> AccountsOut:
    """List the accounts of an owner (`noun:id`) in all books."""
    with read.database.reading() as connection:
        return AccountsOut(items=[AccountOut.of(a) for a in accounts_of(connection, owner)])


@router.get(
    "/books/{book}/accounts/{account}",
    response_model=AccountOut,
    responses=refused_by(*_NO_ACCOUNT),
)
def read_an_account(book: BookId, account: AccountRefIn, read: Reads) -> AccountOut:
    """Show an account."""
    with read.database.reading() as connection:
        return AccountOut.of(BookReader(connection, book).account(_some(account)))


@router.put(
    "/books/{book}/accounts/{account}/limits",
    response_model=AccountOut,
    responses=refused_by(
        *_NO_ACCOUNT,
        refusals.AccountIsMalformed,
        refusals.AccountClosed,
        refusals.LimitBelowUse,
        write=True,
    ),
)
def set_account_limits(
    book: BookId,
    account: AccountRefIn,
    body: LimitsIn,
    write: Annotated[Write, writing("ledger.set_limits")],
) -> Response:
    """Set both limits of an account; what they were is kept, with the cause."""

    def work(unit: UnitOfWork) -> AccountOut:
        set_limits(
            unit,
            book,
            _some(account),
            debit_limit=body.debit_limit,
            credit_limit=body.credit_limit,
            cause=body.cause,
        )
        return AccountOut.of(BookReader(unit.connection, book).account(_some(account)))

    return write.run(work)


@router.post(
    "/books/{book}/accounts/{account}/close",
    response_model=AccountOut,
    responses=refused_by(
        *_NO_ACCOUNT, refusals.AccountIsMalformed, refusals.AccountIsNotEmpty, write=True
    ),
)
def close_an_account(
    book: BookId,
    account: AccountRefIn,
    body: CauseIn,
    write: Annotated[Write, writing("ledger.close_account")],
) -> Response:
    """Close an account for ever, at zero."""

    def work(unit: UnitOfWork) -> AccountOut:
        close_account(unit, book, _some(account), cause=body.cause)
        return AccountOut.of(BookReader(unit.connection, book).account(_some(account)))

    return write.run(work)


@router.get(
    "/books/{book}/accounts/{account}/balance",
    response_model=BalanceOut,
    responses=refused_by(*_NO_ACCOUNT),
)
def read_balance(
    book: BookId,
    account: AccountRefIn,
    read: Reads,
    recorded_at: Annotated[AwareDatetime | None, Query(description="as it was known then")] = None,
    effective_on: Annotated[date | None, Query(description="value dates up to this day")] = None,
) -> BalanceOut:
    """Show a balance, now or at a point of either time."""
    with read.database.reading() as connection:
        reader = BookReader(connection, book)
        found = reader.account(_some(account))
        known = None if recorded_at is None else recorded_at.astimezone(UTC)
        amount = reader.balance(found.id, recorded_at=known, effective_on=effective_on)
    return BalanceOut(
        account=found.id,
        code=found.code,
        currency=found.currency,
        balance_minor=amount,
        recorded_at=recorded_at,
        effective_on=effective_on,
    )


@router.get(
    "/books/{book}/accounts/{account}/statement",
    response_model=StatementPage,
    responses=refused_by(*_NO_ACCOUNT, CursorIsInvalid),
)
def read_statement(  # noqa: PLR0917  (query parameters)
    book: BookId,
    account: AccountRefIn,
    read: Reads,
    start: Literal["oldest", "newest"] = "newest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> StatementPage:
    """Show the posted movements of an account, with the balance after each."""
    with read.database.reading() as connection:
        page = BookReader(connection, book).statement(
            _some(account), start=start, cursor=cursor, limit=limit
        )
    return page_out(StatementPage, page, LineOut.of)


@router.post(
    "/books/{book}/transfers",
    response_model=AnswersOut,
    responses=refused_by(write=True),
)
def post_transfers(
    book: BookId, body: TransfersIn, write: Annotated[Write, writing("ledger.post")]
) -> Response:
    """Post transfers in one transaction; a refusal is the answer to its own transfer alone."""

    def work(unit: UnitOfWork) -> AnswersOut:
        answers = post(unit, [t.made(book, t.id) for t in body.transfers])
        return AnswersOut(items=[AnswerOut.of(answer, write.language) for answer in answers])

    return write.run(work)


@router.post(
    "/books/{book}/transfer",
    response_model=AnswerOut,
    responses=refused_by(
        KeyIsNotTheTransferId,
        refusals.LedgerIsBusy,
        refusals.PostingIsUnknown,
        *REFUSALS.values(),
        write=True,
    ),
)
async def post_one_transfer(
    book: BookId, body: TransferBody, write: Annotated[Write, writing("ledger.post")]
) -> AnswerOut:
    """Post one transfer by group commit; the Idempotency-Key is its id.

    The answer comes when the transfer is durable. Sent again with the same key, the same transfer
    is answered `exists`; another one is refused.
    """
    try:
        id = UUID(write.key)
    except ValueError:
        raise KeyIsNotTheTransferId from None
    answers = await write.platform.ledger_queue.post_async(
        Item((body.made(book, id),), actor=write.caller.actor)
    )
    return AnswerOut.of(accepted(answers)[0], write.language)


@router.post(
    "/books/{book}/transfers/{id}/reverse",
    response_model=AnswersOut,
    responses=refused_by(*REFUSALS.values(), write=True),
)
def reverse_transfer(
    book: BookId, id: UUID, body: CauseIn, write: Annotated[Write, writing("ledger.reverse")]
) -> Response:
    """Reverse a transfer, or all of a journal entry, by mirrors in the open period."""

    def work(unit: UnitOfWork) -> AnswersOut:
        answers = reverse(unit, book, id, cause=body.cause)
        return AnswersOut(items=[AnswerOut.of(answer, write.language) for answer in answers])

    return write.run(work)


@router.get(
    "/books/{book}/movements",
    response_model=MovementPage,
    responses=refused_by(*_NO_BOOK, CursorIsInvalid),
)
def list_movements(  # noqa: PLR0917  (query parameters)
    book: BookId,
    read: Reads,
    account: Annotated[int | None, Query(ge=1, lt=2**63, description="on either side")] = None,
    cause: Annotated[Cause | None, Query()] = None,
    entry: Annotated[UUID | None, Query()] = None,
    metadata: Annotated[
        list[Text] | None, Query(description="`key=value` that the metadata contain, all of them")
    ] = None,
    effective_from: date | None = None,
    effective_to: date | None = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> MovementPage:
    """List the newest movements of a book, or the newest of those that a search finds."""
    search = Search(
        account=account,
        cause=cause,
        entry=entry,
        metadata=_metadata(metadata),
        effective_from=effective_from,
        effective_to=effective_to,
    )
    with read.database.reading() as connection:
        page = BookReader(connection, book).movements(search, cursor=cursor, limit=limit)
    return page_out(MovementPage, page, MovementOut.of)


@router.get(
    "/books/{book}/movements/{id}",
    response_model=MovementOut,
    responses=refused_by(*_NO_BOOK, refusals.OriginalNotFound),
)
def read_movement(book: BookId, id: UUID, read: Reads) -> MovementOut:
    """Show one movement."""
    with read.database.reading() as connection:
        return MovementOut.of(BookReader(connection, book).movement(id))


@router.get("/entries/{entry}", response_model=EntryOut, responses=refused_by())
def read_entry(entry: UUID, read: Reads) -> EntryOut:
    """Show the movements of a journal entry; none if there is no such entry."""
    with read.database.reading() as connection:
        return EntryOut(items=[MovementOut.of(m) for m in entry_of(connection, entry)])


@router.get("/books/{book}/trial-balance", response_model=TrialOut, responses=refused_by(*_NO_BOOK))
def read_trial_balance(
    book: BookId,
    read: Reads,
    recorded_at: AwareDatetime | None = None,
    effective_on: date | None = None,
) -> TrialOut:
    """Show the trial balance, now or at a point of either time."""
    known = None if recorded_at is None else recorded_at.astimezone(UTC)
    with read.database.reading() as connection:
        trial = BookReader(connection, book).trial_balance(
            recorded_at=known, effective_on=effective_on
        )
    return TrialOut(
        book=book,
        is_balanced=trial.is_balanced,
        totals=[
            TrialTotalOut(
                currency=t.currency,
                accounts=t.accounts,
                debit_minor=t.debit_minor,
                credit_minor=t.credit_minor,
                difference_minor=t.difference_minor,
            )
            for t in trial.totals
        ],
        lines=[
            TrialLineOut(
                account=line.account,
                code=line.code,
                kind=line.kind.value,
                currency=line.currency,
                debit_minor=line.debit_minor,
                credit_minor=line.credit_minor,
            )
            for line in trial.lines
        ],
    )


@router.post(
    "/books/{book}/day-close",
    response_model=BookOut,
    responses=refused_by(
        *_NO_BOOK, refusals.DatesDoNotGoBack, refusals.DateIsOutOfRange, write=True
    ),
)
def close_the_day(
    book: BookId, body: DayIn, write: Annotated[Write, writing("ledger.close_day")]
) -> Response:
    """Move the business date of a book on."""
    return write.run(lambda unit: BookOut.of(close_day(unit, book, next_on=body.next_on)))


@router.post(
    "/books/{book}/period-close",
    response_model=BookOut,
    responses=refused_by(
        *_NO_BOOK, refusals.PeriodIsNotOver, refusals.DatesDoNotGoBack, write=True
    ),
)
def close_the_period(
    book: BookId, body: PeriodIn, write: Annotated[Write, writing("ledger.close_period")]
) -> Response:
    """Close the books up to a day: no value date up to it is posted any more."""
    return write.run(lambda unit: BookOut.of(close_period(unit, book, through=body.through)))


def _some(reference: str) -> int | str:
    found = _account(reference)
    assert found is not None
    return found


def _metadata(pairs: list[str] | None) -> dict[str, str | int | bool] | None:
    """Return `key=value` pairs as a search; whole numbers are numbers, as they were posted."""
    if not pairs:
        return None
    split = (pair.partition("=") for pair in pairs)
    return {key: int(value) if value.isdecimal() else value for key, _, value in split}
