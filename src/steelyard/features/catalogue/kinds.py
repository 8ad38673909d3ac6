"""The kinds of events that features look at.

Every kind carries fields that are worked out when it comes in (`derived.complete`): the local hour,
night and weekend, and pairs such as `customer_device`, which are entities of their own: what is
counted for a pair tells a habit from a novelty.
"""

from __future__ import annotations

from collections.abc import Iterable

from steelyard.features.model.event import EventKind, FieldType

_TEXT, _INTEGER, _FLAG = FieldType.TEXT, FieldType.INTEGER, FieldType.FLAG
_CALENDAR = {"hour": _INTEGER, "is_night": _FLAG, "is_weekend": _FLAG}


def _kind(name: str, entities: str, texts: str, *, en: str, zh: str, numbers: str = "",
          flags: str = "", labels: str = "") -> EventKind:  # fmt: skip
    """Return a kind from its fields, by type, blank between them; every label is a flag."""
    fields = {
        **dict.fromkeys([*entities.split(), *texts.split()], _TEXT),
        **dict.fromkeys(numbers.split(), _INTEGER),
        **dict.fromkeys([*flags.split(), *labels.split()], _FLAG),
        **_CALENDAR,
    }
    return EventKind(name, fields, tuple(entities.split()), en, zh, tuple(labels.split()))


def _by_name(kinds: Iterable[EventKind]) -> dict[str, EventKind]:
    return {kind.name: kind for kind in kinds}


KINDS = _by_name([
    _kind(
        "payment",
        "customer card account device ip merchant terminal payee "
        "customer_merchant customer_device customer_hour",
        "currency country industry method scenario",
        numbers="amount_minor",
        flags="is_online",
        labels="is_fraud",
        en="A payment is asked for.",
        zh="请求一笔付款。",
    ),
    _kind(
        "payment_decline",
        "customer card account device ip merchant terminal",
        "currency reason method",
        numbers="amount_minor",
        en="A payment was declined.",
        zh="一笔付款被拒绝。",
    ),
    _kind(
        "payment_refund",
        "customer card account merchant",
        "currency payment method",
        numbers="amount_minor",
        en="A merchant gave back a payment, or a part of it.",
        zh="商户退回一笔付款，或其中一部分。",
    ),
    _kind(
        "log_in",
        "customer device ip phone customer_device customer_ip customer_country customer_hour",
        "country method",
        flags="succeeded",
        labels="is_takeover",
        en="Somebody tries to sign in as a customer.",
        zh="有人以客户身份登录。",
    ),
    _kind(
        "sign_up",
        "customer device ip phone",
        "channel region",
        labels="is_fake",
        en="A customer was registered.",
        zh="新客户注册。",
    ),
    _kind(
        "loan_application",
        "customer device ip phone address employer product customer_device",
        "currency purpose",
        numbers="amount_minor income_minor term_months",
        labels="is_fraud is_default",
        en="A customer applies for a loan.",
        zh="客户申请贷款。",
    ),
    _kind(
        "loan_repayment",
        "customer product",
        "loan currency repayment_kind",
        numbers="amount_minor days_late left_minor",
        en="A customer repays a loan.",
        zh="客户归还贷款。",
    ),
    _kind(
        "loan_lateness",
        "customer product",
        "loan",
        numbers="dpd overdue_minor bucket_before bucket category stage",
        en="A loan of a customer came into another bucket, category or stage.",
        zh="客户的一笔贷款逾期档次、分类或阶段发生变动。",
    ),
    _kind(
        "withdrawal",
        "customer account payee device ip customer_payee customer_device",
        "currency",
        numbers="amount_minor",
        labels="is_fraud",
        en="A customer asks to move money out.",
        zh="客户请求转出资金。",
    ),
    _kind(
        "merchant_application",
        "merchant owner device ip phone address payee",
        "country industry",
        numbers="monthly_minor",
        labels="is_fraud",
        en="A merchant applies to be taken on.",
        zh="商户申请入网。",
    ),
])  # fmt: skip
"""Every kind by name."""

EARLIER = {
    "card_payment": "payment",
    "card_decline": "payment_decline",
    "card_refund": "payment_refund",
}
"""What a kind was called before: logs that are never rewritten still have these words."""


def kind_now(name: str) -> str:
    """Return what a kind is called now, of a word that was stored.

    Examples
    --------
    >>> kind_now("card_payment"), kind_now("log_in")
    ('payment', 'log_in')
    """
    return EARLIER.get(name, name)


def kind_first(name: str) -> str:
    """Return the first word for a kind; what is hashed has that one, a new word changes nothing.

    Examples
    --------
    >>> kind_first("payment"), kind_first("log_in")
    ('card_payment', 'log_in')
    """
    return _FIRST.get(name, name)


_FIRST = {now: first for first, now in EARLIER.items()}
