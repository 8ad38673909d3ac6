"""Roles: named sets of entitlements, and who may be given which."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
_ENTITLEMENT = re.compile(r"\*|[a-z][a-z0-9_]*\.(\*|[a-z][a-z0-9_]*)")

OWN = "access.self"
"""What everybody may who is known at all: see and change what is his own."""


class Audience(StrEnum):
    """Who can be given a role."""

    STAFF = "staff"
    MACHINE = "machine"
    CUSTOMER = "customer"


class RoleIsUnknown(Refusal):
    """No role has the name."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no role {role}."
    zh = "角色 {role} 不存在。"


class RoleIsBuiltIn(Refusal):
    """The roles that come with the platform are changed by its releases only."""

    kind = RefusalKind.CONFLICT
    en = "The role {role} is built in; define one of another name."
    zh = "角色 {role} 为内置角色，请另行命名定义。"


class RoleIsForOthers(Refusal):
    """A role is for people, for machines or for customers."""

    kind = RefusalKind.CONFLICT
    en = "The role {role} is for {audience}."
    zh = "角色 {role} 仅适用于 {audience}。"


class RoleIsMalformed(Refusal):
    """A name or an entitlement does not have its form."""

    kind = RefusalKind.INVALID
    en = "{what} is neither a role name nor an entitlement (room.verb, room.* or *)."
    zh = "{what} 不是合法的角色名或权限（room.verb、room.* 或 *）。"


class RoleWasGranted(Refusal):
    """The person has the role."""

    kind = RefusalKind.CONFLICT
    en = "{user_name} has the role {role}."
    zh = "{user_name} 已拥有角色 {role}。"


class RoleWasNotGranted(Refusal):
    """The person does not have the role."""

    kind = RefusalKind.CONFLICT
    en = "{user_name} does not have the role {role}."
    zh = "{user_name} 没有角色 {role}。"


class LastAdministrator(Refusal):
    """Two administrators have to remain: one alone could not be checked."""

    kind = RefusalKind.CONFLICT
    en = "At least two active administrators have to remain."
    zh = "至少须保留两名在职管理员。"


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of entitlements.

    Attributes
    ----------
    entitlements : sorted; `room.verb`, `room.*`, or `*`
    needs_second_factor : in force only in a session in which a second factor was shown
    version : grows by one with every change
    """

    name: str
    audience: Audience
    entitlements: tuple[str, ...]
    en: str
    zh: str
    needs_second_factor: bool = True
    is_built_in: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """That a person has a role; `cause` is the approval or the first run."""

    id: UUID
    staff: UUID
    role: str
    cause: str
    granted_by: str
    granted_at: datetime
    revoked_at: datetime | None = None


def _built_in(
    name: str, audience: Audience, zh: str, en: str, entitlements: str, *, second: bool = True
) -> Role:
    names = tuple(sorted(entitlements.split()))
    return Role(name, audience, names, en, zh, second, is_built_in=True)


ADMINISTRATOR = "administrator"
CUSTOMER = "customer"

_READS = (
    "cases.read credit.read credit.read_portfolio decisions.read events.read experiments.read"
    " features.read ledger.read live.read parties.read payments.read simulation.read"
)
_PAYS = (
    "payments.channel payments.clear payments.debit payments.dispute payments.exchange"
    " payments.manage payments.onboard payments.pay payments.reconcile payments.refund"
    " payments.route"
)
_LENDS = (
    "credit.answer credit.apply credit.ask_bureau credit.books credit.bring_up credit.change"
    " credit.close_day credit.collect credit.draft_product credit.estimate credit.give_up"
    " credit.lend credit.repay credit.report_bureau credit.set_limit credit.underwrite"
)
_SERVES = (
    "parties.consent parties.contact parties.correct parties.device parties.identify"
    " parties.search parties.unmask"
)

BUILT_IN_ROLES: tuple[Role, ...] = (
    _built_in(
        "maker",
        Audience.STAFF,
        "经办",
        "Enters business; what weighs much is approved by another person",
        f"{_READS} {_SERVES} {_LENDS} {_PAYS} access.read_approvals access.request_approval"
        " cases.close cases.escalate cases.work decisions.ask decisions.draft decisions.list"
        " decisions.register decisions.stop experiments.manage ledger.close_account"
        " ledger.close_day ledger.close_period ledger.open_account ledger.open_book ledger.post"
        " ledger.reverse ledger.set_limits parties.activate parties.block_device parties.close"
        " parties.link_account parties.publish_text parties.register parties.relate"
        " parties.restrict",
    ),
    _built_in(
        "checker",
        Audience.STAFF,
        "复核",
        "Approves or rejects what another person entered; enters nothing",
        f"{_READS} access.read_approvals cases.approve cases.escalate cases.lead cases.work"
        " credit.approve decisions.approve decisions.stop experiments.approve ledger.approve"
        " parties.approve parties.rule parties.unmask payments.approve",
    ),
    _built_in(
        "risk",
        Audience.STAFF,
        "风控",
        "Writes policies, lists and snoozes; another person puts them in force",
        f"{_READS} access.read_approvals access.request_approval cases.escalate cases.work"
        " credit.draft_product credit.estimate credit.set_limit credit.underwrite decisions.draft"
        " decisions.list decisions.register decisions.stop experiments.manage",
    ),
    _built_in("analyst", Audience.STAFF, "分析", "Reads figures and facts", _READS, second=False),
    _built_in(
        "customer_service",
        Audience.STAFF,
        "客服",
        "Helps customers, and sees personal fields for that purpose",
        f"cases.close cases.escalate cases.read cases.work credit.answer credit.bring_up"
        f" credit.read ledger.read parties.read payments.read {_SERVES}",
    ),
    _built_in(
        "auditor",
        Audience.STAFF,
        "审计",
        "Reads everything and changes nothing",
        f"{_READS} access.read_approvals access.read_audit access.read_keys access.read_staff",
    ),
    _built_in(
        ADMINISTRATOR,
        Audience.STAFF,
        "系统管理员",
        "People, roles and keys; no business",
        "access.*",
    ),
    _built_in(
        "engine",
        Audience.MACHINE,
        "渠道系统",
        "The machine of a channel",
        "decisions.ask experiments.expose ledger.post ledger.read parties.read",
        second=False,
    ),
    _built_in(
        "town",
        Audience.MACHINE,
        "模拟城",
        "The simulated town",
        "cases.read credit.* decisions.ask events.read experiments.expose ledger.* live.read"
        " parties.* payments.* simulation.*",
        second=False,
    ),
    # Of a party: the routes of payments let it see and move its own, and nobody else's.
    _built_in(
        "merchant",
        Audience.MACHINE,
        "商户系统",
        "A merchant's own system, about its own payments",
        "payments.debit payments.dispute payments.exchange payments.manage payments.pay"
        " payments.read payments.refund",
        second=False,
    ),
    # The routes of parties and credit let a customer see and change his own, and nobody else's.
    _built_in(
        CUSTOMER,
        Audience.CUSTOMER,
        "客户",
        "A customer, about himself",
        "credit.apply credit.bring_up credit.read credit.repay parties.consent parties.contact"
        " parties.device parties.identify parties.read payments.pay payments.read",
        second=False,
    ),
)


def check_role(role: Role) -> Role:
    """Return the role with its entitlements sorted, once each.

    Refusals
    --------
    role_is_malformed, role_is_built_in
    """
    if not _NAME.fullmatch(role.name):
        raise RoleIsMalformed(what=role.name)
    if any(role.name == known.name for known in BUILT_IN_ROLES):
        raise RoleIsBuiltIn(role=role.name)
    names = check_entitlements(role.entitlements)
    return Role(
        role.name,
        role.audience,
        names,
        role.en,
        role.zh,
        role.needs_second_factor,
        version=role.version,
    )


def check_entitlements(entitlements: Iterable[str]) -> tuple[str, ...]:
    """Return the entitlements sorted, once each.

    Refusals
    --------
    role_is_malformed

    Examples
    --------
    >>> check_entitlements(["ledger.read", "events.*", "ledger.read"])
    ('events.*', 'ledger.read')
    """
    names = tuple(sorted(set(entitlements)))
    for name in names:
        if not _ENTITLEMENT.fullmatch(name):
            raise RoleIsMalformed(what=name)
    return names


def covers(held: frozenset[str], wanted: str) -> bool:
    """Whether what somebody holds includes an entitlement, which may be a whole room's.

    Examples
    --------
    >>> covers(frozenset({"ledger.*"}), "ledger.read"), covers(frozenset({"ledger.read"}), "*")
    (True, False)
    """
    room = wanted.partition(".")[0]
    return bool(held & {wanted, "*"}) or (wanted != "*" and f"{room}.*" in held)
