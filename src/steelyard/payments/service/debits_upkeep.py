"""The jobs of direct debit: told of, sent, followed, ended by time; files parsed and submitted."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from steelyard.base.jobs import Every, JobContext, job
from steelyard.payments.model.orders import Mode
from steelyard.payments.service import batches, debits, mandates
from steelyard.payments.service.channel_desk import ChannelDesk

__all__ = ["MakesFiles", "make_bank_files", "move_debit_batches", "move_debits", "tend_debits"]

_BATCH: Final = 200
_MOST_BATCHES: Final = 50


@runtime_checkable
class MakesFiles(Protocol):
    """A channel whose orders wait until they are put into files."""

    def make_files(self, at: datetime) -> tuple[Path, ...]:
        """Put what waits into files, each order into one file and each file once."""
        ...


@job("payments.move_debits", schedule=Every(timedelta(seconds=30)))
def move_debits(context: JobContext) -> None:
    """Give notices, send what is due, and bring debits to where their orders stand."""
    for step in (debits.prenotify_due, debits.follow_due):
        for _ in range(_MOST_BATCHES):
            if context.transact(partial(step, limit=_BATCH)) < _BATCH or context.should_stop:
                break
    paying = getattr(context.platform, "paying", None)
    if paying is not None:
        debits.send_due(context.database, paying, actor=context.actor)
    context.transact(mandates.finish_terminating)


@job("payments.move_debit_batches", schedule=Every(timedelta(seconds=5)))
def move_debit_batches(context: JobContext) -> None:
    """Do with files of debits what goes by itself."""
    desk = getattr(context.platform, "channels", None)
    if desk is not None:
        batches.work_due(context.database, desk, actor=context.actor)


@job("payments.make_bank_files", schedule=Every(timedelta(minutes=10)))
def make_bank_files(context: JobContext) -> None:
    """Hand what waits at banks that take files over to them."""
    desk: ChannelDesk | None = getattr(context.platform, "channels", None)
    if desk is None:
        return
    for mode in Mode:
        for code in desk.codes(mode):
            if not desk.capability(code).batch:
                continue
            channel = desk.get(code)
            if isinstance(channel, MakesFiles):
                channel.make_files(context.database.now())


@job("payments.tend_debits", schedule=Every(timedelta(hours=6)))
def tend_debits(context: JobContext) -> None:
    """End mandates whose time is over, and ask banks of files what came back."""
    for _ in range(_MOST_BATCHES):
        if context.transact(partial(mandates.expire_due, limit=_BATCH)) < _BATCH:
            break
    desk = getattr(context.platform, "channels", None)
    if desk is not None:
        debits.look_for_returns(context.database, desk, actor=context.actor)
