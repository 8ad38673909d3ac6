"""The bank's own balances, apart from everything that is posted.

Only `ordering` and `comparison` look into the column; whoever posts hands it on unopened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.imports.model.table import Source, rows_of

ROUNDING_MINOR = 10
"""The source rounds amounts and balances to 0.10, so a right balance may be off by that much."""


@dataclass(frozen=True, slots=True)
class BalanceColumn:
    """The column `balance` of trans.

    Attributes
    ----------
    by_account : account id to (trans id to the balance after it, in haléř)
    """

    by_account: Mapping[int, Mapping[int, int]] = field(repr=False)


def read_balance_column(source: Source) -> BalanceColumn:
    """Read only the ids and the column `balance` of trans.

    Refusals
    --------
    import_row_malformed : an id or a balance that cannot be read, a trans_id that comes twice
    """
    seen: set[int] = set()
    by_account: dict[int, dict[int, int]] = {}
    for row in rows_of(source, ("trans_id", "account_id", "balance")):
        trans_id = row.identifier("trans_id", seen)
        by_account.setdefault(row.integer("account_id"), {})[trans_id] = row.minor("balance")
    return BalanceColumn(by_account)
