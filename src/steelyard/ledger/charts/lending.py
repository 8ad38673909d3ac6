"""A lender with funds of its own."""

from steelyard.ledger.charts.chart import Chart, ChartLine
from steelyard.ledger.model.accounts import AccountKind, Funds

LENDING = Chart(
    name="lending",
    version=1,
    funds=Funds.OWN,
    en="Consumer lender",
    zh="消费信贷",
    lines=(
        ChartLine("bank", AccountKind.ASSET, "Cash at banks", "银行存款"),
        ChartLine("interest_receivable", AccountKind.ASSET, "Interest receivable", "应收利息"),
        ChartLine("fees_receivable", AccountKind.ASSET, "Fees receivable", "应收费用"),
        ChartLine("provision", AccountKind.LIABILITY, "Loan loss provision", "贷款损失准备"),
        ChartLine("suspense", AccountKind.LIABILITY, "Suspense", "待处理款项"),
        ChartLine("capital", AccountKind.EQUITY, "Paid-in capital", "实收资本"),
        ChartLine("income/interest", AccountKind.INCOME, "Interest income", "利息收入"),
        ChartLine("income/penalty", AccountKind.INCOME, "Penalty interest", "罚息收入"),
        ChartLine("income/fees", AccountKind.INCOME, "Fee income", "手续费收入"),
        ChartLine("expense/impairment", AccountKind.EXPENSE, "Impairment", "资产减值损失"),
        ChartLine("expense/write_off", AccountKind.EXPENSE, "Write-offs", "核销损失"),
    ),
)
