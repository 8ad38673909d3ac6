from __future__ import annotations

from datetime import date

import pytest

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import UnknownCurrency
from steelyard.ledger import (
    CHARTS,
    BookReader,
    ChartIsOfOtherFunds,
    ChartIsUnknown,
    Funds,
    open_book,
    open_chart,
)


def _book(unit: UnitOfWork, funds: Funds) -> None:
    open_book(unit, "shop", name="Shop", funds=funds, business_on=date(2026, 3, 2))


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_every_chart_opens_in_a_book_of_its_funds_and_twice_is_once(
    database: Database, name: str
) -> None:
    chart = CHARTS[name]
    with database.unit_of_work() as unit:
        _book(unit, chart.funds)
        first = open_chart(unit, "shop", name, currencies=["CNY", "USD"])
        assert open_chart(unit, "shop", name, currencies=["CNY", "USD"]) == first
    assert len(first) == len(set(first)) == 2 * len(chart.lines)
    with database.reading() as connection:
        book = BookReader(connection, "shop")
        codes = {account.code for account in book.accounts(limit=200).items}
    assert codes == {f"{line.code}:{c}" for line in chart.lines for c in ("CNY", "USD")}


def test_names_are_there_in_both_languages() -> None:
    for chart in CHARTS.values():
        assert len({line.code for line in chart.lines}) == len(chart.lines)
        for line in chart.lines:
            assert line.en.isascii()
            assert not line.zh.isascii()


def test_what_cannot_be_opened_is_refused(database: Database) -> None:
    with database.unit_of_work() as unit:
        _book(unit, Funds.CLIENT)
        with pytest.raises(ChartIsOfOtherFunds):
            open_chart(unit, "shop", "bank", currencies=["CNY"])
        with pytest.raises(ChartIsUnknown):
            open_chart(unit, "shop", "casino", currencies=["CNY"])
        with pytest.raises(UnknownCurrency):
            open_chart(unit, "shop", "wallets", currencies=["XXQ"])
