"""Affordability: what somebody can carry, from income that counts and debts that are known."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from steelyard.cashflows import Terms, plan
from steelyard.cashflows import terms as words
from steelyard.credit.model.product import WHOLE_BP, Order, Product, Tier, terms_of
from steelyard.kernel import Rounding
from steelyard.kernel.rounding import round_ratio

_DAYS_IN_MONTH: Final = Fraction(365, 12)
_AT_THE_END: Final = frozenset({words.Method.INTEREST_ONLY, words.Method.BULLET})
_TRIES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What somebody earns and owes in a month, minor units.

    Attributes
    ----------
    income_minor : as stated; income_is_shown : whether documents show it
    stated_debts_minor : instalments elsewhere, as stated
    known_debts_minor : instalments elsewhere, as the credit file says; 0 without one
    own_debts_minor : instalments of our own loans
    """

    income_minor: int
    income_is_shown: bool = False
    stated_debts_minor: int = 0
    known_debts_minor: int = 0
    own_debts_minor: int = 0

    @property
    def debts_minor(self) -> int:
        """Return the debts that count: the larger of what is stated and known, and our own."""
        return max(self.stated_debts_minor, self.known_debts_minor) + self.own_debts_minor


def counted_income_minor(means: Means, product: Product) -> int:
    """Return the income that counts: all of it where it is shown, otherwise the product's part."""
    if means.income_is_shown:
        return means.income_minor
    return means.income_minor * product.unshown_income_bp // WHOLE_BP


def room_minor(means: Means, product: Product) -> int:
    """Return what a month has room for beside the debts; never under nothing.

    Examples
    --------
    >>> from steelyard.credit.products import DELIVERED
    >>> room_minor(Means(income_minor=1_000_000, income_is_shown=True,
    ...                  stated_debts_minor=200_000), DELIVERED["quick_cash"])
    300000
    """
    most = counted_income_minor(means, product) * product.max_burden_bp // WHOLE_BP
    return max(most - means.debts_minor, 0)


def monthly_minor(terms: Terms) -> int:
    """Return what a contract asks for in a month: its largest, where principal is spread.

    Where the principal is due at the end, all that is owed is spread over the months: it has to be
    put by. Weeks and days count by their share of a month; under a month, all of it.
    """
    rows = plan(terms).rows
    months = months_of(terms)
    total = sum(row.total_minor for row in rows)
    if months <= 1:
        return total
    if terms.method in _AT_THE_END:
        return round_ratio(total * months.denominator, months.numerator, Rounding.UP)
    largest = max(row.total_minor for row in rows)
    if terms.unit is words.Unit.MONTH:
        return -(-largest // terms.every)
    share = _DAYS_IN_MONTH / _days(terms)
    return round_ratio(largest * share.numerator, share.denominator, Rounding.UP)


def months_of(terms: Terms) -> Fraction:
    """Return the length of a contract in months."""
    if terms.unit is words.Unit.MONTH:
        return Fraction(terms.instalments * terms.every)
    return Fraction(terms.instalments * _days(terms)) / _DAYS_IN_MONTH


def _days(terms: Terms) -> int:
    return terms.every * (7 if terms.unit is words.Unit.WEEK else 1)


def burden_bp(means: Means, product: Product, more_minor: int) -> int | None:
    """Return debts and a further instalment in basis points of the income that counts.

    Returns
    -------
    int or None
        Rounded up; None where no income counts.
    """
    income = counted_income_minor(means, product)
    if income <= 0:
        return None
    return -(-(means.debts_minor + more_minor) * WHOLE_BP // income)


def largest_amount_minor(
    product: Product, tier: Tier, order: Order, *, room: int, most_minor: int
) -> int:
    """Return the most, up to what is asked for, whose instalment there is room for; 0 for none.

    Parameters
    ----------
    order : its amount is what is asked for
    room : for an instalment of a month, minor units
    most_minor : the tier's limit, and whatever else bounds it

    Returns
    -------
    int
        In whole steps of the product and not under its least; one step more has no room, or is
        more than was asked for or may be lent.
    """
    least, step = product.least_minor, product.step_minor
    asked = min(order.amount_minor, most_minor, product.most_minor)
    top = asked - asked % step
    if top < least or room <= 0:
        return 0
    if _carries(product, tier, order, top, room):
        return top
    if not _carries(product, tier, order, least, room):
        return 0
    low, high = least // step, top // step
    # The instalment grows with the amount, but for a minor unit of rounding.
    for _ in range(_TRIES):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        if _carries(product, tier, order, middle * step, room):
            low = middle
        else:
            high = middle
    return low * step


def _carries(product: Product, tier: Tier, order: Order, amount_minor: int, room: int) -> bool:
    asked = Order(
        amount_minor=amount_minor,
        tenor=order.tenor,
        method=order.method,
        start_on=order.start_on,
    )
    return monthly_minor(terms_of(product, tier, asked)) <= room
