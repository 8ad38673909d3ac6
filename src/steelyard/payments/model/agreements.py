"""Agreements with channels: dated, with supplements that change the sheet from a day on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.channel import Capability

TERMS: Final = frozenset(one.name for one in fields(Capability))
"""What an agreement can fix: the fields of the sheet."""


class AgreementIsUnknown(Refusal):
    """The channel has no such agreement."""

    kind = RefusalKind.NOT_FOUND
    en = "The channel {channel} has no agreement {agreement}."
    zh = "渠道 {channel} 没有协议 {agreement}。"


class AgreementExists(Refusal):
    """The number is taken."""

    kind = RefusalKind.CONFLICT
    en = "The channel {channel} has an agreement {number} already."
    zh = "渠道 {channel} 已有协议 {number}。"


class AgreementsOverlap(Refusal):
    """Two agreements of a channel would be in force at once; a change is a supplement."""

    kind = RefusalKind.CONFLICT
    en = "Agreement {number} of {channel} is in force then; add a supplement to it."
    zh = "渠道 {channel} 的协议 {number} 届时仍有效；请以补充协议变更。"


class SupplementIsOutside(Refusal):
    """A supplement begins while its agreement is not in force."""

    kind = RefusalKind.INVALID
    en = "The supplement begins outside of its agreement {number} of {channel}."
    zh = "补充协议的生效日不在渠道 {channel} 协议 {number} 的有效期内。"


class TermDoesNotFit(Refusal):
    """A term is no field of the sheet, or has no value of its kind."""

    kind = RefusalKind.INVALID
    en = "The term {term} does not fit the capability sheet."
    zh = "条款 {term} 与能力表不符。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A contract with a channel, or a supplement to one.

    Attributes
    ----------
    effective_to : the first day without it; None: open
    terms : field of the sheet -> value from `effective_from` on, rates too
    """

    id: UUID
    channel: str
    number: str
    signed_on: date
    effective_from: date
    terms: Mapping[str, Any]
    effective_to: date | None = None
    supplement_of: UUID | None = None
    actor: str = ""
    at: datetime | None = None

    def covers(self, on: date) -> bool:
        """Whether it is in force on a day."""
        return self.effective_from <= on and (self.effective_to is None or on < self.effective_to)


def in_force(agreements: Iterable[Agreement], on: date) -> Agreement | None:
    """Return the agreement in force on a day, without its supplements."""
    found = (one for one in agreements if one.supplement_of is None and one.covers(on))
    return next(found, None)


def capability_on(sheet: Capability, agreements: Iterable[Agreement], on: date) -> Capability:
    """Return what a channel can do on a day: its sheet, as what is in force changes it.

    Later supplements count over earlier ones; those of an agreement that ended count no more.

    Examples
    --------
    >>> from decimal import Decimal
    >>> from steelyard.payments.model.channel import Method
    >>> main = Agreement(id=UUID(int=1), channel="uni", number="2026-1", terms={},
    ...                  signed_on=date(2026, 1, 1), effective_from=date(2026, 1, 1))
    >>> more = replace(main, id=UUID(int=2), supplement_of=UUID(int=1),
    ...                effective_from=date(2026, 7, 1), terms={"fee_rate": Decimal("0.0018")})
    >>> sheet = Capability(methods=(Method.WALLET,))
    >>> [str(capability_on(sheet, (main, more), date(2026, m, 30)).fee_rate) for m in (6, 7)]
    ['0.002', '0.0018']
    """
    known = sorted(agreements, key=lambda one: (one.effective_from, one.number))
    main = in_force(known, on)
    if main is None:
        return sheet
    changed = dict(main.terms)
    for one in known:
        if one.supplement_of == main.id and one.covers(on):
            changed |= one.terms
    return replace(sheet, **changed) if changed else sheet


def check_new(agreement: Agreement, known: Iterable[Agreement]) -> None:
    """Refuse an agreement that does not fit beside those there are.

    Refusals
    --------
    term_does_not_fit, agreement_exists, agreement_is_unknown : the one that it supplements
    supplement_is_outside, agreements_overlap
    """
    for term in agreement.terms:
        if term not in TERMS:
            raise TermDoesNotFit(term=term)
    others = list(known)
    for one in others:
        if one.number == agreement.number:
            raise AgreementExists(channel=agreement.channel, number=one.number)
    if agreement.supplement_of is not None:
        _check_supplement(agreement, others)
        return
    for one in others:
        if one.supplement_of is None and _overlap(one, agreement):
            raise AgreementsOverlap(channel=agreement.channel, number=one.number)


def _check_supplement(agreement: Agreement, others: Iterable[Agreement]) -> None:
    for one in others:
        if one.id == agreement.supplement_of and one.supplement_of is None:
            if one.covers(agreement.effective_from):
                return
            raise SupplementIsOutside(channel=agreement.channel, number=one.number)
    raise AgreementIsUnknown(channel=agreement.channel, agreement=agreement.supplement_of)


def _overlap(one: Agreement, other: Agreement) -> bool:
    one_ends = one.effective_to or date.max
    other_ends = other.effective_to or date.max
    return one.effective_from < other_ends and other.effective_from < one_ends
