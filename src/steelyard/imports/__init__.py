"""Other people's books, brought in through the ordinary doors."""

from steelyard.imports.model.berka import Agreement, Operation, Way
from steelyard.imports.service import (
    BERKA,
    SAMPLE,
    BerkaReport,
    import_berka,
    transfer_id,
    write_sample,
)

__all__ = [
    "BERKA",
    "SAMPLE",
    "Agreement",
    "BerkaReport",
    "Operation",
    "Way",
    "import_berka",
    "transfer_id",
    "write_sample",
]
