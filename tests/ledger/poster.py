"""A process that posts through the group-commit queue and says which ids it was told of.

Run as `python -m tests.ledger.poster URL FIRST COUNT CALLERS`: transfers with the ids FIRST up to
FIRST + COUNT - 1, in that order, with at most CALLERS waiting; each accepted id is printed once the
queue has answered it.
"""

from __future__ import annotations

import sys
from concurrent.futures import FIRST_COMPLETED, Future, wait
from uuid import UUID

from steelyard.base import Database
from steelyard.events import PostgresFactLog
from steelyard.ledger import GroupCommit, Item
from tests.ledger.town import ALICE, BANK, BOB, FEES, transfer

PAIRS = ((BANK, ALICE), (BANK, BOB), (BANK, FEES), (FEES, BOB))


def numbered(number: int) -> Item:
    """The item with a number: the same in every process."""
    debit, credit = PAIRS[number % len(PAIRS)]
    return Item((transfer(debit, credit, 1 + number % 7, id=UUID(int=number)),))


def main(url: str, first: int, count: int, callers: int) -> None:
    database = Database(url, facts=PostgresFactLog())
    waiting: set[Future[object]] = set()
    with GroupCommit(database) as queue:
        for number in range(first, first + count):
            waiting.add(queue.submit(numbered(number)))  # type: ignore[arg-type]
            while len(waiting) >= callers:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                _say(done)
        _say(wait(waiting).done)


def _say(done: set[Future[object]]) -> None:
    for future in done:
        if future.exception() is None:
            (answer,) = future.result()  # type: ignore[misc]
            if answer.outcome.is_accepted:
                sys.stdout.write(f"{answer.id.int} {answer.outcome.value}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
