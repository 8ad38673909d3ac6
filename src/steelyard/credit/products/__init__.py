"""The products that are delivered: one file each, which names its `PRODUCT`.

Installed once in a database; from then on the versions that two people put in force are sold.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from steelyard.credit.model.product import Product
from steelyard.credit.products import (
    credit_line,
    merchant_instalments,
    quick_cash,
    salary_advance,
)

__all__ = ["DELIVERED"]

DELIVERED: Mapping[str, Product] = MappingProxyType({
    one.PRODUCT.code: one.PRODUCT
    for one in (quick_cash, credit_line, merchant_instalments, salary_advance)
})  # fmt: skip
"""The delivered products by code."""
