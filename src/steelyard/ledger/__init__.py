"""The ledger: the only place where balances change."""

from steelyard.ledger.charts import CHARTS, ChartIsOfOtherFunds, ChartIsUnknown
from steelyard.ledger.model import refusals
from steelyard.ledger.model.accounts import (
    Account,
    AccountKind,
    Book,
    Funds,
    Head,
    NewAccount,
)
from steelyard.ledger.model.entries import Heading, Leg, between_books, entry, exchange
from steelyard.ledger.model.reading import Search
from steelyard.ledger.model.refusals import REFUSALS, accepted
from steelyard.ledger.model.transfers import Answer, Kind, Outcome, Transfer
from steelyard.ledger.service.books import (
    close_account,
    close_day,
    close_period,
    open_accounts,
    open_book,
    open_chart,
    set_limits,
)
from steelyard.ledger.service.facts import TransferPosted
from steelyard.ledger.service.posting import expire_holds, post, reverse
from steelyard.ledger.service.queue import GroupCommit, Item, Rider, RiderKind
from steelyard.ledger.service.reader import BookReader, accounts_of, books, entry_of

__all__ = [
    "CHARTS",
    "REFUSALS",
    "Account",
    "AccountKind",
    "Answer",
    "Book",
    "BookReader",
    "ChartIsOfOtherFunds",
    "ChartIsUnknown",
    "Funds",
    "GroupCommit",
    "Head",
    "Heading",
    "Item",
    "Kind",
    "Leg",
    "NewAccount",
    "Outcome",
    "Rider",
    "RiderKind",
    "Search",
    "Transfer",
    "TransferPosted",
    "accepted",
    "accounts_of",
    "between_books",
    "books",
    "close_account",
    "close_day",
    "close_period",
    "entry",
    "entry_of",
    "exchange",
    "expire_holds",
    "open_accounts",
    "open_book",
    "open_chart",
    "post",
    "refusals",
    "reverse",
    "set_limits",
]
