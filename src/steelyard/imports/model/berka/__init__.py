"""The Berka bank: its files, its records, the order within a day, and the comparison."""

from steelyard.imports.model.berka.balances import (
    ROUNDING_MINOR,
    BalanceColumn,
    read_balance_column,
)
from steelyard.imports.model.berka.comparison import (
    AccountComparison,
    Agreement,
    Comparison,
    Deviation,
    Way,
    compare_balances,
)
from steelyard.imports.model.berka.files import read_bank, source_of
from steelyard.imports.model.berka.history import LoanHistory, loan_histories
from steelyard.imports.model.berka.loans import LoanEvidence, prove_loans, terms_of
from steelyard.imports.model.berka.operations import (
    COUNTERPARTY_OF,
    OPERATION_LABELS,
    Counterparty,
    CounterpartyKind,
    Operation,
    Purpose,
)
from steelyard.imports.model.berka.ordering import (
    Misfit,
    chronological,
    misfit_of,
    order_transactions,
    overdraft_limit_minor,
    overdrafts,
)
from steelyard.imports.model.berka.records import (
    Account,
    BerkaBank,
    Card,
    CardKind,
    Client,
    Disposition,
    DispositionRole,
    District,
    Loan,
    LoanOutcome,
    Sex,
    StandingOrder,
    StatementFrequency,
    Transaction,
)
from steelyard.imports.model.berka.repayments import SimulatedRepayment, simulated_repayments
from steelyard.imports.model.berka.sample import sample_files

__all__ = [
    "COUNTERPARTY_OF",
    "OPERATION_LABELS",
    "ROUNDING_MINOR",
    "Account",
    "AccountComparison",
    "Agreement",
    "BalanceColumn",
    "BerkaBank",
    "Card",
    "CardKind",
    "Client",
    "Comparison",
    "Counterparty",
    "CounterpartyKind",
    "Deviation",
    "Disposition",
    "DispositionRole",
    "District",
    "Loan",
    "LoanEvidence",
    "LoanHistory",
    "LoanOutcome",
    "Misfit",
    "Operation",
    "Purpose",
    "Sex",
    "SimulatedRepayment",
    "StandingOrder",
    "StatementFrequency",
    "Transaction",
    "Way",
    "chronological",
    "compare_balances",
    "loan_histories",
    "misfit_of",
    "order_transactions",
    "overdraft_limit_minor",
    "overdrafts",
    "prove_loans",
    "read_balance_column",
    "read_bank",
    "sample_files",
    "simulated_repayments",
    "source_of",
    "terms_of",
]
