"""What the people of the town do, as requests to the public interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeVar

from steelyard.simulation.life.client import TownClient
from steelyard.simulation.life.outside import Outside
from steelyard.simulation.model import (
    CURRENCY,
    CardPayment,
    Deposit,
    FraudReport,
    LoanComplaint,
    LoanPayment,
    LoanRequest,
    Refund,
    SignUp,
    Town,
)
from steelyard.simulation.model.custody import ON_THE_WAY
from steelyard.simulation.model.schedule import Errands, Span
from steelyard.simulation.model.state import (
    BOOK,
    HOUSE,
    SETTLEMENT,
    customer_origin,
    wallet_code,
)

T = TypeVar("T")

_BATCH = 500
_LOANS = 25
"""Loans are contracts of several transactions each: a batch of them is soon answered."""
_OUTSIDE = 20
_WALLET_CAUSE = "rule.town_wallet@1"


@dataclass(slots=True)
class Tally:
    """What was sent and how it was answered; a repeat counts again."""

    sign_ups: int = 0
    deposits: int = 0
    payments: int = 0
    declined: int = 0
    outside: int = 0
    """Of the payments, those over channels outside; unknown : of them, not known at once."""
    unknown: int = 0
    refunds: int = 0
    refunds_declined: int = 0
    reports: int = 0
    loans: int = 0
    loans_declined: int = 0
    loans_waiting: int = 0
    """Referred to a person, or left by the customer."""
    loan_payments: int = 0
    loan_payments_declined: int = 0
    loan_complaints: int = 0
    days_closed: int = 0

    @property
    def actions(self) -> int:
        """How many things people did."""
        cards = self.payments + self.refunds + self.reports
        loans = self.loans + self.loan_payments + self.loan_complaints
        return self.sign_ups + self.deposits + cards + loans


class Messenger:
    """Carries the errands of one town to the platform, in the order in which they happened.

    Keys are made of the span and the place in it, and bodies of the seed: the same span sent again,
    by whatever process, is the same requests.

    Parameters
    ----------
    outside : channels over which some pay; None: everybody pays from a wallet
    """

    def __init__(self, client: TownClient, town: Town, outside: Outside | None = None) -> None:
        self.client = client
        self.outside = outside
        self.tally = Tally()
        self._seed = town.plan.seed
        self._welcomed: Span | None = None

    def carry(self, span: Span, errands: Errands) -> None:
        """Send what happens in a span, and close the business day if the span ends it.

        Who was welcomed before is not registered again.
        """
        if self._welcomed != span:
            self.welcome(span, errands.sign_ups)
        for number, deposits in _chunks(errands.deposits):
            self.deposit(f"{self._name(span)}/deposits/{number}", deposits)
        for number, requests in _chunks(errands.loan_requests, _LOANS):
            self._borrow(f"{self._name(span)}/loans/{number}", requests)
        for number, instalments in _chunks(errands.loan_payments, _LOANS):
            self._repay(f"{self._name(span)}/loan-payments/{number}", instalments)
        for number, payments in _chunks(errands.payments):
            self._pay(f"{self._name(span)}/payments/{number}", payments)
        for number, refunds in _chunks(errands.refunds):
            self._refund(f"{self._name(span)}/refunds/{number}", refunds)
        for number, reports in _chunks(errands.reports):
            self._report(f"{self._name(span)}/reports/{number}", reports)
        for number, complaints in _chunks(errands.loan_complaints, _LOANS):
            self._complain(f"{self._name(span)}/complaints/{number}", complaints)
        if span.ends_the_day:
            self._close_day(span.on)

    def welcome(self, span: Span, sign_ups: Sequence[SignUp]) -> None:
        """Let those in who join in a span."""
        for number, some in _chunks(sign_ups):
            self.sign_up(f"{self._name(span)}/wallets/{number}", some)
        self._welcomed = span

    def _name(self, span: Span) -> str:
        return f"town/{self._seed}/{span.name}"

    def sign_up(self, key: str, sign_ups: Sequence[SignUp]) -> None:
        """Register the customers, and open a wallet for each."""
        wallets = []
        for sign_up in sign_ups:
            party = self._register(sign_up)
            wallets.append(
                {
                    "code": wallet_code(sign_up.account_id),
                    "currency": CURRENCY,
                    "kind": "liability",
                    "owner": f"party:{party}",
                    "debit_limit": 0,
                }
            )
        accounts = {"cause": _WALLET_CAUSE, "accounts": wallets}
        self.client.post(f"/v1/ledger/books/{BOOK}/accounts", key, accounts)
        self.tally.sign_ups += len(sign_ups)

    def _register(self, sign_up: SignUp) -> str:
        person = sign_up.person
        party = self.client.post(
            "/v1/parties/customers",
            f"town/{self._seed}/customer/{sign_up.customer_id}",
            {
                "personal": {
                    "name": person.name,
                    "id_number": person.resident_id,
                    "phone": person.phone,
                    "email": person.email,
                    "birth_on": person.born_on,
                    "sex": person.sex,
                },
                "origin": customer_origin(sign_up.customer_id),
                "channel": "town",
            },
        )
        return str(party["id"])

    def deposit(self, key: str, deposits: Sequence[Deposit]) -> None:
        """Let money come in from outside: through the custodian, where there is one."""
        custody = None if self.outside is None else self.outside.custody
        answers = self.client.post(
            f"/v1/ledger/books/{BOOK}/transfers",
            key,
            {
                "transfers": [
                    {
                        "id": deposit.id,
                        "cause": f"rule.town_{deposit.kind.value}@1",
                        "debit": SETTLEMENT if custody is None else ON_THE_WAY,
                        "credit": wallet_code(deposit.account_id),
                        "amount_minor": deposit.amount_minor,
                        "currency": deposit.currency,
                    }
                    for deposit in deposits
                ]
            },
        )
        refused = [i for i in answers["items"] if i["outcome"] not in ("created", "exists")]
        # Money that comes from outside has nothing to be refused for: the town would not add up.
        assert not refused, refused[:3]
        if custody is not None:
            custody.bring(deposits)
        self.tally.deposits += len(deposits)

    def open_lender(self) -> None:
        """Have a lender beside the town, be the town old or new."""
        self.client.post("/v1/simulation/lender", f"town/{self._seed}/lender", {})

    def _borrow(self, key: str, requests: Sequence[LoanRequest]) -> None:
        answers = self.client.post(
            "/v1/simulation/loans",
            key,
            {
                "loans": [
                    {
                        "id": request.id,
                        "at": request.at,
                        "customer": request.customer_id,
                        "account": wallet_code(request.account_id),
                        "product": request.product,
                        "amount_minor": request.amount_minor,
                        "currency": request.currency,
                        "months": request.months,
                        "income_minor": request.income_minor,
                        "merchant": request.merchant_id,
                    }
                    for request in requests
                ]
            },
        )
        self.tally.loans += len(requests)
        self.tally.loans_declined += _declined(answers)
        self.tally.loans_waiting += _came_to(answers, "referred", "left")

    def _repay(self, key: str, payments: Sequence[LoanPayment]) -> None:
        """Pay instalments; for a loan that was not given there is nothing to pay."""
        answers = self.client.post(
            "/v1/simulation/loan-payments",
            key,
            {
                "payments": [
                    {
                        "id": payment.id,
                        "request": payment.request_id,
                        "repays_all": payment.repays_all,
                    }
                    for payment in payments
                ]
            },
        )
        self.tally.loan_payments += len(payments)
        self.tally.loan_payments_declined += _declined(answers)

    def _complain(self, key: str, complaints: Sequence[LoanComplaint]) -> None:
        body = [{"id": one.id, "request": one.request_id, "about": one.about} for one in complaints]
        self.client.post("/v1/simulation/loan-complaints", key, {"complaints": body})
        self.tally.loan_complaints += len(complaints)

    def _pay(self, key: str, payments: Sequence[CardPayment]) -> None:
        """Let people pay: from their wallets, and where there are channels over those too."""
        outside: list[dict[str, Any]] = []
        if self.outside is not None:
            ways = self.outside.ways(payments)
            outside = [
                {**_payment(one), "method": way.method}
                for one, way in zip(payments, ways, strict=True)
                if way.method is not None
            ]
            payments = [one for one, way in zip(payments, ways, strict=True) if way.method is None]
        if payments:
            body = {"payments": [_payment(one) for one in payments]}
            self._note_paid(self.client.post("/v1/simulation/card-payments", key, body))
        for number, some in _chunks(outside, _OUTSIDE):
            path = "/v1/simulation/channel-payments"
            answers = self.client.post(path, f"{key}/outside/{number}", {"payments": some})
            self._note_paid(answers)
            self.tally.outside += len(some)
            self.tally.unknown += sum(
                item["outcome"] == "accepted" and item["reason"] is not None
                for item in answers["items"]
            )

    def _note_paid(self, answers: Any) -> None:
        self.tally.payments += len(answers["items"])
        self.tally.declined += _declined(answers)

    def _refund(self, key: str, refunds: Sequence[Refund]) -> None:
        answers = self.client.post(
            "/v1/simulation/refunds",
            key,
            {
                "refunds": [
                    {
                        "id": refund.id,
                        "at": refund.at,
                        "payment": refund.payment_id,
                    }
                    for refund in refunds
                ]
            },
        )
        self.tally.refunds += len(refunds)
        self.tally.refunds_declined += _declined(answers)

    def _report(self, key: str, reports: Sequence[FraudReport]) -> None:
        """Tell of fraud; a payment that was never asked for (a pause was quiet) is told in vain."""
        self.client.post(
            "/v1/simulation/card-reports",
            key,
            {
                "reports": [
                    {"payment": report.payment_id, "at": report.at, "card": report.card_id}
                    for report in reports
                ]
            },
        )
        self.tally.reports += len(reports)

    def _close_day(self, on: date) -> None:
        """Clear the payments of the day, then move all three books to the next."""
        key = f"town/{self._seed}/{on.isoformat()}"
        self.client.post("/v1/simulation/payday-close", f"{key}/payday", {"business_on": on})
        next_on = on + timedelta(days=1)
        for book in (BOOK, HOUSE):
            self.client.post(
                f"/v1/ledger/books/{book}/day-close", f"{key}/close/{book}", {"next_on": next_on}
            )
        self.client.post(
            "/v1/simulation/lending-day-close", f"{key}/close/lending", {"business_on": on}
        )
        if self.outside is not None and self.outside.custody is not None:
            self.outside.custody.pay_in(on)
        self.tally.days_closed += 1


def _payment(payment: CardPayment) -> dict[str, Any]:
    return {
        "id": payment.id,
        "at": payment.at,
        "customer": payment.customer_id,
        "card": payment.card_id,
        "account": wallet_code(payment.account_id),
        "merchant": payment.merchant_id,
        "terminal": payment.terminal_id,
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
    }


def _declined(answers: Any) -> int:
    return _came_to(answers, "declined")


def _came_to(answers: Any, *outcomes: str) -> int:
    return sum(item["outcome"] in outcomes for item in answers["items"])


def _chunks(items: Sequence[T], size: int = _BATCH) -> Iterator[tuple[int, Sequence[T]]]:
    for first in range(0, len(items), size):
        yield first // size, items[first : first + size]
