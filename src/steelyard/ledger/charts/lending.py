"""A lender with funds of its own."""

from steelyard.ledger.charts.chart import Chart, ChartLine
from steelyard.ledger.model.accounts import AccountKind, Funds

_ASSET, _LIABILITY = AccountKind.ASSET, AccountKind.LIABILITY
_INCOME, _EXPENSE = AccountKind.INCOME, AccountKind.EXPENSE


def _in_stages(code: str, kind: AccountKind, en: str, zh: str) -> tuple[ChartLine, ...]:
    """Return a line for each of the three stages of IFRS 9."""
    return tuple(
        ChartLine(
            f"{code}/{{part}}/stage{stage}", kind, f"{en}, stage {stage}", f"{zh}（阶段{stage}）"
        )
        for stage in (1, 2, 3)
    )


LENDING = Chart(
    name="lending",
    version=2,
    funds=Funds.OWN,
    en="Consumer lender",
    zh="消费信贷",
    lines=(
        ChartLine("bank", _ASSET, "Cash at banks", "银行存款"),
        ChartLine("suspense", _LIABILITY, "Suspense", "待处理款项", debit_limit=0),
        ChartLine("capital", AccountKind.EQUITY, "Paid-in capital", "实收资本"),
    ),
    parts=(
        *_in_stages("interest_receivable", _ASSET, "Interest receivable", "应收利息"),
        *_in_stages("penalty_receivable", _ASSET, "Penalty interest receivable", "应收罚息"),
        *_in_stages("fee_receivable", _ASSET, "Fees receivable", "应收费用"),
        *_in_stages("provision", _LIABILITY, "Loan loss provision", "贷款损失准备"),
        ChartLine("interest_suspense/{part}", _LIABILITY, "Interest in suspense", "待转利息"),
        ChartLine("penalty_suspense/{part}", _LIABILITY, "Penalty in suspense", "待转罚息"),
        ChartLine(
            "credit_balance/{part}", _LIABILITY, "Over-payments", "借款人溢缴款", debit_limit=0
        ),
        ChartLine("income/interest/{part}", _INCOME, "Interest income", "利息收入"),
        ChartLine("income/penalty/{part}", _INCOME, "Penalty interest", "罚息收入"),
        ChartLine("income/fees/{part}", _INCOME, "Fee income", "手续费收入"),
        ChartLine("income/subsidy/{part}", _INCOME, "Merchant subsidies", "商户贴息收入"),
        ChartLine("income/recovery/{part}", _INCOME, "Recoveries", "已核销收回"),
        ChartLine("income/sale/{part}", _INCOME, "Result of loan sales", "贷款转让损益"),
        ChartLine("expense/impairment/{part}", _EXPENSE, "Impairment", "资产减值损失"),
        ChartLine("expense/write_off/{part}", _EXPENSE, "Write-offs not provided", "核销损失"),
        ChartLine("expense/waiver/{part}", _EXPENSE, "Waivers", "息费减免"),
    ),
)
