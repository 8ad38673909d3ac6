"""The clients' money of a payment institution (备付金): assets and liabilities only.

Source: PBOC order [2021] No. 1 on client reserves: kept apart from own funds, wholly at the central
bank or a custodian, never spent on the institution's account.
"""

from steelyard.ledger.charts.chart import Chart, ChartLine
from steelyard.ledger.model.accounts import AccountKind, Funds

WALLETS = Chart(
    name="wallets",
    version=1,
    funds=Funds.CLIENT,
    en="Wallets, client funds",
    zh="客户备付金",
    lines=(
        ChartLine("settlement", AccountKind.ASSET, "Reserve at the custodian", "备付金存管账户"),
        ChartLine("in_transit", AccountKind.ASSET, "In transit from channels", "渠道在途资金"),
        ChartLine("unclaimed", AccountKind.LIABILITY, "Unclaimed receipts", "未认领款项"),
    ),
)
