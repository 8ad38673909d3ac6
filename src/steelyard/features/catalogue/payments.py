"""Payments: velocity, habits, baselines, terminals and merchants, card testing."""

from __future__ import annotations

from steelyard.features.catalogue.words import Family, below, is_, shares
from steelyard.features.model.definition import Aggregate, Feature

_A = Aggregate
_PAYMENT = ("payment",)
_DECLINE = ("payment_decline",)
_REFUND = ("payment_refund",)
SMALL_MINOR = 500
"""Payments below this are what stolen cards are tried out with."""


def _customer() -> list[Feature]:
    pays = Family("customer", _PAYMENT, "payment")
    prior = Family("customer", _PAYMENT, "payment", before=True)
    night = Family("customer", _PAYMENT, "night_payment", where=is_("is_night", True))
    online = Family("customer", _PAYMENT, "online_payment", where=is_("is_online", True))
    counts = pays.each(_A.COUNT, "1h 1d 7d 30d", ("Payments of the customer", "客户付款笔数"))
    sums = pays.each(
        _A.SUM,
        "1h 1d 7d 30d",
        ("Amount of the customer's payments", "客户付款金额"),
        "amount_minor",
    )
    nights = night.each(_A.COUNT, "30d", ("Payments of the customer at night", "客户夜间付款笔数"))
    onlines = online.each(_A.COUNT, "7d", ("Online payments of the customer", "客户线上付款笔数"))
    return [
        *counts,
        *sums,
        *pays.each(
            _A.MEAN,
            "1d 7d 30d",
            ("Mean payment of the customer", "客户笔均付款金额"),
            "amount_minor",
        ),
        *pays.each(
            _A.MIN,
            "7d",
            ("Smallest payment of the customer", "客户最小单笔付款金额"),
            "amount_minor",
        ),
        *pays.each(
            _A.STD,
            "30d",
            ("Deviation of the customer's payments", "客户付款金额标准差"),
            "amount_minor",
        ),
        *prior.each(
            _A.MAX,
            "30d",
            ("Largest earlier payment of the customer", "客户此前最大单笔付款金额"),
            "amount_minor",
        ),
        *prior.each(
            _A.ZSCORE,
            "30d",
            (
                "This amount against the customer's own payments, in deviations",
                "本笔金额相对客户自身付款的偏离倍数",
            ),
            "amount_minor",
        ),
        *Family("customer", _PAYMENT, "payment_hour", before=True).each(
            _A.ZSCORE,
            "30d",
            (
                "This hour of the day against the customer's own, in deviations",
                "本笔时刻相对客户自身习惯的偏离倍数",
            ),
            "hour",
        ),
        *nights,
        *shares(
            "night_payment_share", nights, counts[3:], ("Share of night payments", "夜间付款占比")
        ),
        *onlines,
        *shares(
            "online_payment_share",
            onlines,
            counts[2:3],
            ("Share of online payments", "线上付款占比"),
        ),
        *shares(
            "payment_share_of_30d",
            sums[1:2],
            sums[3:],
            ("How much of a month's spending falls on one day", "单日消费占月消费比"),
        ),
        *Family("customer", _PAYMENT, "merchant").each(
            _A.DISTINCT, "1d 7d", ("Merchants the customer paid", "客户付款商户数"), "merchant"
        ),
        *Family("customer", _PAYMENT, "terminal").each(
            _A.DISTINCT, "1d", ("Terminals the customer paid at", "客户付款终端数"), "terminal"
        ),
        *Family("customer", _PAYMENT, "payment_device").each(
            _A.DISTINCT, "30d", ("Devices the customer paid with", "客户付款设备数"), "device"
        ),
        *Family("customer", _PAYMENT, "payment_country").each(
            _A.DISTINCT,
            "7d",
            ("Different countries of the customer's payments", "客户付款国家数"),
            "country",
        ),
        Family("customer", _PAYMENT, "payment_country", before=True).ever(
            _A.LAST,
            ("Country of the customer's payment before this", "客户上一笔付款国家"),
            "country",
        ),
        prior.ever(
            _A.TIME_SINCE,
            ("Milliseconds since the customer's payment before this", "距客户上一笔付款毫秒数"),
        ),
        pays.ever(
            _A.FIRST_SEEN,
            ("Milliseconds since the customer's first payment", "距客户首笔付款毫秒数"),
        ),
        *Family("customer", _PAYMENT, "fraud").each(
            _A.SUM,
            "90d",
            ("Payments of the customer known as fraud", "客户已知欺诈付款笔数"),
            "is_fraud",
        ),
        *Family("customer", _DECLINE, "decline").each(
            _A.COUNT, "1h 1d", ("Declined payments of the customer", "客户被拒付款笔数")
        ),
        *Family("customer", _REFUND, "refund").each(
            _A.COUNT, "30d", ("Refunds to the customer", "客户退款笔数")
        ),
        *Family("customer", _REFUND, "refund").each(
            _A.SUM, "30d", ("Amount refunded to the customer", "客户退款金额"), "amount_minor"
        ),
    ]


def _habits() -> list[Feature]:
    merchant = Family("customer_merchant", _PAYMENT, "payment", before=True)
    return [
        *merchant.each(
            _A.COUNT,
            "90d",
            ("Earlier payments of the customer to this merchant", "客户此前在该商户付款笔数"),
        ),
        *merchant.each(
            _A.MEAN,
            "90d",
            (
                "Mean of the customer's earlier payments to this merchant",
                "客户此前在该商户笔均金额",
            ),
            "amount_minor",
        ),
        Family("customer_merchant", _PAYMENT, "payment").ever(
            _A.FIRST_SEEN,
            (
                "Milliseconds since the customer first paid this merchant, 0 for a new one",
                "距客户首次在该商户付款毫秒数，新商户为 0",
            ),
        ),
        Family("customer_device", _PAYMENT, "payment").ever(
            _A.FIRST_SEEN,
            (
                "Milliseconds since the customer first paid with this device, 0 for a new one",
                "距客户首次用该设备付款毫秒数，新设备为 0",
            ),
        ),
        *Family("customer_hour", _PAYMENT, "payment", before=True).each(
            _A.COUNT,
            "30d",
            (
                "Earlier payments of the customer in this hour of the day",
                "客户此前同一时段付款笔数",
            ),
        ),
    ]


def _instruments() -> list[Feature]:
    card = Family("card", _PAYMENT, "payment")
    device = Family("device", _PAYMENT, "payment")
    return [
        *card.each(_A.COUNT, "10m 1h 1d", ("Payments with the card", "卡片付款笔数")),
        *card.each(_A.SUM, "1h 1d", ("Amount paid with the card", "卡片付款金额"), "amount_minor"),
        *Family("card", _PAYMENT, "terminal").each(
            _A.DISTINCT, "1h", ("Terminals the card was shown at", "卡片付款终端数"), "terminal"
        ),
        *Family("card", _PAYMENT, "country").each(
            _A.DISTINCT,
            "1d",
            ("Different countries of the payments with the card", "卡片使用国家数"),
            "country",
        ),
        Family("card", _PAYMENT, "payment", before=True).ever(
            _A.TIME_SINCE,
            ("Milliseconds since the card's payment before this", "距卡片上一笔付款毫秒数"),
        ),
        card.ever(
            _A.FIRST_SEEN, ("Milliseconds since the card was first used", "距卡片首次使用毫秒数")
        ),
        *Family("card", _DECLINE, "decline").each(
            _A.COUNT, "1h", ("Declined payments with the card", "卡片被拒笔数")
        ),
        *Family("account", _PAYMENT, "payment").each(
            _A.SUM, "1d", ("Amount paid from the account", "账户付款金额"), "amount_minor"
        ),
        *device.each(_A.COUNT, "1h", ("Payments from the device", "设备付款笔数")),
        *Family("device", _PAYMENT, "card").each(
            _A.DISTINCT, "1d", ("Cards used from the device", "设备使用卡片数"), "card"
        ),
        *Family("device", ("payment", "log_in"), "customer").each(
            _A.DISTINCT,
            "7d",
            ("Customers who paid or signed in from the device", "设备付款或登录客户数"),
            "customer",
        ),
        device.ever(
            _A.FIRST_SEEN, ("Milliseconds since the device first paid", "距设备首次付款毫秒数")
        ),
        *Family("ip", _PAYMENT, "payment").each(
            _A.COUNT, "10m", ("Payments from the address", "同一 IP 付款笔数")
        ),
        *Family("ip", _PAYMENT, "card").each(
            _A.DISTINCT, "1h", ("Cards used from the address", "同一 IP 使用卡片数"), "card"
        ),
        *Family("payee", _PAYMENT, "customer").each(
            _A.DISTINCT,
            "7d",
            ("Customers who paid the payee", "收款方付款客户数"),
            "customer",
        ),
    ]


def _places() -> list[Feature]:
    merchant = Family("merchant", _PAYMENT, "payment")
    small = Family("merchant", _PAYMENT, "small_payment", where=below("amount_minor", SMALL_MINOR))
    late_merchant = Family("merchant", _PAYMENT, "payment", delay="7d")
    late_terminal = Family("terminal", _PAYMENT, "payment", delay="7d")
    merchant_counts = late_merchant.each(
        _A.COUNT, "30d", ("Payments to the merchant", "商户收款笔数")
    )
    merchant_frauds = Family("merchant", _PAYMENT, "fraud", delay="7d").each(
        _A.SUM, "30d", ("Payments to the merchant known as fraud", "商户已知欺诈笔数"), "is_fraud"
    )
    terminal_counts = late_terminal.each(
        _A.COUNT, "1d 7d 30d", ("Payments at the terminal", "终端收款笔数")
    )
    terminal_frauds = Family("terminal", _PAYMENT, "fraud", delay="7d").each(
        _A.SUM,
        "1d 7d 30d",
        ("Payments at the terminal known as fraud", "终端已知欺诈笔数"),
        "is_fraud",
    )
    return [
        *Family("terminal", _PAYMENT, "payment").each(
            _A.COUNT, "1h 1d", ("Payments at the terminal", "终端收款笔数")
        ),
        *Family("terminal", _PAYMENT, "payment").each(
            _A.MEAN, "7d", ("Mean payment at the terminal", "终端笔均收款金额"), "amount_minor"
        ),
        *terminal_counts,
        *terminal_frauds,
        *shares(
            "fraud_share",
            terminal_frauds,
            terminal_counts,
            ("Fraud share of the terminal", "终端欺诈占比"),
        ),
        *merchant.each(_A.COUNT, "1h 1d", ("Payments to the merchant", "商户收款笔数")),
        *merchant.each(
            _A.SUM, "1d", ("Amount paid to the merchant", "商户收款金额"), "amount_minor"
        ),
        *merchant.each(
            _A.MEAN, "7d", ("Mean payment to the merchant", "商户笔均收款金额"), "amount_minor"
        ),
        *small.each(_A.COUNT, "1h", ("Tiny payments to the merchant", "商户小额收款笔数")),
        *Family("merchant", _PAYMENT, "customer").each(
            _A.DISTINCT, "1d", ("Customers who paid the merchant", "商户付款客户数"), "customer"
        ),
        *Family("merchant", _DECLINE, "decline").each(
            _A.COUNT, "1h", ("Declined payments at the merchant", "商户被拒笔数")
        ),
        *Family("merchant", _REFUND, "refund").each(
            _A.SUM, "7d", ("Amount the merchant refunded", "商户退款金额"), "amount_minor"
        ),
        *merchant_counts,
        *merchant_frauds,
        *shares(
            "fraud_share",
            merchant_frauds,
            merchant_counts,
            ("Fraud share of the merchant", "商户欺诈占比"),
        ),
    ]


FEATURES = (*_customer(), *_habits(), *_instruments(), *_places())
