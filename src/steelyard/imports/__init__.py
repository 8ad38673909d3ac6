"""Other people's books, brought in through the ordinary doors."""

from steelyard.imports.model.berka import (
    Agreement,
    LoanEvidence,
    LoanHistory,
    LoanOutcome,
    Operation,
    Way,
)
from steelyard.imports.service.bank import (
    BERKA,
    SAMPLE,
    BerkaReport,
    import_berka,
    transfer_id,
    write_sample,
)
from steelyard.imports.service.booking import BookedLoans, book_berka_loans
from steelyard.imports.service.loans import (
    BerkaLoans,
    LoanScorecard,
    read_berka_loans,
    score_loans,
)

__all__ = [
    "BERKA",
    "SAMPLE",
    "Agreement",
    "BerkaLoans",
    "BerkaReport",
    "BookedLoans",
    "LoanEvidence",
    "LoanHistory",
    "LoanOutcome",
    "LoanScorecard",
    "Operation",
    "Way",
    "book_berka_loans",
    "import_berka",
    "read_berka_loans",
    "score_loans",
    "transfer_id",
    "write_sample",
]
