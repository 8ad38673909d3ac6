"""A platform's own money, beside the money of its clients."""

from steelyard.ledger.charts.chart import Chart, ChartLine
from steelyard.ledger.model.accounts import AccountKind, Funds

PLATFORM = Chart(
    name="platform",
    version=1,
    funds=Funds.OWN,
    en="Platform, own funds",
    zh="平台自有资金",
    lines=(
        ChartLine("bank", AccountKind.ASSET, "Cash at banks", "银行存款"),
        ChartLine("position", AccountKind.LIABILITY, "Currency position", "外汇头寸"),
        ChartLine("capital", AccountKind.EQUITY, "Paid-in capital", "实收资本"),
        ChartLine("income/fees", AccountKind.INCOME, "Fee income", "手续费收入"),
        ChartLine("expense/channels", AccountKind.EXPENSE, "Channel costs", "渠道成本"),
        ChartLine("expense/incentives", AccountKind.EXPENSE, "Incentives", "营销费用"),
        ChartLine("expense/losses", AccountKind.EXPENSE, "Operational losses", "风险损失"),
    ),
)
