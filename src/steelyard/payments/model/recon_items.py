"""Items made of the breaks of a matching, and what a later run makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from steelyard.payments.model.breaks import BreakKind
from steelyard.payments.model.matching import Outcome, differences_of
from steelyard.payments.model.matching_columns import KINDS, NOT_SAID, Held, Listed, Ours, Theirs
from steelyard.payments.model.recon import Item, ItemState, Plan
from steelyard.payments.model.statements import LineKind

LATE_ARRIVAL: Final = "late_arrival"
"""What was posted for an item stands in the books, and the money came after all."""
_EPOCH: Final = 719_163
_REFUND: Final = KINDS.index(LineKind.REFUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a run stands on.

    Attributes
    ----------
    files : the files that the column `file` of the lines counts
    """

    plan: Plan
    on: date
    run: UUID
    files: Sequence[UUID]
    now: datetime


def items_of(
    ground: Ground, ours: Ours, theirs: Theirs, outcome: Outcome, new_id: Callable[[], UUID]
) -> list[Item]:
    """Return an item for each break of a matching.

    Returns
    -------
    list of Item
        Keys are the same when the same rows are matched again, in whatever file they stand.
    """
    breaks = outcome.breaks
    times: dict[str, int] = {}
    made: list[Item] = []
    for k in range(len(breaks)):
        i, j = int(breaks.ours[k]), int(breaks.theirs[k])
        kind = BreakKind(int(breaks.kind[k]))
        number = ours.number[i].decode() if i >= 0 else ""
        if i >= 0 and kind is not BreakKind.DUPLICATE:
            name = f"o:{number}"
        else:
            name = f"t:{ground.on}:{_content(theirs, j)}"
        times[name] = times.get(name, 0) + 1
        key = name if times[name] == 1 else f"{name}:{times[name]}"
        made.append(_item(ground, (kind, key, new_id()), (ours, i), (theirs, j), outcome, k=k))
    return made


def breaks_of(outcome: Outcome, k: int) -> tuple[int, tuple[str, ...]]:
    """Return the difference of a break, and in what its pair differs."""
    breaks = outcome.breaks
    return int(breaks.difference[k]), differences_of(int(breaks.differs_in[k]))


def _content(theirs: Theirs, j: int) -> str:
    """Return what a line says, whatever its number in the file is."""
    parts = (
        *(theirs.number[j], theirs.reference[j], theirs.batch[j], theirs.currency[j]),
        *(theirs.amount[j], theirs.at[j], theirs.kind[j], theirs.on[j]),
    )
    text = "|".join(p.decode() if isinstance(p, bytes) else str(p) for p in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _item(
    ground: Ground,
    names: tuple[BreakKind, str, UUID],
    mine: tuple[Ours, int],
    line: tuple[Theirs, int],
    outcome: Outcome,
    *,
    k: int,
) -> Item:
    kind, key, id = names
    (ours, i), (theirs, j) = mine, line
    difference, differs_in = breaks_of(outcome, k)
    is_theirs = i < 0 or kind in (BreakKind.CURRENCY, BreakKind.LONG, BreakKind.DUPLICATE)
    currency = (theirs.currency[j] if is_theirs else ours.currency[i]).decode()
    risk = abs(int(ours.amount[i])) if kind is BreakKind.PLATFORM_ONLY else abs(difference)
    return Item(
        id=id,
        channel=ground.plan.channel,
        mode=ground.plan.mode,
        on=ground.on,
        key=key,
        kind=kind,
        state=ItemState.SUSPECT if kind.may_heal else ItemState.BREAK,
        version=1,
        run=ground.run,
        number=ours.number[i].decode() if i >= 0 else "",
        of_refund=bool(i >= 0 and ours.kind[i] == _REFUND),
        file=ground.files[int(theirs.file[j])] if j >= 0 else None,
        line=int(theirs.line[j]) if j >= 0 else None,
        difference_minor=difference,
        at_risk_minor=risk,
        currency=currency,
        differs_in=differs_in,
        held=_held(ours, i) if i >= 0 else {},
        listed=_listed(theirs, j) if j >= 0 else {},
        suspect_until=ground.on + timedelta(days=ground.plan.suspect_days),
        opened_at=ground.now,
        updated_at=ground.now,
    )


def _held(ours: Ours, i: int) -> dict[str, Any]:
    return {
        "amount_minor": int(ours.amount[i]),
        "fee_minor": _said(ours.fee[i]),
        "currency": ours.currency[i].decode(),
        "reference": ours.reference[i].decode(errors="replace"),
        "held": Held(int(ours.held[i])).name.lower(),
        "at": _instant(ours.at[i]),
        "on": date.fromordinal(int(ours.on[i]) + _EPOCH).isoformat(),
    }


def _listed(theirs: Theirs, j: int) -> dict[str, Any]:
    return {
        "number": theirs.number[j].decode(errors="replace"),
        "reference": theirs.reference[j].decode(errors="replace"),
        "batch": theirs.batch[j].decode(errors="replace"),
        "kind": KINDS[int(theirs.kind[j])].value,
        "amount_minor": int(theirs.amount[j]),
        "fee_minor": _said(theirs.fee[j]),
        "currency": theirs.currency[j].decode(),
        "status": Listed(int(theirs.status[j])).name.lower(),
        "is_reversal": bool(theirs.is_reversal[j]),
        "at": _instant(theirs.at[j]),
        "on": date.fromordinal(int(theirs.on[j]) + _EPOCH).isoformat(),
    }


def _said(value: Any) -> int | None:
    return None if value == NOT_SAID else int(value)


def _instant(value: Any) -> str | None:
    return None if value == NOT_SAID else datetime.fromtimestamp(int(value), UTC).isoformat()


def _same(before: Item, fresh: Item) -> bool:
    return (before.kind, before.difference_minor, before.currency) == (
        fresh.kind,
        fresh.difference_minor,
        fresh.currency,
    )


def renewed(before: Item, fresh: Item) -> tuple[Item, str] | None:
    """Return what an item becomes that a run found again, and a word for it; None: nothing.

    A proposal about another difference than there is now is void. What was posted for the same
    difference stays posted.
    """
    is_settled = before.state is ItemState.CLOSED and _same(before, fresh)
    if is_settled or LATE_ARRIVAL in before.differs_in:
        return None
    found = replace(
        before,
        run=fresh.run,
        kind=fresh.kind,
        file=fresh.file,
        line=fresh.line,
        difference_minor=fresh.difference_minor,
        at_risk_minor=fresh.at_risk_minor,
        currency=fresh.currency,
        differs_in=fresh.differs_in,
        held=fresh.held,
        listed=fresh.listed,
    )
    if not before.state.is_open:
        state = fresh.state if before.suspect_until == fresh.suspect_until else ItemState.BREAK
        return replace(
            found, state=state, closed_at=None, closed_why=None, proposal=None, approval=None
        ), "reopen"
    if _same(before, fresh):
        return None
    if before.state is ItemState.SUSPECT and not fresh.kind.may_heal:
        return replace(found, state=ItemState.BREAK), "change"
    if before.state in (ItemState.PROPOSED, ItemState.APPROVED):
        return replace(found, state=ItemState.BREAK, proposal=None, approval=None), "change"
    return found, "change"


def late(before: Item, run: UUID) -> Item:
    """Return an item whose money came after it had been posted: the posting has to go back."""
    return replace(
        before,
        run=run,
        state=ItemState.BREAK,
        difference_minor=-before.difference_minor,
        differs_in=(*before.differs_in, LATE_ARRIVAL),
        proposal=None,
        approval=None,
        closed_at=None,
        closed_why=None,
        case_at=None,
    )
