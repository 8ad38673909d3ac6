"""Books and accounts: opening, limits, closing of accounts, days and periods."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from steelyard.base import UnitOfWork
from steelyard.kernel.currency import Currency
from steelyard.ledger.charts import ChartIsOfOtherFunds, chart
from steelyard.ledger.model.accounts import (
    Account,
    AccountKind,
    AccountRef,
    Book,
    Funds,
    NewAccount,
    book_is_well_formed,
    code_is_well_formed,
    owner_is_well_formed,
)
from steelyard.ledger.model.metadata import personal_key, shape_fault
from steelyard.ledger.model.refusals import (
    AccountClosed,
    AccountExists,
    AccountIsMalformed,
    AccountIsNotEmpty,
    AccountNotFound,
    BookExists,
    BookIsMalformed,
    BookNotFound,
    ClientFundsCannotBeEarned,
    DateIsOutOfRange,
    DatesDoNotGoBack,
    LimitBelowUse,
    PeriodIsNotOver,
    PersonalData,
)
from steelyard.ledger.model.transfers import (
    EARLIEST_YEAR,
    LATEST_YEAR,
    MAX_MINOR,
    cause_is_well_formed,
)
from steelyard.ledger.service import facts
from steelyard.ledger.store import opening
from steelyard.ledger.store.posting import lock_books
from steelyard.ledger.store.reading import read_account, read_book


def open_book(
    uow: UnitOfWork,
    book: str,
    *,
    name: str,
    funds: Funds,
    business_on: date,
    timezone: str = "UTC",
) -> Book:
    """Open a book; opening it again on the same terms changes nothing.

    Parameters
    ----------
    book : a small letter and up to 39 letters, digits, `_` and `-`; part of every key, so short
    funds : whose money it keeps, for ever
    business_on : its first business date
    timezone : IANA name of the zone its days belong to

    Refusals
    --------
    book_is_malformed
    book_exists : with another name, zone or funds
    """
    if not book_is_well_formed(book):
        raise BookIsMalformed(field="id", value=book)
    if not name.strip() or not name.isprintable():
        raise BookIsMalformed(field="name", value=name[:80])
    if not opening.knows_timezone(uow.driver, timezone):
        raise BookIsMalformed(field="timezone", value=timezone[:80])
    if not _is_business_date(business_on):
        raise BookIsMalformed(field="business_on", value=business_on)
    wanted = Book(
        id=book,
        name=name,
        timezone=timezone,
        funds=funds,
        opened_at=uow.now,
        business_on=business_on,
        closed_through=None,
        accounts=0,
        transfers=0,
        blocks=0,
        last_at=0,
        head=b"",
    )
    is_new = opening.insert_book(uow.driver, wanted)
    found = read_book(uow.driver, book)
    assert found is not None
    if (found.name, found.timezone, found.funds) != (name, timezone, funds):
        raise BookExists(book=book)
    if is_new:
        fact = facts.BookOpened(
            book=book, name=name, timezone=timezone, funds=funds.value, business_on=business_on
        )
        facts.record_book_fact(uow, book, fact)
    return found


def _is_business_date(on: date) -> bool:
    return EARLIEST_YEAR <= on.year <= LATEST_YEAR


def open_accounts(
    uow: UnitOfWork, book: str, accounts: Sequence[NewAccount], *, cause: str
) -> tuple[int, ...]:
    """Open accounts, and return their numbers; those that exist on the same terms are kept.

    The numbers of a book run on from 1. Limits are not among the terms that are compared: they
    change by `set_limits`.

    Refusals
    --------
    book_not_found
    account_is_malformed, unknown_currency, personal_data
    account_exists : a code stands for an account of another currency, kind, owner or mirror
    client_funds_cannot_be_earned
    """
    for account in accounts:
        _check(account, cause)
    if book not in lock_books(uow.driver, [book]):
        raise BookNotFound(about=book)
    count, funds = opening.count_accounts(uow.driver, book)
    known = {
        code: (number, terms)
        for number, code, *terms in opening.find_codes(uow.driver, book, [a.code for a in accounts])
    }
    new: list[tuple[int, NewAccount]] = []
    for account in accounts:
        terms = [account.currency, account.kind.value, account.owner, account.mirrors]
        if account.code not in known:
            earned = account.kind not in (AccountKind.ASSET, AccountKind.LIABILITY)
            if earned and funds == Funds.CLIENT:
                raise ClientFundsCannotBeEarned(book=book, code=account.code)
            if account.mirrors is not None and read_book(uow.driver, account.mirrors) is None:
                raise BookNotFound(about=account.mirrors)
            new.append((count + len(new) + 1, account))
            known[account.code] = (new[-1][0], terms)
        elif known[account.code][1] != terms:
            raise AccountExists(code=account.code, book=book)
    if new:
        opening.insert_accounts(uow.driver, book, new, opened_at=uow.now, cause=cause)
    for number, account in new:
        fact = facts.AccountOpened(
            book=book,
            account=number,
            code=account.code,
            currency=account.currency,
            account_kind=account.kind.value,
            owner=account.owner,
            mirrors=account.mirrors,
            debit_limit=account.debit_limit,
            credit_limit=account.credit_limit,
            cause=cause,
        )
        facts.record_account_fact(uow, book, number, fact)
    return tuple(known[account.code][0] for account in accounts)


def _check(account: NewAccount, cause: str) -> None:
    Currency.of(account.currency)

    def refuse(field: str) -> AccountIsMalformed:
        return AccountIsMalformed(code=account.code[:120], field=field)

    if not code_is_well_formed(account.code):
        raise refuse("code")
    if not cause_is_well_formed(cause):
        raise refuse("cause")
    if account.mirrors is not None and not book_is_well_formed(account.mirrors):
        raise refuse("mirrors")
    if account.owner is not None and not owner_is_well_formed(account.owner):
        raise refuse("owner")
    for limit in (account.debit_limit, account.credit_limit):
        if limit is not None and not 0 <= limit <= MAX_MINOR:
            raise refuse("limit")
    if account.metadata is not None:
        if (key := shape_fault(account.metadata)) is not None:
            raise refuse(key)
        if (key := personal_key(account.metadata)) is not None:
            raise PersonalData(about=key)


def _locked_account(uow: UnitOfWork, book: str, account: AccountRef) -> Account:
    if book not in lock_books(uow.driver, [book]):
        raise BookNotFound(about=book)
    found = read_account(uow.driver, book, account)
    if found is None:
        raise AccountNotFound(about=str(account))
    return found


def set_limits(
    uow: UnitOfWork,
    book: str,
    account: AccountRef,
    *,
    debit_limit: int | None,
    credit_limit: int | None,
    cause: str,
) -> None:
    """Set both limits of an account; what they were is kept, with the cause.

    Refusals
    --------
    book_not_found, account_not_found, account_is_malformed, account_closed
    limit_below_use : a limit under what is used would be broken at once; the present use is the
        lowest, and stops everything further
    """
    found = _locked_account(uow, book, account)
    if not cause_is_well_formed(cause):
        raise AccountIsMalformed(code=found.code, field="cause")
    if found.closed:
        raise AccountClosed(about=str(account))
    debits = found.debits_posted + found.debits_held - found.credits_posted
    credits = found.credits_posted + found.credits_held - found.debits_posted
    for side, limit, used in (("debit", debit_limit, debits), ("credit", credit_limit, credits)):
        if limit is not None and not 0 <= limit <= MAX_MINOR:
            raise AccountIsMalformed(code=found.code, field=f"{side}_limit")
        if limit is not None and limit < used:
            raise LimitBelowUse(side=side, account=str(account), used=used)
    if (debit_limit, credit_limit) == (found.debit_limit, found.credit_limit):
        return
    opening.update_limits(uow.driver, book, found.id, (debit_limit, credit_limit), cause=cause)
    fact = facts.AccountLimitsChanged(
        book=book,
        account=found.id,
        debit_limit=debit_limit,
        credit_limit=credit_limit,
        cause=cause,
    )
    facts.record_account_fact(uow, book, found.id, fact)


def close_account(uow: UnitOfWork, book: str, account: AccountRef, *, cause: str) -> None:
    """Close an account for ever; closing it again changes nothing.

    Refusals
    --------
    book_not_found, account_not_found, account_is_malformed
    account_is_not_empty : its balance is not zero, or something is held
    """
    found = _locked_account(uow, book, account)
    if not cause_is_well_formed(cause):
        raise AccountIsMalformed(code=found.code, field="cause")
    if found.closed:
        return
    if found.balance_minor or found.debits_held or found.credits_held:
        raise AccountIsNotEmpty(account=str(account))
    opening.update_closed(uow.driver, book, found.id)
    fact = facts.AccountClosed(book=book, account=found.id, cause=cause)
    facts.record_account_fact(uow, book, found.id, fact)


def close_day(uow: UnitOfWork, book: str, *, next_on: date | None = None) -> Book:
    """Move the business date of a book on, to the next day or to the one given.

    Closing the same day twice (a repeat with the same `next_on`) changes nothing.

    Refusals
    --------
    book_not_found
    dates_do_not_go_back, date_is_out_of_range
    """
    lock_books(uow.driver, [book])
    found = read_book(uow.driver, book)
    if found is None:
        raise BookNotFound(about=book)
    next_on = found.business_on + timedelta(days=1) if next_on is None else next_on
    if not _is_business_date(next_on):
        raise DateIsOutOfRange(asked=next_on)
    if next_on < found.business_on:
        raise DatesDoNotGoBack(book=book, present=found.business_on, asked=next_on)
    if next_on > found.business_on:
        opening.update_dates(uow.driver, book, business_on=next_on)
        fact = facts.DayClosed(book=book, closed_on=found.business_on, business_on=next_on)
        facts.record_book_fact(uow, book, fact)
    moved = read_book(uow.driver, book)
    assert moved is not None
    return moved


def close_period(uow: UnitOfWork, book: str, *, through: date) -> Book:
    """Close the books up to a day: no value date up to and with it is posted any more.

    Refusals
    --------
    book_not_found
    period_is_not_over : the day is the business date or later
    dates_do_not_go_back
    """
    lock_books(uow.driver, [book])
    found = read_book(uow.driver, book)
    if found is None:
        raise BookNotFound(about=book)
    if through >= found.business_on:
        raise PeriodIsNotOver(book=book, present=found.business_on)
    if found.closed_through is not None and through < found.closed_through:
        raise DatesDoNotGoBack(book=book, present=found.closed_through, asked=through)
    if through != found.closed_through:
        opening.update_dates(uow.driver, book, closed_through=through)
        fact = facts.PeriodClosed(book=book, closed_through=through, head=found.head.hex())
        facts.record_book_fact(uow, book, fact)
    moved = read_book(uow.driver, book)
    assert moved is not None
    return moved


def open_chart(
    uow: UnitOfWork, book: str, name: str, *, currencies: Sequence[str]
) -> tuple[int, ...]:
    """Open the accounts of a chart in some currencies; those that are there are kept.

    Refusals
    --------
    book_not_found, unknown_currency, chart_is_unknown, account_exists
    chart_is_of_other_funds : a chart of own funds in a book of client funds, or the reverse
    """
    chosen = chart(name)
    found = read_book(uow.driver, book)
    if found is None:
        raise BookNotFound(about=book)
    if found.funds is not chosen.funds:
        raise ChartIsOfOtherFunds(chart=name, funds=chosen.funds.value, book=book)
    accounts = [account for currency in currencies for account in chosen.accounts(currency)]
    return open_accounts(uow, book, accounts, cause=chosen.cause)
