"""The contract: an offer accepted, its evidence kept, taken back within the cooling-off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.credit.model import consent_texts
from steelyard.credit.model.affordability import monthly_minor
from steelyard.credit.model.application import Application, ApplicationState
from steelyard.credit.model.evidence import (
    ContractEvidenceIsMissing,
    PackageReport,
    Piece,
    build_package,
    digest_of,
    verify_package,
)
from steelyard.credit.model.loan import NewLoan
from steelyard.credit.model.offer import (
    ContractTextDiffers,
    Offer,
    OfferIsOfAnotherDay,
    OfferIsUnknown,
    OfferNoLongerFits,
    TermsDiffer,
    content_bytes,
)
from steelyard.credit.model.product import (
    Product,
    ProductKind,
    product_as_data,
)
from steelyard.credit.service import lines, loans
from steelyard.credit.service.applying import must_have_consent, product_for
from steelyard.credit.service.offering import business_on, must_own
from steelyard.credit.service.origination_facts import ContractSigned, ContractTakenBack
from steelyard.credit.service.steps import move
from steelyard.credit.store import applications as table
from steelyard.credit.store import lender as lenders
from steelyard.decisions import records

_S = ApplicationState
_ENCODER = msgspec.json.Encoder(order="sorted", uuid_format="canonical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What a customer accepts, and how.

    Attributes
    ----------
    offer, terms_hash : as they were shown to him
    text_version : of the contract's text, as it was shown
    wallet_account : his account in the book of wallets, that is paid to and paid from
    payee : account of the merchant of a purchase
    device, ip : where he said yes
    """

    offer: UUID
    terms_hash: str
    text_version: int
    wallet_account: str
    payee: str | None = None
    device: str | None = None
    ip: str | None = None


def accept(
    unit: UnitOfWork, application: UUID, acceptance: Acceptance, *, pay_out: bool = True
) -> Application:
    """Sign the contract that was offered, keep its evidence, and pay it out.

    A limit is opened instead of a loan where the product is a line. The same acceptance again is
    the contract that stands.

    Parameters
    ----------
    pay_out : whether the money moves in the same transaction; otherwise `loans.disburse` does it

    Refusals
    --------
    application_is_unknown, application_state_forbids, offer_is_unknown, offer_has_expired,
    terms_differ, contract_text_differs, offer_is_of_another_day, consent_is_needed,
    offer_no_longer_fits, account_is_not_theirs, and those of `loans.sign`, `loans.disburse` and
    `lines.open_for`
    """
    # Several offers to one customer are signed one after the other, each knowing the debts before.
    table.hold_all_of_its_party(unit.connection, application)
    present = table.read(unit.connection, application, lock=True)
    if present.state is _S.SIGNED and present.offer == acceptance.offer:
        return present
    present.must_be("accept", _S.OFFERED, now=present.changed_at)
    offer = _accepted_offer(unit, present, acceptance)
    product = product_for(unit.connection, present)
    must_have_consent(unit.connection, present)
    _must_be_of_today(unit, offer, product)
    _must_fit(unit.connection, present, offer)
    detail = {"offer": str(offer.id), "terms": offer.hash, "device": acceptance.device}
    accepted = move(unit, present, _S.ACCEPTED, detail=detail)
    _keep(unit, accepted, offer, product, acceptance)
    loan, line = None, None
    if product.kind is ProductKind.LINE:
        line = lines.open_for(unit, accepted, offer, product).id
    else:
        loan = _lend(unit, accepted, offer, product, acceptance, pay_out=pay_out)
    fact = ContractSigned(
        application=present.id,
        offer=offer.id,
        party=present.party,
        product=present.product,
        loan=loan,
        line=line,
        terms_hash=offer.hash,
    )
    return move(unit, accepted, _S.SIGNED, fact=fact, loan=loan, line=line)


def _accepted_offer(unit: UnitOfWork, present: Application, acceptance: Acceptance) -> Offer:
    if present.offer != acceptance.offer:
        raise OfferIsUnknown(application=present.id, offer=acceptance.offer)
    offer = table.read_offer(unit.connection, acceptance.offer)
    offer.must_be_open(unit.now)
    if offer.hash != acceptance.terms_hash:
        raise TermsDiffer(offer=offer.id)
    wanted = int(offer.content["contract_text"]["version"])
    if acceptance.text_version != wanted:
        raise ContractTextDiffers(offer=offer.id, wanted=wanted, given=acceptance.text_version)
    return offer


def _must_be_of_today(unit: UnitOfWork, offer: Offer, product: Product) -> None:
    on = business_on(unit.connection, product.currency)
    # A limit has no schedule yet: its prices stand, whatever the day.
    if offer.start_on != on and product.kind is not ProductKind.LINE:
        raise OfferIsOfAnotherDay(
            offer=offer.id, start_on=offer.start_on.isoformat(), on=on.isoformat()
        )


def _must_fit(connection: sa.Connection, present: Application, offer: Offer) -> None:
    """Refuse an offer that debts made since it was assessed have taken the room of."""
    assessed: Mapping[str, Any] = present.assessment or {}
    principal, monthly = table.owed_by(connection, present.party)
    more = max(0, principal - assessed["own_owed_minor"])
    more_monthly = max(0, monthly - assessed["own_debts_minor"])
    if not more and not more_monthly:
        return
    is_within = offer.amount_minor + more <= assessed["limit_minor"]
    if not is_within or monthly_minor(offer.terms) + more_monthly > assessed["room_minor"]:
        raise OfferNoLongerFits(offer=offer.id)


def _lend(
    unit: UnitOfWork,
    present: Application,
    offer: Offer,
    product: Product,
    acceptance: Acceptance,
    *,
    pay_out: bool,
) -> UUID:
    lender = lenders.read(unit.connection, product.currency)
    book = lender.wallets_book
    must_own(unit.connection, acceptance.wallet_account, present.party, book=book)
    if present.facts.merchant is not None:
        must_own(unit.connection, acceptance.payee or "", present.facts.merchant, book=book)
    until = None
    if product.cooling_off_days:
        until = offer.start_on + timedelta(days=product.cooling_off_days)
    loan = loans.sign(
        unit,
        NewLoan(
            party=present.party,
            product=product.code,
            product_version=product.version,
            terms=offer.terms,
            wallet_book=lender.wallets_book,
            wallet_account=acceptance.wallet_account,
            merchant=present.facts.merchant,
            application=present.id,
            shares=product.shares,
            cooling_off_until=until,
            decision=offer.decision,
        ),
    )
    if pay_out:
        loans.disburse(
            unit,
            loan.id,
            payee=None if present.facts.merchant is None else acceptance.payee,
            subsidy_minor=int(offer.content.get("subsidy_minor", 0)),
            decision=offer.decision,
        )
    return loan.id


def take_back(unit: UnitOfWork, application: UUID) -> Application:
    """Step back from a contract within its cooling-off: the principal back, no interest.

    What was signed and not paid out is cancelled.

    Refusals
    --------
    application_is_unknown, application_state_forbids, and those of `loans.cancel` and
    `loans.step_back`
    """
    present = table.read(unit.connection, application, lock=True)
    if present.state is _S.WITHDRAWN:
        return present
    present.must_be("take_back", _S.SIGNED, now=unit.now)
    if present.loan is None:
        assert present.line is not None, "a contract is a loan or a limit"
        lines.close(unit, present.line, reason="taken_back")
    elif loans.read(unit.connection, present.loan).state is loans.LoanState.SIGNED:
        loans.cancel(unit, present.loan)
    else:
        loans.step_back(unit, present.loan)
    fact = None
    if present.loan is not None:
        fact = ContractTakenBack(
            application=present.id,
            party=present.party,
            product=present.product,
            loan=present.loan,
        )
    return move(unit, present, _S.WITHDRAWN, fact=fact, detail={"how": "cooling_off"})


# -- evidence -----------------------------------------------------------------------------------


def _keep(
    unit: UnitOfWork,
    present: Application,
    offer: Offer,
    product: Product,
    acceptance: Acceptance,
) -> None:
    """Keep what proves the contract, each piece as the bytes it was shown or made as."""
    checks: Mapping[str, Any] = present.checks or {}
    contents: dict[str, bytes] = {
        "application": _bytes(
            {
                "id": present.id,
                "party": present.party,
                "channel": present.channel,
                "drafted_at": present.drafted_at,
                "facts": present.facts,
                "origin": present.origin,
            }
        ),
        "consents": _bytes(
            [
                {
                    "purpose": one.purpose,
                    "text_version": one.text_version,
                    "text_hash": one.text_hash,
                    "at": one.at,
                }
                for one in present.consents
            ]
        ),
        "identity": _bytes(
            {"level": checks.get("identity_level"), "attempts": checks.get("identity")}
        ),
        "credit_file": _bytes(checks.get("credit_file")),
        "assessment": _bytes(present.assessment),
        "product": _bytes(product_as_data(product)),
        "offer": content_bytes(offer.content),
        "contract_text": _bytes(consent_texts.CONTRACT),
        "acceptance": _bytes(
            {
                "offer": offer.id,
                "terms_hash": acceptance.terms_hash,
                "text_version": acceptance.text_version,
                "text_hash": offer.content["contract_text"]["hash"],
                "device": acceptance.device,
                "ip": acceptance.ip,
                "wallet_account": acceptance.wallet_account,
                "payee": acceptance.payee,
                "actor": unit.actor,
                "at": unit.now,
                "wall_at": unit.wall_at,
            }
        ),
    }
    if present.decision is not None:
        line = records.read_decision(unit.connection, present.decision)
        contents["decision"] = line.record
    pieces = [
        Piece(name, content, unit.now, unit.actor) for name, content in sorted(contents.items())
    ]
    table.insert_pieces(unit.connection, present.id, pieces)
    audit(
        unit,
        action="credit.keep_evidence",
        subject=present.subject,
        detail={"digest": digest_of(present.id, pieces), "pieces": len(pieces)},
    )


def _bytes(value: object) -> bytes:
    return _ENCODER.encode(value)


def evidence_of(connection: sa.Connection, application: UUID) -> tuple[Piece, ...]:
    """Return the pieces of evidence of a contract, by name.

    Refusals
    --------
    application_is_unknown, contract_evidence_is_missing
    """
    table.read(connection, application)
    found = tuple(table.pieces(connection, application))
    if not found:
        raise ContractEvidenceIsMissing(application=application)
    return found


def export_evidence(connection: sa.Connection, application: UUID) -> bytes:
    """Return the evidence of a contract as one package, a zip that proves itself.

    Refusals
    --------
    application_is_unknown, contract_evidence_is_missing
    """
    return build_package(application, evidence_of(connection, application))


def verify_evidence(package: bytes) -> PackageReport:
    """Return whether a package is whole; needs nothing but the package.

    Refusals
    --------
    package_is_unreadable
    """
    return verify_package(package)
