"""Routes: accounts, limits, balances, statements."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    PageOut,
    Write,
    page_out,
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.kernel import CursorIsInvalid, UnknownCurrency
from steelyard.ledger import (
    Account,
    AccountKind,
    BookReader,
    NewAccount,
    accounts_of,
    close_account,
    open_accounts,
    refusals,
    set_limits,
)
from steelyard.ledger.http.wire import (
    NO_BOOK,
    BookId,
    Cause,
    CauseIn,
    Metadata,
    Minor,
    Reads,
    Ref,
    Text,
    account_ref,
)

router = APIRouter()


MAX_ACCOUNTS = 1_000

AccountRefIn = Annotated[Ref, Path(description="account: its code, or its number")]


class AccountIn(BodyIn):
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


class AccountsIn(BodyIn):
    """Accounts to open in one transaction, all or none."""

    model_config = ConfigDict(
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


class LimitsIn(BodyIn):
    """Both limits of an account; null is no limit."""

    cause: Cause
    debit_limit: Minor | None
    credit_limit: Minor | None


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


_NO_ACCOUNT = (refusals.BookNotFound, refusals.AccountNotFound)


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
    responses=refused_by(*NO_BOOK, CursorIsInvalid),
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
        return AccountOut.of(BookReader(connection, book).account(account_ref(account)))


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
            account_ref(account),
            debit_limit=body.debit_limit,
            credit_limit=body.credit_limit,
            cause=body.cause,
        )
        return AccountOut.of(BookReader(unit.connection, book).account(account_ref(account)))

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
        close_account(unit, book, account_ref(account), cause=body.cause)
        return AccountOut.of(BookReader(unit.connection, book).account(account_ref(account)))

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
        found = reader.account(account_ref(account))
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
            account_ref(account), start=start, cursor=cursor, limit=limit
        )
    return page_out(StatementPage, page, LineOut.of)
