"""The decision on a batch of transfers: the only place where the rules of posting stand.

A transfer is judged in the state that those before it in the batch have left. The order of the
checks is the order of `Outcome`. What is refused leaves no trace; a chain of linked transfers is
created as a whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from steelyard.ledger.model.accounts import AccountRef, AccountState, BookState
from steelyard.ledger.model.chain import seal
from steelyard.ledger.model.metadata import metadata_text, personal_key, shape_fault
from steelyard.ledger.model.transfers import (
    EARLIEST_YEAR,
    LATEST_YEAR,
    MAX_MINOR,
    Answer,
    Kind,
    Outcome,
    Transfer,
    TransferRecord,
    cause_is_well_formed,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(at: datetime) -> int:
    """Return an instant as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def instant(at: int) -> datetime:
    """Return the instant of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=at)


@dataclass(slots=True)
class State:
    """What stands in the books that a batch is about; `decide` moves it on.

    Attributes
    ----------
    books : by id
    accounts : by book and every reference (number or code) that the batch uses
    known : recorded transfers whose id the batch uses or refers to
    resolved : book and id of the holds and transfers, among those referred to, that are already
        resolved or reversed
    """

    books: dict[str, BookState]
    accounts: dict[tuple[str, AccountRef], AccountState]
    known: dict[tuple[str, UUID], TransferRecord] = field(default_factory=dict)
    resolved: set[tuple[str, UUID]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Decision:
    """Answers in the order of the batch, and the new records in the order of recording."""

    answers: list[Answer]
    records: list[TransferRecord]


def decide(
    batch: Sequence[Transfer], state: State, *, at: int, stale: Container[UUID] = ()
) -> Decision:
    """Judge a batch and return the answers and the records to write.

    Parameters
    ----------
    batch : at most a few thousand, of any books in `state`
    state : what stands; moved on to what will stand
    at : microseconds since 1970; each record gets the later of it and one after the record before
        it in its book, so that a clock that goes back does no harm
    stale : ids of transfers whose riders can no longer be written; repeats are none

    Returns
    -------
    Decision
        One answer for each transfer. The records, in their order, continue each book's chain.

    Examples
    --------
    >>> from datetime import date
    >>> from uuid import UUID
    >>> till, wallet = AccountState(1, "CNY"), AccountState(2, "CNY")
    >>> wallet.debit_limit = 0
    >>> town = BookState("town", date(2026, 3, 2), None, last_at=0, head=b"")
    >>> state = State({"town": town}, {("town", 1): till, ("town", 2): wallet})
    >>> def pay(number, debit, credit, amount_minor):
    ...     return Transfer(id=UUID(int=number), book="town", cause="no_policy@0", debit=debit,
    ...                     credit=credit, amount_minor=amount_minor, currency="CNY")
    >>> batch = [pay(1, 1, 2, 500), pay(2, 2, 1, 501), pay(3, 2, 1, 500), pay(3, 2, 1, 500)]
    >>> [answer.outcome.value for answer in decide(batch, state, at=7).answers]
    ['created', 'exceeds_debit_limit', 'created', 'exists']
    """
    bench = _Bench(state, at, stale)
    answers: list[Answer] = []
    for chain, is_open in _chains(batch):
        if is_open:
            answers.extend(Answer(t.id, Outcome.LINK_IS_OPEN) for t in chain)
        elif len(chain) == 1:
            answers.append(bench.judge(chain[0]))
        else:
            answers.extend(bench.judge_chain(chain))
    return Decision(answers, bench.records)


def _chains(batch: Sequence[Transfer]) -> Iterator[tuple[Sequence[Transfer], bool]]:
    """Yield the chains of a batch, and of the last whether its end is missing."""
    start = 0
    for index, transfer in enumerate(batch):
        if not transfer.linked:
            yield batch[start : index + 1], False
            start = index + 1
    if start < len(batch):
        yield batch[start:], True


class _Bench:
    """The state being moved on, and the records made so far."""

    __slots__ = ("at", "facing", "records", "stale", "state", "undo")

    def __init__(self, state: State, at: int, stale: Container[UUID]) -> None:
        self.state = state
        self.at = at
        self.stale = stale
        self.records: list[TransferRecord] = []
        # Of the chain that is being judged: counters to restore, and what it did to mirrors.
        self.undo: list[tuple[AccountState, tuple[int, int, int, int]]] | None = None
        self.facing: dict[tuple[str, str, str], list[int]] = {}

    def judge_chain(self, chain: Sequence[Transfer]) -> list[Answer]:
        """Judge a linked chain: all of it is created, or all of it existed, or nothing is."""
        self.undo = []
        self.facing = {}
        mark = len(self.records)
        marks = {book.id: (book.last_at, book.head) for book in self._books_of(chain)}
        answers: list[Answer] = []
        for transfer in chain:
            answer = self.judge(transfer)
            answers.append(answer)
            if not answer.outcome.is_accepted:
                break
        if answers[-1].outcome is Outcome.CREATED and not self._mirrors_match():
            answers[-1] = Answer(chain[-1].id, Outcome.MIRROR_UNMATCHED, None, chain[-1].book)
        made = sum(answer.outcome is Outcome.CREATED for answer in answers)
        if made < len(chain) and not (made == 0 and answers[-1].outcome.is_accepted):
            self._roll_back(mark, marks)
            answers = [
                Answer(a.id, Outcome.LINKED_FAILED) if a.outcome is Outcome.CREATED else a
                for a in answers
            ]
            answers += [Answer(t.id, Outcome.LINKED_FAILED) for t in chain[len(answers) :]]
        self.undo = None
        return answers

    def _mirrors_match(self) -> bool:
        """Return whether what the chain did to each mirror, it did to its counterpart too."""
        return all(
            [c, ch, d, dh] == self.facing.get((far, near, currency))
            for (near, far, currency), (d, dh, c, ch) in self.facing.items()
        )

    def _books_of(self, chain: Sequence[Transfer]) -> list[BookState]:
        found = {t.book: self.state.books.get(t.book) for t in chain}
        return [book for book in found.values() if book is not None]

    def _roll_back(self, mark: int, marks: Mapping[str, tuple[int, bytes]]) -> None:
        assert self.undo is not None
        for account, counters in reversed(self.undo):
            account.restore(counters)
        for record in self.records[mark:]:
            del self.state.known[record.book, record.id]
            if record.refers_to is not None:
                self.state.resolved.discard((record.book, record.refers_to))
        del self.records[mark:]
        for name, (last_at, head) in marks.items():
            self.state.books[name].last_at = last_at
            self.state.books[name].head = head

    def judge(self, t: Transfer) -> Answer:
        """Judge one transfer and, when it is accepted, carry it out on the state."""
        known = self.state.known.get((t.book, t.id))
        if known is not None:
            same = _is_repeat(t, known, self.state)
            return Answer(t.id, Outcome.EXISTS if same else Outcome.ID_CONFLICT, known)
        if t.id in self.stale:
            return Answer(t.id, Outcome.STALE)
        refusal = _fault(t)
        if refusal is not None:
            return refusal
        book = self.state.books.get(t.book)
        if book is None:
            return Answer(t.id, Outcome.BOOK_NOT_FOUND, None, t.book)
        if t.kind is Kind.POST or t.kind is Kind.VOID:
            return self._resolve(t, book)
        if t.kind is Kind.REVERSAL:
            return self._reverse(t, book)
        assert t.debit is not None
        assert t.credit is not None
        return self._move(t, book, t.debit, t.credit)

    def _move(self, t: Transfer, book: BookState, debit: AccountRef, credit: AccountRef) -> Answer:
        """Judge a single transfer or a hold."""
        debited = self.state.accounts.get((t.book, debit))
        credited = self.state.accounts.get((t.book, credit))
        for found, asked in ((debited, debit), (credited, credit)):
            if found is None:
                return Answer(t.id, Outcome.ACCOUNT_NOT_FOUND, None, str(asked))
        assert debited is not None
        assert credited is not None
        if debited is credited:
            return Answer(t.id, Outcome.INVALID, None, "credit")
        for account, asked in ((debited, debit), (credited, credit)):
            if account.closed:
                return Answer(t.id, Outcome.ACCOUNT_CLOSED, None, str(asked))
        for account, asked in ((debited, debit), (credited, credit)):
            if account.currency != t.currency:
                return Answer(t.id, Outcome.CURRENCY_MISMATCH, None, str(asked))
        assert t.amount_minor is not None
        amount = t.amount_minor
        debits = debited.debits_posted + debited.debits_held
        credits = credited.credits_posted + credited.credits_held
        room = _room(debited.debit_limit, debits - debited.credits_posted)
        if amount > room and (room <= 0 or not t.at_most):
            return Answer(t.id, Outcome.EXCEEDS_DEBIT_LIMIT, None, str(debit))
        amount = min(amount, room)
        room = _room(credited.credit_limit, credits - credited.debits_posted)
        if amount > room and (room <= 0 or not t.at_most):
            return Answer(t.id, Outcome.EXCEEDS_CREDIT_LIMIT, None, str(credit))
        amount = min(amount, room)
        if max(debits, credits) + amount > MAX_MINOR:
            return Answer(t.id, Outcome.COUNTER_OVERFLOW)
        if t.kind is Kind.HOLD:
            return self._record(t, book, debited, credited, held=amount)
        return self._record(t, book, debited, credited, posted=amount)

    def _resolve(self, t: Transfer, book: BookState) -> Answer:
        """Judge the post or void of a hold."""
        assert t.refers_to is not None
        hold = self.state.known.get((t.book, t.refers_to))
        if hold is None or hold.kind != Kind.HOLD:
            return Answer(t.id, Outcome.PENDING_NOT_FOUND, None, str(t.refers_to))
        debited = self.state.accounts[t.book, hold.debit]
        credited = self.state.accounts[t.book, hold.credit]
        for asked, account in ((t.debit, debited), (t.credit, credited)):
            if asked is not None and self.state.accounts.get((t.book, asked)) is not account:
                return Answer(t.id, Outcome.PENDING_DIFFERS, None, str(asked))
        if t.currency is not None and t.currency != hold.currency:
            return Answer(t.id, Outcome.PENDING_DIFFERS, None, t.currency)
        if (t.book, t.refers_to) in self.state.resolved:
            return Answer(t.id, Outcome.PENDING_RESOLVED, None, str(t.refers_to))
        if t.kind is Kind.VOID:
            return self._record(t, book, debited, credited, held=-hold.held_minor)
        if hold.expires_at is not None and max(self.at, book.last_at + 1) >= hold.expires_at:
            return Answer(t.id, Outcome.PENDING_EXPIRED, None, str(t.refers_to))
        amount = hold.held_minor if t.amount_minor is None else t.amount_minor
        if amount > hold.held_minor:
            return Answer(t.id, Outcome.EXCEEDS_PENDING, None, str(hold.held_minor))
        return self._record(t, book, debited, credited, posted=amount, held=-hold.held_minor)

    def _reverse(self, t: Transfer, book: BookState) -> Answer:
        """Judge a reversal: the original with its sides changed, once."""
        assert t.refers_to is not None
        original = self.state.known.get((t.book, t.refers_to))
        if original is None or original.kind not in (Kind.SINGLE, Kind.POST):
            return Answer(t.id, Outcome.ORIGINAL_NOT_FOUND, None, str(t.refers_to))
        if (t.book, t.refers_to) in self.state.resolved:
            return Answer(t.id, Outcome.ALREADY_REVERSED, None, str(t.refers_to))
        debited = self.state.accounts[t.book, original.credit]
        credited = self.state.accounts[t.book, original.debit]
        for account in (debited, credited):
            if account.closed:
                return Answer(t.id, Outcome.ACCOUNT_CLOSED, None, str(account.id))
        amount = original.posted_minor
        debits = debited.debits_posted + debited.debits_held
        credits = credited.credits_posted + credited.credits_held
        if amount > _room(debited.debit_limit, debits - debited.credits_posted):
            return Answer(t.id, Outcome.EXCEEDS_DEBIT_LIMIT, None, str(debited.id))
        if amount > _room(credited.credit_limit, credits - credited.debits_posted):
            return Answer(t.id, Outcome.EXCEEDS_CREDIT_LIMIT, None, str(credited.id))
        if max(debits, credits) + amount > MAX_MINOR:
            return Answer(t.id, Outcome.COUNTER_OVERFLOW)
        return self._record(t, book, debited, credited, posted=amount)

    def _face(self, book: str, account: AccountState, change: tuple[int, int, int, int]) -> None:
        """Note what the chain does to an account that faces another book."""
        if account.mirrors is None:
            return
        sums = self.facing.setdefault((book, account.mirrors, account.currency), [0, 0, 0, 0])
        for index, value in enumerate(change):
            sums[index] += value

    def _record(
        self,
        t: Transfer,
        book: BookState,
        debited: AccountState,
        credited: AccountState,
        *,
        posted: int = 0,
        held: int = 0,
    ) -> Answer:
        """Carry out an accepted transfer, unless its value date lies in a closed period."""
        effective_on = book.business_on if t.effective_on is None else t.effective_on
        if book.closed_through is not None and effective_on <= book.closed_through:
            return Answer(t.id, Outcome.PERIOD_CLOSED, None, effective_on.isoformat())
        at = max(self.at, book.last_at + 1)
        expires_at = None if t.expires_at is None else microseconds(t.expires_at)
        if expires_at is not None and expires_at <= at:
            return Answer(t.id, Outcome.INVALID, None, "expires_at")
        if debited.mirrors is not None or credited.mirrors is not None:
            if self.undo is None:
                mirror = debited if debited.mirrors is not None else credited
                return Answer(t.id, Outcome.MIRROR_UNMATCHED, None, str(mirror.id))
            self._face(t.book, debited, (posted, held, 0, 0))
            self._face(t.book, credited, (0, 0, posted, held))
        if self.undo is not None:
            self.undo.append((debited, debited.counters()))
            self.undo.append((credited, credited.counters()))
        debited.debits_posted += posted
        debited.debits_held += held
        credited.credits_posted += posted
        credited.credits_held += held
        unsealed = TransferRecord(
            t.book,
            at,
            t.id,
            t.kind.value,
            debited.id,
            credited.id,
            debited.currency,
            posted,
            held,
            effective_on,
            effective_on != book.business_on,
            t.cause,
            debited.debits_posted - debited.credits_posted,
            credited.debits_posted - credited.credits_posted,
            t.refers_to,
            t.entry,
            t.decision_id,
            expires_at,
            None if t.metadata is None else metadata_text(t.metadata),
            b"",
        )
        book.head = seal(book.head, unsealed)
        book.last_at = at
        record = TransferRecord._make((*unsealed[:-1], book.head))
        self.records.append(record)
        self.state.known[t.book, t.id] = record
        if t.refers_to is not None:
            self.state.resolved.add((t.book, t.refers_to))
        return Answer(t.id, Outcome.CREATED, record)


def _room(limit: int | None, used: int) -> int:
    """Return what a limit still allows."""
    return MAX_MINOR if limit is None else limit - used


def _fault(t: Transfer) -> Answer | None:
    """Return the refusal of a transfer that could not be meant in any state, or None."""
    about = _malformed(t)
    if about is not None:
        return Answer(t.id, Outcome.INVALID, None, about)
    if t.metadata is not None:
        about = shape_fault(t.metadata)
        if about is not None:
            return Answer(t.id, Outcome.INVALID, None, about)
        about = personal_key(t.metadata)
        if about is not None:
            return Answer(t.id, Outcome.PERSONAL_DATA, None, about)
    return None


def _malformed(t: Transfer) -> str | None:
    """Return the first field that cannot be meant, or None."""
    amount = t.amount_minor
    if amount is not None and (type(amount) is not int or not 0 < amount <= MAX_MINOR):
        return "amount_minor"
    if t.kind is Kind.SINGLE or t.kind is Kind.HOLD:
        if amount is None:
            return "amount_minor"
        if t.debit is None:
            return "debit"
        if t.credit is None or t.credit == t.debit:
            return "credit"
        if t.refers_to is not None:
            return "refers_to"
        if t.currency is None:
            return "currency"
    else:
        if t.refers_to is None or t.refers_to == t.id:
            return "refers_to"
        if t.at_most:
            return "at_most"
        if amount is not None and t.kind is not Kind.POST:
            return "amount_minor"
        if t.kind is Kind.REVERSAL and (t.debit is not None or t.credit is not None):
            return "debit"
    if t.expires_at is not None and (t.kind is not Kind.HOLD or t.expires_at.tzinfo is None):
        return "expires_at"
    if not cause_is_well_formed(t.cause):
        return "cause"
    if t.effective_on is not None and (
        type(t.effective_on) is not date or not EARLIEST_YEAR <= t.effective_on.year <= LATEST_YEAR
    ):
        return "effective_on"
    return None


def _is_repeat(t: Transfer, known: TransferRecord, state: State) -> bool:
    """Return whether a transfer asks for what is recorded under its id.

    The cause and the decision may differ: a repeat may have been decided anew, by a newer policy,
    and what counts is that the money moved once.
    """
    if t.kind != known.kind or t.refers_to != known.refers_to or t.entry != known.entry:
        return False
    if t.currency is not None and t.currency != known.currency:
        return False
    for asked, recorded in ((t.debit, known.debit), (t.credit, known.credit)):
        if asked is not None and asked != recorded:
            account = state.accounts.get((t.book, asked))
            if account is None or account.id != recorded:
                return False
    if t.amount_minor is not None:
        if t.amount_minor < known.amount_minor:
            return False
        if t.amount_minor > known.amount_minor and not t.at_most:
            return False
    elif t.kind is Kind.POST and known.posted_minor != -known.held_minor:
        return False
    if t.effective_on is not None and t.effective_on != known.effective_on:
        return False
    return (None if t.metadata is None else metadata_text(t.metadata)) == known.metadata
