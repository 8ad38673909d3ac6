"""A deposit bank."""

from steelyard.ledger.charts.chart import Chart, ChartLine
from steelyard.ledger.model.accounts import AccountKind, Funds

BANK = Chart(
    name="bank",
    version=1,
    funds=Funds.OWN,
    en="Deposit bank",
    zh="存款银行",
    lines=(
        ChartLine("cash", AccountKind.ASSET, "Cash in hand", "库存现金"),
        ChartLine("nostro", AccountKind.ASSET, "Due from other banks", "存放同业款项"),
        ChartLine("suspense", AccountKind.LIABILITY, "Suspense", "待处理款项"),
        ChartLine("position", AccountKind.LIABILITY, "Currency position", "外汇头寸"),
        ChartLine("capital", AccountKind.EQUITY, "Paid-in capital", "实收资本"),
        ChartLine("income/interest", AccountKind.INCOME, "Interest income", "利息收入"),
        ChartLine("income/fees", AccountKind.INCOME, "Fee income", "手续费收入"),
        ChartLine("expense/interest", AccountKind.EXPENSE, "Interest expense", "利息支出"),
        ChartLine("expense/rounding", AccountKind.EXPENSE, "Rounding", "尾差"),
    ),
)
