"""Notices of channels: checked, recorded as evidence, and answered when that is durable.

A notice is not told from its repetitions by a mark that is set when it comes: were the work after
the mark to fail, the repetition would be taken for done. The reducer knows what it has heard, so
each repetition is recorded and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.payments.model.attempts import Source
from steelyard.payments.model.channel import Channel, Notice, RawNotice
from steelyard.payments.model.lifecycle import ChannelIsUnknown
from steelyard.payments.model.notices_in import NoticeIsAboutNothing, NoticeIsNotBelieved
from steelyard.payments.service import evidence, refunds_evidence
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import refunds as refunds_table

__all__ = [
    "ChannelIsUnknown",
    "NoticeIsAboutNothing",
    "NoticeIsNotBelieved",
    "RawNotice",
    "Taken",
    "take",
]


class HasChannels(Protocol):
    """Where channels are had from at run time."""

    def get(self, code: str) -> Channel:
        """Return the channel of a code."""
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """What a channel is answered, and whether it told anything new."""

    reply: bytes
    reply_type: str
    is_new: bool


def take(
    database: Database, channels: HasChannels, code: str, raw: RawNotice, *, now: datetime
) -> Taken:
    """Take a notice in, and return the answer once what follows from it is committed.

    Parameters
    ----------
    code : of the channel in whose name it came
    now : by the machine's clock, which signatures are made with; not by the business clock

    Refusals
    --------
    channel_is_unknown, notice_is_not_believed, notice_is_about_nothing
    """
    notice = channels.get(code).parse_notice(raw, now)
    about = _id_of(notice, code)

    def work(unit: UnitOfWork) -> bool:
        if notice.of_refund:
            return _tell_refund(unit, code, about, notice)
        return _tell_attempt(unit, code, about, notice)

    is_new = database.transact(work, actor=f"channel:{code}")
    return Taken(notice.reply, notice.reply_type, is_new)


def _id_of(notice: Notice, code: str) -> UUID:
    try:
        return UUID(hex=notice.number)
    except ValueError:
        raise NoticeIsAboutNothing(channel=code, number=notice.number) from None


def _tell_attempt(unit: UnitOfWork, code: str, about: UUID, notice: Notice) -> bool:
    found = attempts_table.find(unit.connection, [about]).get(about)
    if found is None or found.channel != code:
        raise NoticeIsAboutNothing(channel=code, number=notice.number)
    heard = evidence.Report(about, Source.NOTICE, notice.finding)
    (ruling,) = evidence.report(unit, [heard])
    return ruling.is_new


def _tell_refund(unit: UnitOfWork, code: str, about: UUID, notice: Notice) -> bool:
    if _channel_of_refund(unit.connection, about) != code:
        raise NoticeIsAboutNothing(channel=code, number=notice.number)
    heard = refunds_evidence.RefundReport(about, Source.NOTICE, notice.finding)
    (ruling,) = refunds_evidence.report(unit, [heard])
    return ruling.is_new


def _channel_of_refund(connection: sa.Connection, refund: UUID) -> str | None:
    found = refunds_table.find(connection, [refund]).get(refund)
    return None if found is None else found.channel
