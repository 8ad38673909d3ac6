"""Status reports of a bank (pain.002): which orders of a file it took, and which it refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from steelyard.payments.model.reading_xml import Element
from steelyard.payments.model.statement_refusals import StatementLacks

_NAMESPACE: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:pain\.002\.\d{3}\.\d{2}")


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """What a report says of a file, of a part of it, or of one order.

    Attributes
    ----------
    message : number of the file
    part : number of the part of the file (`PmtInfId`); empty: of the whole file
    number : of the order (`EndToEndId`); empty: of the whole part
    status : RJCT, ACTC, ACCP, ACSP, ACSC, ACCC, PDNG, PART ...
    reason : code of the reason, AM04 and the like; empty where it names none
    """

    message: str
    part: str
    number: str
    status: str
    reason: str = ""


def knows_pain002(root: Element) -> bool:
    """Tell whether the document is a status report, of any version."""
    return _NAMESPACE.fullmatch(root.namespace) is not None


def read_pain002(root: Element) -> tuple[OrderStatus, ...]:
    """Return what a report says, the most general first.

    Refusals
    --------
    statement_lacks
    """
    report = root.need("CstmrPmtStsRpt")
    group = report.need("OrgnlGrpInfAndSts")
    message = group.value("OrgnlMsgId")
    if not message:
        raise StatementLacks(line=group.line, missing="OrgnlMsgId")
    found = []
    if group.value("GrpSts"):
        found.append(OrderStatus(message, "", "", group.value("GrpSts"), _reason(group)))
    for part in report.all("OrgnlPmtInfAndSts"):
        name = part.value("OrgnlPmtInfId")
        if part.value("PmtInfSts"):
            found.append(OrderStatus(message, name, "", part.value("PmtInfSts"), _reason(part)))
        found.extend(
            OrderStatus(message, name, order.value("OrgnlEndToEndId"), status, _reason(order))
            for order in part.all("TxInfAndSts")
            if (status := order.value("TxSts"))
        )
    return tuple(found)


def _reason(element: Element) -> str:
    return element.value("StsRsnInf", "Rsn", "Cd") or element.value("StsRsnInf", "Rsn", "Prtry")
