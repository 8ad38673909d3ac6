"""Limits: granted on application or unasked, used by draw-downs, changed with a reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.credit.model.product import Tier
from steelyard.kernel import Refusal, RefusalKind

_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
SECOND_PERSON_ABOVE_MINOR: Final = 1_000_000
"""A limit that is raised by more than this, or to more than the product's own threshold, is raised
by two people."""


class LineIsUnknown(Refusal):
    """No limit has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no credit line {line}."
    zh = "额度 {line} 不存在。"


class LineStateForbids(Refusal):
    """The verb belongs to another state."""

    kind = RefusalKind.CONFLICT
    en = "Line {line} is {state}; {verb} is for: {wanted}."
    zh = "额度 {line} 的状态为 {state}，{verb} 仅适用于：{wanted}。"


class LineHasExpired(Refusal):
    """The limit was granted up to a day that is over."""

    kind = RefusalKind.CONFLICT
    en = "Line {line} was granted until {expires_on}."
    zh = "额度 {line} 的有效期至 {expires_on}，已失效。"


class LimitDoesNotSuffice(Refusal):
    """Less of the limit is left than is wanted."""

    kind = RefusalKind.CONFLICT
    en = "Line {line} has {left_minor} left of {limit_minor}; {asked_minor} was asked for."
    zh = "额度 {line} 总额 {limit_minor}，剩余 {left_minor}，不足 {asked_minor}（最小单位）。"


class DrawIsBarred(Refusal):
    """Something is late: nothing more is drawn until it is paid."""

    kind = RefusalKind.CONFLICT
    en = "Nothing is drawn on line {line} while a loan is {days} days late."
    zh = "存在逾期 {days} 天的借款，额度 {line} 暂不可支用。"


class LineExists(Refusal):
    """The customer has a limit of the product."""

    kind = RefusalKind.CONFLICT
    en = "Party {party} has a line of {product}: {line}."
    zh = "主体 {party} 已有产品 {product} 的额度 {line}。"


class LimitIsWrong(Refusal):
    """The limit is out of the product's range, or as it is."""

    kind = RefusalKind.INVALID
    en = "A limit of {product} lies between {least_minor} and {most_minor}, and is a change."
    zh = "产品 {product} 的额度应在 {least_minor} 至 {most_minor} 之间，且须有变化。"


class PreapprovalRuleIsMalformed(Refusal):
    """A rule of pre-approval cannot be."""

    kind = RefusalKind.INVALID
    en = "The rule {rule} is malformed at {field}: {why}."
    zh = "预授信规则 {rule} 的 {field} 有误：{why}。"


class PreapprovalRuleIsUnknown(Refusal):
    """There is no rule of pre-approval of the name."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no rule of pre-approval {rule}."
    zh = "预授信规则 {rule} 不存在。"


class LineState(StrEnum):
    """Where a limit stands."""

    PROPOSED = "proposed"
    """Granted unasked; shown to the customer, who has not taken it up."""
    OPEN = "open"
    FROZEN = "frozen"
    """Nothing is drawn; what is owed stays as it is."""
    CLOSED = "closed"


class LineChange(StrEnum):
    """What happens to a limit."""

    PROPOSED = "proposed"
    GRANTED = "granted"
    TAKEN_UP = "taken_up"
    RAISED = "raised"
    LOWERED = "lowered"
    FROZEN = "frozen"
    FREED = "freed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A limit of one customer for one product.

    Attributes
    ----------
    used_minor : what the loans that stand under it still owe, and what is signed and not paid out
    tier : of its prices
    application : that it was granted on, or taken up with; rule, rule_version : that proposed it
    expires_on : last day on which is drawn
    """

    id: UUID
    party: UUID
    product: str
    product_version: int
    currency: str
    tier: Tier
    limit_minor: int
    used_minor: int
    state: LineState
    version: int
    application: UUID | None
    rule: str | None
    rule_version: int | None
    cause: str
    granted_at: datetime
    expires_on: date

    @property
    def subject(self) -> str:
        """Return `line:<id>`."""
        return f"line:{self.id}"

    @property
    def left_minor(self) -> int:
        """Return what can still be drawn; nothing where more is used than granted."""
        return max(self.limit_minor - self.used_minor, 0)

    def must_be(self, verb: str, *states: LineState) -> None:
        """Check the state for a verb.

        Refusals
        --------
        line_state_forbids
        """
        if self.state not in states:
            raise LineStateForbids(
                line=self.id, state=self.state, verb=verb, wanted=", ".join(states)
            )

    def must_carry(self, amount_minor: int, on: date) -> None:
        """Check that an amount can be drawn on a day.

        Refusals
        --------
        line_state_forbids, line_has_expired, limit_does_not_suffice : in this order
        """
        self.must_be("draw", LineState.OPEN)
        if on > self.expires_on:
            raise LineHasExpired(line=self.id, expires_on=self.expires_on.isoformat())
        if amount_minor > self.left_minor:
            raise LimitDoesNotSuffice(
                line=self.id,
                limit_minor=self.limit_minor,
                left_minor=self.left_minor,
                asked_minor=amount_minor,
            )


@dataclass(frozen=True, slots=True)
class LineStep:
    """One change of a limit, as it is kept; minor units."""

    line: UUID
    version: int
    at: datetime
    actor: str
    change: LineChange
    before_minor: int
    after_minor: int
    reason: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreapprovalRule:
    """Who is granted a limit unasked (预授信), as it is shown to whoever asks why.

    A customer is chosen who has been known for long enough, is identified well enough, has repaid
    so many of our loans, was never later than allowed, owes nothing late, and has consented to be
    offered what he did not ask for. The limit is a part of the largest loan that he repaid.

    Attributes
    ----------
    text_en, text_zh : shown with the limit
    known_days : since registration
    repaid_loans : closed, at least
    most_days_late : ever, over all loans
    of_largest_bp : of the largest repaid loan, basis points
    most_minor : whatever the part comes to
    tier : of the price
    valid_days : for which the proposal stands
    """

    name: str
    product: str
    text_en: str
    text_zh: str
    known_days: int = 180
    identity_level: int = 2
    repaid_loans: int = 1
    most_days_late: int = 0
    of_largest_bp: int = 10_000
    most_minor: int
    tier: Tier
    valid_days: int = 60

    def check(self) -> None:
        """Refuse a rule that cannot be.

        Refusals
        --------
        preapproval_rule_is_malformed
        """
        rules = (
            ("name", bool(_NAME.fullmatch(self.name)), "a-z, 0-9, _"),
            ("text_en", bool(self.text_en.strip()), "not empty"),
            ("text_zh", bool(self.text_zh.strip()), "not empty"),
            ("known_days", 0 <= self.known_days <= 3_660, "0..3660"),
            ("identity_level", 0 <= self.identity_level <= 3, "0..3"),
            ("repaid_loans", 1 <= self.repaid_loans <= 100, "1..100"),
            ("most_days_late", 0 <= self.most_days_late <= 365, "0..365"),
            ("of_largest_bp", 0 < self.of_largest_bp <= 100_000, "1..100000"),
            ("most_minor", self.most_minor > 0, "> 0"),
            ("valid_days", 1 <= self.valid_days <= 366, "1..366"),
        )
        for name, holds, why in rules:
            if not holds:
                raise PreapprovalRuleIsMalformed(rule=self.name, field=name, why=why)

    def limit_minor(self, largest_minor: int, *, least: int, most: int, step: int) -> int:
        """Return the limit for who repaid a loan of a size; 0 where that is under the least.

        Examples
        --------
        >>> rule = PreapprovalRule(name="good", product="credit_line", text_en="x", text_zh="x",
        ...                        most_minor=500_000, tier=Tier.B, of_largest_bp=15_000)
        >>> rule.limit_minor(200_000, least=50_000, most=10_000_000, step=10_000)
        300000
        """
        part = min(largest_minor * self.of_largest_bp // 10_000, self.most_minor, most)
        part -= part % step
        return part if part >= least else 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who fulfils a rule, and the largest loan that he repaid; minor units."""

    party: UUID
    largest_minor: int
