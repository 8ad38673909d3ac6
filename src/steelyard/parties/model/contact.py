"""Contacts: the ways in which a party can be reached, and when it wants to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from steelyard.kernel import Refusal, RefusalKind
from steelyard.parties.model.personal import PersonalField

MOST_OF_A_KIND = 10


class ContactIsUnknown(Refusal):
    """The party has no such contact."""

    kind = RefusalKind.NOT_FOUND
    en = "Party {party} has no {kind} number {ordinal}."
    zh = "主体 {party} 没有第 {ordinal} 个 {kind} 联系方式。"


class ContactIsPrimary(Refusal):
    """The first contact of a kind is what the identity rests on; it is replaced, not removed."""

    kind = RefusalKind.CONFLICT
    en = "The first {kind} is replaced, not removed."
    zh = "首个 {kind} 只能更换，不能删除。"


class FieldIsNoContact(Refusal):
    """Nobody is reached by this field."""

    kind = RefusalKind.INVALID
    en = "The field {field} is no way to reach somebody."
    zh = "字段 {field} 不是联系方式。"


class TooManyContacts(Refusal):
    """A party keeps a few contacts of a kind."""

    kind = RefusalKind.TOO_MANY
    en = "A party keeps at most {most} contacts of a kind."
    zh = "每类联系方式最多 {most} 个。"


class QuietHoursAreInvalid(Refusal):
    """Quiet hours need two different times and a known zone."""

    kind = RefusalKind.INVALID
    en = "Quiet hours need two different times and an IANA time zone."
    zh = "免打扰时段须有两个不同的时刻和有效的 IANA 时区。"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A span of every day, in local time, in which nobody is written to; it may cross midnight.

    Examples
    --------
    >>> from datetime import UTC
    >>> night = QuietHours(time(22), time(8), "Asia/Shanghai")
    >>> night.covers(datetime(2026, 3, 2, 15, 30, tzinfo=UTC))
    True
    >>> night.covers(datetime(2026, 3, 2, 0, 0, tzinfo=UTC))
    False
    """

    from_time: time
    until_time: time
    zone: str

    def covers(self, at: datetime) -> bool:
        """Return whether an instant lies in the span: from its start to before its end."""
        local = at.astimezone(ZoneInfo(self.zone)).time()
        if self.from_time < self.until_time:
            return self.from_time <= local < self.until_time
        return local >= self.from_time or local < self.until_time


@dataclass(frozen=True, slots=True)
class Contact:
    """One way to reach a party, its value masked.

    Attributes
    ----------
    kind : phone, email or address
    ordinal : 0 is the first of its kind, the one that identity rests on
    masked : what is shown of the value
    verified_at : when the person proved to hold it, None if not
    """

    party: UUID
    kind: PersonalField
    ordinal: int
    masked: str
    verified_at: datetime | None
    is_preferred: bool
    quiet: QuietHours | None

    def is_quiet(self, at: datetime) -> bool:
        """Whether nobody should write to it at an instant."""
        return self.quiet is not None and self.quiet.covers(at)


def check_quiet(quiet: QuietHours) -> QuietHours:
    """Return the quiet hours if they can be meant.

    Refusals
    --------
    quiet_hours_are_invalid
    """
    try:
        ZoneInfo(quiet.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise QuietHoursAreInvalid from None
    if quiet.from_time == quiet.until_time:
        raise QuietHoursAreInvalid
    return quiet
