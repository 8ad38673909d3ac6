"""Payment files of ISO 20022 for a bank: pain.001 (credit transfers), pain.008 (direct debits).

Written by sepaxml and checked against the schemas in it. The same orders give the same bytes: the
numbers and the time that the library draws for itself are replaced by ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from steelyard.payments.model.statement_text import latin

_TRANSFERS: Final = "pain.001.001.03"
_DEBITS: Final = "pain.008.001.02"
_MESSAGE_ID: Final = re.compile(rb"(?<=<MsgId>)[^<]*")
_PAYMENT_ID: Final = re.compile(rb"(?<=<PmtInfId>)[^<]*")
_CREATED: Final = re.compile(rb"(?<=<CreDtTm>)[^<]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ourselves:
    """The account that pays or collects, as the bank knows it.

    Attributes
    ----------
    creditor : identifier of the creditor; for direct debits only
    """

    name: str
    iban: str
    bic: str
    currency: str = "EUR"
    creditor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One transfer or debit.

    Attributes
    ----------
    number : at most 35 characters; comes back as the EndToEndId
    on : when it is to be executed or collected
    mandate, mandate_on, sequence : of a direct debit (FRST, RCUR, OOFF, FNAL)
    """

    number: str
    amount_minor: int
    name: str
    iban: str
    on: date
    text: str
    bic: str = ""
    mandate: str = ""
    mandate_on: date | None = None
    sequence: str = "RCUR"


def write_transfers(orders: Sequence[Order], us: Ourselves, *, message: str, at: datetime) -> bytes:
    """Return a pain.001.001.03 of credit transfers.

    Parameters
    ----------
    message : number of the file, at most 30 characters; its parts are numbered after it
    """
    from sepaxml import SepaTransfer

    file = SepaTransfer(_config(us), schema=_TRANSFERS)
    for order in orders:
        file.add_payment(_payment(order) | {"execution_date": order.on})
    return _finished(file, message, at, _TRANSFERS)


def write_debits(orders: Sequence[Order], us: Ourselves, *, message: str, at: datetime) -> bytes:
    """Return a pain.008.001.02 of direct debits (CORE).

    Parameters
    ----------
    message : number of the file, at most 30 characters; its parts are numbered after it
    """
    from sepaxml import SepaDD

    file = SepaDD(_config(us) | {"creditor_id": us.creditor}, schema=_DEBITS)
    for order in orders:
        assert order.mandate_on is not None
        file.add_payment(
            _payment(order)
            | {
                "type": order.sequence,
                "collection_date": order.on,
                "mandate_id": order.mandate,
                "mandate_date": order.mandate_on,
            }
        )
    return _finished(file, message, at, _DEBITS)


def control_totals(orders: Sequence[Order]) -> tuple[int, Decimal]:
    """Return how many orders there are and what they come to, as the file's header says."""
    return len(orders), Decimal(sum(order.amount_minor for order in orders)).scaleb(-2)


def _config(us: Ourselves) -> dict[str, Any]:
    return {
        "name": us.name,
        "IBAN": us.iban,
        "BIC": us.bic,
        "batch": True,
        "currency": us.currency,
    }


def _payment(order: Order) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": latin(order.name),
        "IBAN": order.iban,
        "amount": order.amount_minor,
        "description": latin(order.text) or order.number,
        "endtoend_id": order.number,
    }
    return made | ({"BIC": order.bic} if order.bic else {})


def _finished(file: Any, message: str, at: datetime, schema: str) -> bytes:
    made: bytes = file.export(validate=False)
    made = _MESSAGE_ID.sub(message.encode(), made)
    made = _CREATED.sub(f"{at:%Y-%m-%dT%H:%M:%S}".encode(), made)
    parts = iter(range(1, 10_000))
    made = _PAYMENT_ID.sub(lambda _: f"{message}-{next(parts)}".encode(), made)
    _schema(schema).validate(made.decode())
    return made


@cache
def _schema(name: str) -> Any:
    """Return a schema that comes with sepaxml; compiling one takes most of a second."""
    import sepaxml
    import xmlschema

    return xmlschema.XMLSchema(str(Path(sepaxml.__file__).parent / "schemas" / f"{name}.xsd"))
