"""The audit of a book: everything it claims, computed again from its transfers.

It reads each transfer once, in the order of recording, and keeps what the straight-line rules give:
the chain, the balances after each row, what is held, the counters at the end. What it finds is
named by the transfer at which it shows first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from steelyard.ledger.model.chain import genesis, seal
from steelyard.ledger.model.transfers import Kind, TransferRecord, cause_is_well_formed

MAX_FINDINGS = 100


class Fault(StrEnum):
    """What an audit can find."""

    CHAIN_BROKEN = "chain_broken"
    """The hash is not that of the transfer and everything before it."""
    ORDER_BROKEN = "order_broken"
    ACCOUNT_MISSING = "account_missing"
    CURRENCY_DIFFERS = "currency_differs"
    BALANCE_DIFFERS = "balance_differs"
    """The balance in the row is not that of the rows before it."""
    REFERENCE_WRONG = "reference_wrong"
    """A resolution without its open hold, or a reversal without its original."""
    CAUSE_MISSING = "cause_missing"
    COUNTERS_DIFFER = "counters_differ"
    """The account's counters are not the sums of its transfers."""
    LIMIT_EXCEEDED = "limit_exceeded"
    MIRROR_DIFFERS = "mirror_differs"
    BLOCK_DIFFERS = "block_differs"
    HEAD_DIFFERS = "head_differs"
    """The book's head is not the hash of its last transfer: rows are missing at the end."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    at, id : the transfer at which it shows, None for an account, a block or the head
    about : what was expected and found, in words
    """

    fault: Fault
    about: str
    at: int | None = None
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit of one book found.

    Attributes
    ----------
    transfers, accounts, blocks : how many were read
    open_holds : how many holds are unresolved
    turnover_minor : moved amounts by currency, minor units
    head : hexadecimal hash at the end of the chain that was computed
    findings : empty for a sound book; at most 100, the first transfer at fault first
    """

    book: str
    transfers: int
    accounts: int
    blocks: int
    open_holds: int
    turnover_minor: dict[str, int]
    head: str
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class AccountClaim(NamedTuple):
    """What the account table claims of an account; `mirrored` is what its counterpart claims."""

    id: int
    currency: str
    counters: tuple[int, int, int, int]
    debit_limit: int | None
    credit_limit: int | None
    mirrors: str | None
    mirrored: tuple[int, int, int, int] | None


class BlockClaim(NamedTuple):
    """What the block table claims of one batch."""

    n: int
    from_at: int
    to_at: int
    transfers: int
    hash: bytes


@dataclass(slots=True)
class Audit:
    """The audit of one book, fed with its transfers in the order of recording.

    Parameters
    ----------
    book, funds : the chain begins with them
    accounts : currency by number
    """

    book: str
    funds: str
    accounts: dict[int, str]
    transfers: int = 0
    findings: list[Finding] = field(default_factory=list)
    counters: dict[int, list[int]] = field(default_factory=dict)
    open_holds: dict[UUID, tuple[int, int, int]] = field(default_factory=dict)
    turnover_minor: dict[str, int] = field(default_factory=dict)
    _originals: dict[UUID, tuple[int, int, int] | None] = field(default_factory=dict)
    _head: bytes = b""
    _last_at: int = 0
    _ends: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._head = genesis(self.book, self.funds)

    def watch(self, block_ends: Iterable[int], originals: Iterable[UUID]) -> None:
        """Say which rows are needed again: the last of each block, and what was reversed."""
        self._ends = dict.fromkeys(block_ends, b"")
        self._originals = dict.fromkeys(originals)

    def read(self, records: Iterable[TransferRecord]) -> None:
        """Audit some more transfers."""
        for record in records:
            self.transfers += 1
            for fault, about in self._faults(record):
                self._find(Finding(fault, about, record.at, record.id))
            self._last_at = record.at
            # The chain goes on from what is written: one bad row is one finding, not all after it.
            self._head = record.hash
            if record.at in self._ends:
                self._ends[record.at] = record.hash

    def _find(self, finding: Finding) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)

    def _faults(self, r: TransferRecord) -> Iterator[tuple[Fault, str]]:
        if r.at <= self._last_at or r.book != self.book:
            yield Fault.ORDER_BROKEN, f"{r.at} after {self._last_at}"
        if seal(self._head, r) != r.hash:
            yield Fault.CHAIN_BROKEN, f"written {r.hash.hex()[:16]}"
        if not cause_is_well_formed(r.cause):
            yield Fault.CAUSE_MISSING, repr(r.cause)
        for account in (r.debit, r.credit):
            currency = self.accounts.get(account)
            if currency is None:
                yield Fault.ACCOUNT_MISSING, str(account)
            elif currency != r.currency:
                yield Fault.CURRENCY_DIFFERS, f"{r.currency} on account {account} in {currency}"
        if not self._reference_is_right(r):
            yield Fault.REFERENCE_WRONG, f"{Kind(r.kind).word} of {r.refers_to}"
        debited = self.counters.setdefault(r.debit, [0, 0, 0, 0])
        credited = self.counters.setdefault(r.credit, [0, 0, 0, 0])
        debited[0] += r.posted_minor
        debited[1] += r.held_minor
        credited[2] += r.posted_minor
        credited[3] += r.held_minor
        self.turnover_minor[r.currency] = self.turnover_minor.get(r.currency, 0) + r.posted_minor
        for account, side, written in (
            (r.debit, debited, r.debit_balance),
            (r.credit, credited, r.credit_balance),
        ):
            if side[0] - side[2] != written:
                about = f"account {account}: written {written}, computed {side[0] - side[2]}"
                yield Fault.BALANCE_DIFFERS, about
                # The next rows of the account are judged by what is written here.
                side[0] = written + side[2]

    def _reference_is_right(self, r: TransferRecord) -> bool:
        if r.kind == Kind.HOLD:
            self.open_holds[r.id] = (r.debit, r.credit, r.held_minor)
        elif r.kind in (Kind.POST, Kind.VOID):
            assert r.refers_to is not None
            hold = self.open_holds.pop(r.refers_to, None)
            if hold != (r.debit, r.credit, -r.held_minor):
                return False
        elif r.kind == Kind.REVERSAL:
            assert r.refers_to is not None
            original = self._originals.pop(r.refers_to, None)
            return original == (r.credit, r.debit, r.posted_minor)
        if r.id in self._originals and r.kind in (Kind.SINGLE, Kind.POST):
            self._originals[r.id] = (r.debit, r.credit, r.posted_minor)
        return True

    def finish(
        self, accounts: Iterable[AccountClaim], blocks: Iterable[BlockClaim], head: bytes
    ) -> Report:
        """Compare the end with what the other tables claim, and return the report."""
        n_accounts = n_blocks = 0
        for claim in accounts:
            n_accounts += 1
            for fault, about in _account_faults(claim, self.counters.get(claim.id, [0, 0, 0, 0])):
                self._find(Finding(fault, f"account {claim.id}: {about}"))
        counted, next_at = 0, 0
        for block in blocks:
            n_blocks += 1
            counted += block.transfers
            if (
                block.n != n_blocks
                or block.from_at <= next_at
                or self._ends.get(block.to_at) != block.hash
            ):
                self._find(Finding(Fault.BLOCK_DIFFERS, f"block {block.n}", block.to_at))
            next_at = block.to_at
        if counted != self.transfers:
            about = f"the blocks seal {counted} transfers, the book has {self.transfers}"
            self._find(Finding(Fault.BLOCK_DIFFERS, about))
        if head != self._head:
            about = f"written {head.hex()[:16]}, computed {self._head.hex()[:16]}"
            self._find(Finding(Fault.HEAD_DIFFERS, about))
        return Report(
            self.book,
            self.transfers,
            n_accounts,
            n_blocks,
            len(self.open_holds),
            dict(sorted(self.turnover_minor.items())),
            self._head.hex(),
            tuple(self.findings),
        )


def _account_faults(claim: AccountClaim, computed: list[int]) -> Iterator[tuple[Fault, str]]:
    if list(claim.counters) != computed:
        yield Fault.COUNTERS_DIFFER, f"written {list(claim.counters)}, computed {computed}"
    debits, debits_held, credits, credits_held = claim.counters
    if claim.debit_limit is not None and debits + debits_held - credits > claim.debit_limit:
        yield Fault.LIMIT_EXCEEDED, f"debits over {claim.debit_limit}"
    if claim.credit_limit is not None and credits + credits_held - debits > claim.credit_limit:
        yield Fault.LIMIT_EXCEEDED, f"credits over {claim.credit_limit}"
    if claim.mirrors is not None:
        mirrored = claim.mirrored or (0, 0, 0, 0)
        if claim.counters != (mirrored[2], mirrored[3], mirrored[0], mirrored[1]):
            yield Fault.MIRROR_DIFFERS, f"does not mirror book {claim.mirrors}"
