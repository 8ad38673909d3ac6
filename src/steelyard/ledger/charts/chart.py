"""What a chart of accounts is."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.kernel import Refusal, RefusalKind
from steelyard.ledger.model.accounts import AccountKind, Funds, NewAccount


class ChartIsUnknown(Refusal):
    """No chart has the name."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no chart of accounts {chart}; there are: {charts}."
    zh = "没有名为 {chart} 的会计科目模板；现有：{charts}。"


class ChartIsOfOtherFunds(Refusal):
    """A chart for own funds was asked for in a book of client funds, or the other way round."""

    kind = RefusalKind.CONFLICT
    en = "The chart {chart} is for {funds} funds; the book {book} keeps others."
    zh = "科目模板 {chart} 适用于 {funds} 资金，与账簿 {book} 的资金性质不符。"


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One account of a chart, opened in every currency of the book.

    Attributes
    ----------
    code : the account's code before the currency; of a line of `parts` with `{part}` in it
    en, zh : its name
    debit_limit, credit_limit : as of an account; None is no limit
    """

    code: str
    kind: AccountKind
    en: str
    zh: str
    debit_limit: int | None = None
    credit_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """The accounts that a book of some business begins with.

    Attributes
    ----------
    version : grows when lines change; part of the cause of the accounts opened from it
    funds : whose money such a book keeps
    lines : accounts that stand once in every currency
    parts : accounts that each part of the business (a product, say) has of its own
    """

    name: str
    version: int
    funds: Funds
    en: str
    zh: str
    lines: tuple[ChartLine, ...]
    parts: tuple[ChartLine, ...] = ()

    @property
    def cause(self) -> str:
        """The cause of the accounts that are opened from it."""
        return f"chart.{self.name}@{self.version}"

    def accounts(self, currency: str) -> tuple[NewAccount, ...]:
        """Return the accounts to open in a currency."""
        return tuple(self._account(line, line.code, currency) for line in self.lines)

    def accounts_of_part(self, part: str, currency: str) -> tuple[NewAccount, ...]:
        """Return the accounts to open for a part of the business in a currency."""
        return tuple(
            self._account(line, line.code.format(part=part), currency) for line in self.parts
        )

    def _account(self, line: ChartLine, code: str, currency: str) -> NewAccount:
        return NewAccount(
            code=f"{code}:{currency}",
            currency=currency,
            kind=line.kind,
            debit_limit=line.debit_limit,
            credit_limit=line.credit_limit,
            metadata={"chart": self.name, "line": line.code.replace("/{part}", "")},
        )
