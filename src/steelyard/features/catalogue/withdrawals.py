"""Money moved out: pace, habit, new payees, payees that many feed."""

from __future__ import annotations

from steelyard.features.catalogue.words import Family, shares
from steelyard.features.model.definition import Aggregate, Feature

_A = Aggregate
_OUT = ("withdrawal",)


def _features() -> list[Feature]:
    moves = Family("customer", _OUT, "withdrawal")
    prior = Family("customer", _OUT, "withdrawal", before=True)
    sums = moves.each(
        _A.SUM, "1d 7d 30d", ("Amount the customer moved out", "客户转出金额"), "amount_minor"
    )
    return [
        *moves.each(_A.COUNT, "1h 1d 7d", ("Withdrawals of the customer", "客户转出笔数")),
        *sums,
        *shares(
            "withdrawal_share_of_30d",
            sums[:1],
            sums[2:],
            ("How much of a month's withdrawals falls on one day", "单日转出占月转出比"),
        ),
        *prior.each(
            _A.ZSCORE,
            "90d",
            (
                "This amount against the customer's own withdrawals, in deviations",
                "本笔金额相对客户自身转出的偏离倍数",
            ),
            "amount_minor",
        ),
        prior.ever(
            _A.TIME_SINCE,
            ("Milliseconds since the customer's withdrawal before this", "距客户上一笔转出毫秒数"),
        ),
        *Family("customer", _OUT, "payee").each(
            _A.DISTINCT, "7d", ("Payees the customer moved money to", "客户转出收款方数"), "payee"
        ),
        *Family("customer", _OUT, "withdrawal_fraud").each(
            _A.SUM,
            "90d",
            ("Withdrawals of the customer known as fraud", "客户已知欺诈转出笔数"),
            "is_fraud",
        ),
        *Family("customer_payee", _OUT, "withdrawal", before=True).each(
            _A.COUNT,
            "90d",
            ("Earlier withdrawals of the customer to this payee", "客户此前向该收款方转出笔数"),
        ),
        Family("customer_payee", _OUT, "withdrawal").ever(
            _A.FIRST_SEEN,
            (
                "Milliseconds since the customer first paid this payee, 0 for a new one",
                "距客户首次向该收款方转出毫秒数，新收款方为 0",
            ),
        ),
        Family("customer_device", _OUT, "withdrawal").ever(
            _A.FIRST_SEEN,
            (
                "Milliseconds since the customer first moved money with this device, 0 if new",
                "距客户首次用该设备转出毫秒数，新设备为 0",
            ),
        ),
        *Family("account", _OUT, "withdrawal").each(
            _A.SUM, "1d", ("Amount moved out of the account", "账户转出金额"), "amount_minor"
        ),
        *Family("payee", _OUT, "sender").each(
            _A.DISTINCT,
            "7d",
            ("Customers who moved money to the payee", "收款方转入客户数"),
            "customer",
        ),
        *Family("payee", _OUT, "withdrawal").each(
            _A.SUM, "1d", ("Amount moved to the payee", "收款方转入金额"), "amount_minor"
        ),
        Family("payee", _OUT, "withdrawal").ever(
            _A.FIRST_SEEN,
            (
                "Milliseconds since anybody first paid the payee, 0 for a new one",
                "距首次有人向该收款方转出毫秒数，新收款方为 0",
            ),
        ),
        *Family("device", _OUT, "sender").each(
            _A.DISTINCT,
            "1d",
            ("Customers who moved money from the device", "设备转出客户数"),
            "customer",
        ),
    ]


FEATURES = tuple(_features())
