"""A day of payments and the statement about it, with what is wrong in it known row by row.

It shares no code with what matches them: numpy only. `world(seed, size)` gives two tables of plain
arrays and the truth about them: which pairs belong together, which breaks were planted, and which
rows fit several ways, so that the only right answer is to leave them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

DEVELOPMENT_SEEDS: Final = range(1, 100)
"""The matcher was mended on these."""
SCORING_SEEDS: Final = range(9_001, 9_006)
"""Never used in development: only for the result that is printed."""

DAY: Final = 20_500
"""The business date, days since 1970; the channel's days end at midnight UTC."""
SECONDS: Final = 86_400
PAYMENT, REFUND = 0, 1
OPEN, MONEY, NO_MONEY = 0, 1, 2
PENDING, DONE, FAILED = 0, 1, 2
NOT_SAID: Final = np.iinfo(np.int64).min
KINDS: Final = (
    *("long", "short", "bank_only", "platform_only", "amount", "fee", "currency", "status"),
    *("date", "duplicate", "direction", "split"),
)
BREAK_SHARE: Final = 0.0015
AMBIGUOUS_SHARE: Final = 0.012
PRICES: Final = np.array([100, 500, 990, 1_990, 2_000, 5_000, 9_900, 10_000, 19_900, 50_000])


@dataclass(slots=True)
class Truth:
    """What is right: pairs that belong together, planted breaks, rows that nobody can tell.

    Attributes
    ----------
    pairs : rows (ours, theirs); of a bulk deposit one for each payment, of parts one for each part
    breaks : kind to rows (ours or -1, theirs or -1)
    left : rows (ours or -1, theirs or -1) of which the only right answer is unmatched
    """

    pairs: Any = None
    breaks: dict[str, Any] = field(default_factory=dict)
    left: Any = None


@dataclass(slots=True)
class World:
    """Two tables as columns by name, and the truth."""

    ours: dict[str, Any]
    theirs: dict[str, Any]
    truth: Truth


class _Maker:
    def __init__(self, seed: int, size: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.size = size
        self.ours: dict[str, Any] = {}
        self.lines: list[dict[str, Any]] = []
        self.pairs: list[Any] = []
        self.breaks: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        self.left: list[Any] = []
        self.n_lines = 0
        self.used = 0

    # --- the payments -----------------------------------------------------------------------------

    def pay(self) -> None:
        n, rng = self.size, self.rng
        at = np.sort(rng.integers(3_600, SECONDS - 3_600, n))
        number = _hex(rng, n)
        # The first characters tell the time, as in an id that sorts: many share them.
        stamp = np.char.mod(b"%012x", (1_771_000_000_000 + at // 60 * 60_000))
        number = np.char.add(stamp, _cut(number, 12, 32))
        reference = np.char.add(b"42", np.char.mod(b"%018d", rng.permutation(n) * 977 + 13))
        odd = np.maximum(1, np.exp(rng.normal(9.0, 1.2, n)).astype(np.int64))
        amount = np.where(rng.random(n) < 0.4, rng.choice(PRICES, n), odd)
        kind = (rng.random(n) < 0.04).astype(np.int8)
        self.ours = {
            "number": number,
            "reference": reference,
            "batch": np.zeros(n, "S24"),
            "party": np.char.mod(b"P%06d", rng.integers(0, 200_000, n)),
            "kind": kind,
            "held": np.full(n, MONEY, np.int8),
            "amount": np.where(kind == REFUND, -amount, amount),
            "fee": np.rint(amount * 0.006).astype(np.int64),
            "currency": np.where(rng.random(n) < 0.02, b"USD", b"CNY"),
            "at": DAY * SECONDS + at,
            "on": np.full(n, DAY, np.int64),
            "clock": at,
        }
        self.order = rng.permutation(n)

    def some(self, share: float) -> Any:
        """Take rows that nothing was done with yet."""
        count = max(2, round(self.size * share))
        taken = self.order[self.used : self.used + count]
        self.used += count
        return np.sort(taken)

    def rest(self) -> Any:
        taken = self.order[self.used :]
        self.used = self.size
        return np.sort(taken)

    def held(self, rows: Any, **columns: Any) -> None:
        for name, values in columns.items():
            self.ours[name][rows] = values

    def own_amount(self, rows: Any) -> None:
        """Give rows amounts that nobody else has."""
        base = 10_000_000 + self.used * 50
        self.ours["amount"][rows] = base + np.arange(len(rows)) * 7
        self.ours["kind"][rows] = PAYMENT
        self.ours["fee"][rows] = np.rint(self.ours["amount"][rows] * 0.006).astype(np.int64)

    # --- the statement ----------------------------------------------------------------------------

    def line(self, rows: Any, **changes: Any) -> Any:
        """List payments as they are, but for what is changed; return the lines' running numbers."""
        lag = self.rng.integers(0, 20, len(rows))
        made = {name: self.ours[name][rows].copy() for name in self.ours if name != "held"}
        made["at"] = made["at"] + lag
        made["status"] = np.full(len(rows), DONE, np.int8)
        made["is_reversal"] = np.zeros(len(rows), np.bool_)
        made["batch"] = np.zeros(len(rows), "S24")
        made.pop("clock")
        made.update(changes)
        first = self.n_lines
        made["id"] = np.arange(first, first + len(rows))
        # Lines stand in the order of booking; what is repeated stands behind what it repeats.
        self.n_lines += len(rows)
        self.lines.append(made)
        return made["id"]

    def match(self, rows: Any, lines: Any) -> None:
        self.pairs.append(np.stack([rows, lines], axis=1))

    def broken(self, kind: str, rows: Any, lines: Any) -> None:
        size = max(np.size(rows), np.size(lines))
        pair = np.stack([np.broadcast_to(rows, size), np.broadcast_to(lines, size)], axis=1)
        self.breaks[kind].append(pair)

    def leave(self, rows: Any, lines: Any) -> None:
        for column, values in ((0, rows), (1, lines)):
            both = np.full((np.size(values), 2), -1, np.int64)
            both[:, column] = values
            self.left.append(both)


def _hex(rng: Any, n: int) -> Any:
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)[rng.integers(0, 16, (n, 32))]
    return np.ascontiguousarray(digits).view("S32").ravel()


def _cut(texts: Any, start: int, end: int) -> Any:
    width = texts.dtype.itemsize
    raw = np.ascontiguousarray(texts).view(np.uint8).reshape(-1, width)[:, start:end]
    return np.ascontiguousarray(raw).view(f"S{end - start}").ravel()


def world(seed: int, size: int) -> World:
    """Return a world of about `size` rows on each side; the same seed gives the same."""
    maker = _Maker(seed, size)
    maker.pay()
    _plant_breaks(maker)
    _plant_ambiguous(maker)
    _mangle(maker)
    _bulk(maker)
    rest = maker.rest()
    maker.match(rest, maker.line(rest))
    return _finish(maker)


def _plant_breaks(m: _Maker) -> None:
    rng = m.rng
    rows = m.some(BREAK_SHARE)
    m.held(rows, held=rng.choice(np.array([OPEN, NO_MONEY], np.int8), len(rows)))
    m.broken("long", rows, m.line(rows))
    m.broken("short", m.some(BREAK_SHARE), -1)
    rows = m.some(BREAK_SHARE)
    m.held(rows, held=OPEN)
    m.broken("platform_only", rows, -1)
    template = m.order[: round(m.size * BREAK_SHARE)]
    strange = m.line(
        template,
        number=_hex(rng, len(template)),
        reference=np.char.add(b"77", np.char.mod(b"%018d", np.arange(len(template)))),
    )
    m.broken("bank_only", -1, strange)
    rows = m.some(BREAK_SHARE)
    delta = rng.choice(np.array([-1, 1, -100, 100, 5_000]), len(rows))
    # One cent off must not be a fee by chance.
    amount = m.ours["amount"][rows] + delta
    amount += (amount == m.ours["amount"][rows] - m.ours["fee"][rows]) * 2
    amount += (amount == 0) | (np.sign(amount) != np.sign(m.ours["amount"][rows]))
    wrong = np.where(np.sign(amount) != np.sign(m.ours["amount"][rows]), delta, amount)
    amount = np.where(wrong == amount, amount, m.ours["amount"][rows] * 2)
    m.broken("amount", rows, m.line(rows, amount=amount))
    rows = m.some(BREAK_SHARE)
    m.broken("fee", rows, m.line(rows, fee=m.ours["fee"][rows] + rng.integers(1, 40, len(rows))))
    rows = m.some(BREAK_SHARE)
    m.broken("currency", rows, m.line(rows, currency=np.full(len(rows), b"EUR")))
    rows = m.some(BREAK_SHARE)
    status = rng.choice(np.array([FAILED, PENDING], np.int8), len(rows))
    m.broken("status", rows, m.line(rows, status=status))
    rows = m.some(BREAK_SHARE)
    days = rng.choice(np.array([-1, 1, 2]), len(rows))
    m.broken(
        "date",
        rows,
        m.line(rows, on=m.ours["on"][rows] + days, at=m.ours["at"][rows] + days * SECONDS),
    )
    _plant_repeats(m)
    rows = m.some(BREAK_SHARE)
    m.broken("direction", rows, m.line(rows, amount=-m.ours["amount"][rows]))
    rows = m.some(BREAK_SHARE)
    m.held(rows, amount=rng.integers(3_000, 90_000, len(rows)), kind=PAYMENT)
    m.held(rows, fee=np.rint(m.ours["amount"][rows] * 0.006).astype(np.int64))
    part = rng.integers(1_000, 1_400, len(rows))
    at = m.ours["at"][rows]
    first = m.line(rows, amount=part, at=at)
    m.line(rows, amount=m.ours["amount"][rows] - part - 777, at=at)
    m.broken("split", rows, first)


def _plant_repeats(m: _Maker) -> None:
    rows = m.some(BREAK_SHARE)
    lag = np.zeros(len(rows), np.int64)
    first = m.line(rows, at=m.ours["at"][rows] + lag)
    number = m.ours["number"][rows].copy()
    number[::3] = np.char.upper(number[::3])
    again = m.line(rows, at=m.ours["at"][rows] + lag, number=number)
    m.match(rows, first)
    m.broken("duplicate", -2, again)


def _plant_ambiguous(m: _Maker) -> None:
    """Plant rows that fit in several ways: equal twins, a lone twin, contradictions, short ends."""
    quarter = AMBIGUOUS_SHARE / 4
    blank = {"number": b"", "reference": b""}

    def none(rows: Any) -> dict[str, Any]:
        return {name: np.full(len(rows), value, "S1") for name, value in blank.items()}

    def twins(share: float) -> tuple[Any, Any]:
        rows = m.some(share)
        rows = rows[: len(rows) // 2 * 2]
        m.own_amount(rows)
        a, b = rows[::2], rows[1::2]
        for name in ("amount", "fee", "at", "clock", "currency", "kind"):
            m.ours[name][b] = m.ours[name][a]
        m.ours["at"][b] += 20
        m.ours["clock"][b] += 20
        half = len(a) // 2
        m.ours["party"][b[:half]] = m.ours["party"][a[:half]]
        return a, b

    a, b = twins(quarter)
    hidden = np.where(np.arange(len(a)) < len(a) // 2, m.ours["party"][a], b"")
    m.leave(
        np.concatenate([a, b]),
        np.concatenate([m.line(a, party=hidden, **none(a)), m.line(b, party=hidden, **none(b))]),
    )
    # Of twins one is listed: whose line it is, nobody knows.
    a, b = twins(quarter)
    hidden = np.where(np.arange(len(a)) < len(a) // 2, m.ours["party"][a], b"")
    m.leave(np.concatenate([a, b]), m.line(a, party=hidden, **none(a)))
    # The number is of one and the channel's own number of another.
    a, b = twins(quarter)
    m.leave(np.concatenate([a, b]), m.line(a, reference=m.ours["reference"][b]))
    # A number cut off where two of ours still agree.
    a, b = twins(quarter)
    head = _cut(m.ours["number"][a].astype("S32"), 0, 20)
    m.ours["number"][b] = np.char.add(head, _cut(m.ours["number"][b].astype("S32"), 20, 32))
    m.leave(np.concatenate([a, b]), m.line(a, number=head, reference=np.full(len(a), b"")))


def _mangle(m: _Maker) -> None:
    """Numbers as banks give them back, and other honest differences of form."""
    rng = m.rng
    rows = m.some(0.01)
    m.match(rows, m.line(rows, number=np.char.upper(m.ours["number"][rows])))
    rows = m.some(0.005)
    number = m.ours["number"][rows].astype("S32")
    dashed = np.char.add(np.char.add(_cut(number, 0, 8), b"-"), _cut(number, 8, 32))
    m.match(rows, m.line(rows, number=dashed))
    for end in (20, 22, 24, 28):
        rows = m.some(0.002)
        number = np.char.upper(_cut(m.ours["number"][rows].astype("S32"), 0, end))
        m.match(rows, m.line(rows, number=number))
    rows = m.some(0.002)
    number = _cut(m.ours["number"][rows].astype("S32"), 12, 32)
    m.match(rows, m.line(rows, number=number))
    rows = m.some(0.01)
    m.match(rows, m.line(rows, number=np.full(len(rows), b"")))
    rows = m.some(0.01)
    m.held(rows, amount=np.abs(m.ours["amount"][rows]) + 1_000, kind=PAYMENT)
    m.held(rows, fee=np.rint(m.ours["amount"][rows] * 0.006).astype(np.int64))
    net = m.ours["amount"][rows] - m.ours["fee"][rows]
    m.match(rows, m.line(rows, amount=net, fee=np.full(len(rows), NOT_SAID)))
    # Just before and just after the border of the day.
    rows = m.some(0.002)
    clock = SECONDS - rng.integers(1, 60, len(rows))
    m.held(rows, clock=clock, at=DAY * SECONDS + clock)
    m.match(rows, m.line(rows, on=m.ours["on"][rows] + 1, at=m.ours["at"][rows] + 61))
    rows = m.some(0.002)
    clock = rng.integers(0, 60, len(rows))
    m.held(rows, clock=clock, at=DAY * SECONDS + clock)
    m.match(rows, m.line(rows, on=m.ours["on"][rows] - 1, at=m.ours["at"][rows] - 61))
    # Nothing but amount, party and time.
    rows = m.some(0.01)
    m.own_amount(rows)
    nothing = np.full(len(rows), b"")
    m.match(rows, m.line(rows, number=nothing, reference=nothing))


def _bulk(m: _Maker) -> None:
    """Several payments in one deposit, and one payment in several lines."""
    rng = m.rng
    rows = m.some(0.005)
    m.held(rows, amount=rng.integers(3_000, 90_000, len(rows)), kind=PAYMENT)
    m.held(rows, fee=np.rint(m.ours["amount"][rows] * 0.006).astype(np.int64))
    part = rng.integers(500, 1_400, len(rows))
    unsaid = np.full(len(rows), NOT_SAID)
    for amount in (part, m.ours["amount"][rows] - part):
        m.match(rows, m.line(rows, amount=amount, fee=unsaid))
    rows = m.some(0.03)
    m.held(rows, amount=np.abs(m.ours["amount"][rows]), kind=PAYMENT, currency=b"CNY")
    size = 40
    batch = np.arange(len(rows)) // size
    m.ours["batch"][rows] = np.char.mod(b"BATCH%08d", batch)
    starts = np.arange(0, len(rows), size)
    gross = np.add.reduceat(m.ours["amount"][rows], starts)
    net = gross - np.add.reduceat(m.ours["fee"][rows], starts)
    first = rows[starts]
    amount = np.where(np.arange(len(first)) % 2 == 0, gross, net)
    nothing = np.full(len(first), b"")
    lines = m.line(
        first,
        amount=amount,
        fee=np.full(len(first), NOT_SAID),
        number=nothing,
        reference=nothing,
        batch=m.ours["batch"][first],
        party=nothing,
    )
    m.match(rows, lines[batch])
    # A deposit that names nothing: the sum of all that was taken in a currency that day.
    rows = m.some(0.0002)
    m.held(rows, amount=np.abs(m.ours["amount"][rows]), kind=PAYMENT, currency=b"HKD")
    one = rows[:1]
    nothing = np.full(1, b"")
    whole = {"number": nothing, "reference": nothing, "party": nothing}
    total = m.ours["amount"][rows].sum() - m.ours["fee"][rows].sum()
    line = m.line(one, amount=np.array([total]), fee=np.array([NOT_SAID]), **whole)
    m.match(rows, np.broadcast_to(line, len(rows)))


def _finish(m: _Maker) -> World:
    names = [name for name in m.lines[0] if name != "id"]
    lines = {name: np.concatenate([one[name] for one in m.lines]) for name in names}
    # A repeat is booked at the same instant and stands behind: the sort is stable.
    order = np.argsort(lines["at"], kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    lines = {name: values[order] for name, values in lines.items()}
    lines["line"] = np.arange(1, len(order) + 1)

    def moved(rows: Any) -> Any:
        kept = rows.copy()
        is_line = kept[:, 1] >= 0
        kept[is_line, 1] = place[kept[is_line, 1]]
        return kept

    truth = Truth(
        pairs=moved(np.concatenate(m.pairs)),
        breaks={kind: moved(np.concatenate(found)) for kind, found in m.breaks.items()},
        left=moved(np.concatenate(m.left)),
    )
    return World(m.ours, lines, truth)
