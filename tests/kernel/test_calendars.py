from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import chinese_calendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.kernel.calendars import (
    CALENDARS,
    BusinessDayRule,
    Calendar,
    CutOff,
    UnknownCalendar,
    calendar,
    easter_sunday,
)

from .reading import rows

calendars = st.sampled_from(list(CALENDARS.values()))
rules = st.sampled_from(BusinessDayRule)
dates = st.dates(date(1990, 1, 1), date(2060, 12, 31))
MOVING = [rule for rule in BusinessDayRule if rule is not BusinessDayRule.UNADJUSTED]


@pytest.mark.parametrize(
    "row", rows("business_days.txt"), ids=lambda row: f"{row['calendar']} {row['date']}"
)
def test_the_table(row: dict[str, str]) -> None:
    kept, on = calendar(row["calendar"]), date.fromisoformat(row["date"])
    assert f"{on:%a}" == row["weekday"]
    assert kept.is_business_day(on) is (row["business"] == "yes")
    assert kept.adjust(on, BusinessDayRule.UNADJUSTED) == on
    for rule in MOVING:
        expected = on if row[rule] == "same" else date.fromisoformat(row[rule])
        assert kept.adjust(on, rule) == expected, rule


class TestArithmetic:
    @given(calendars, dates, rules)
    def test_adjusting_again_changes_nothing(
        self, kept: Calendar, on: date, rule: BusinessDayRule
    ) -> None:
        moved = kept.adjust(on, rule)
        assert kept.adjust(moved, rule) == moved
        if rule is not BusinessDayRule.UNADJUSTED:
            assert kept.is_business_day(moved)
        if kept.is_business_day(on):
            assert moved == on

    @given(calendars, dates)
    def test_modified_rules_stay_in_the_month(self, kept: Calendar, on: date) -> None:
        for rule in (BusinessDayRule.MODIFIED_FOLLOWING, BusinessDayRule.MODIFIED_PRECEDING):
            moved = kept.adjust(on, rule)
            assert (moved.year, moved.month) == (on.year, on.month)

    @given(calendars, dates)
    def test_following_is_never_before_and_preceding_never_after(
        self, kept: Calendar, on: date
    ) -> None:
        following = kept.adjust(on, BusinessDayRule.FOLLOWING)
        preceding = kept.adjust(on, BusinessDayRule.PRECEDING)
        assert preceding <= on <= following
        assert kept.business_days_between(preceding, following) in (0, 1)

    @given(calendars, dates, st.integers(-300, 300))
    def test_adding_and_taking_away_return(self, kept: Calendar, on: date, days: int) -> None:
        start = kept.adjust(on, BusinessDayRule.FOLLOWING)
        there = kept.add_business_days(start, days)
        assert kept.is_business_day(there)
        assert kept.add_business_days(there, -days) == start
        assert kept.business_days_between(start, there) == days

    @given(calendars, dates, st.integers(-300, 300))
    def test_adding_moves_at_least_as_many_days(self, kept: Calendar, on: date, days: int) -> None:
        moved = (kept.add_business_days(on, days) - on).days
        assert moved >= days if days >= 0 else moved <= days

    @given(calendars, dates, dates, dates)
    def test_spans_add_up(self, kept: Calendar, a: date, b: date, c: date) -> None:
        between = kept.business_days_between
        a, b, c = (date(2026, 1, 1) + (on - date(1990, 1, 1)) % timedelta(999) for on in (a, b, c))
        assert between(a, b) + between(b, c) == between(a, c)
        assert between(a, b) == -between(b, a)

    @pytest.mark.parametrize(
        ("start", "end", "days"),
        [
            ("2026-07-31", "2026-08-01", 1),  # Friday to Saturday
            ("2026-08-01", "2026-08-03", 0),  # Saturday to Monday
            ("2026-08-03", "2026-08-03", 0),
            ("2026-08-03", "2026-07-31", -1),
        ],
    )
    def test_a_span_counts_its_first_date_and_not_its_last(
        self, start: str, end: str, days: int
    ) -> None:
        between = calendar("WEEKENDS").business_days_between
        assert between(date.fromisoformat(start), date.fromisoformat(end)) == days

    @given(calendars, dates)
    def test_next_and_previous_are_neighbours(self, kept: Calendar, on: date) -> None:
        following, preceding = kept.next_business_day(on), kept.previous_business_day(on)
        assert preceding < on < following
        if kept.is_business_day(on):
            assert kept.next_business_day(preceding) == on == kept.previous_business_day(following)

    @pytest.mark.parametrize("kept", CALENDARS.values(), ids=lambda kept: kept.code)
    def test_an_instant_is_no_date(self, kept: Calendar) -> None:
        at: Any = datetime(2026, 1, 5, tzinfo=UTC)
        for attempt in (
            lambda: kept.adjust(at, BusinessDayRule.FOLLOWING),
            lambda: kept.next_business_day(at),
            lambda: kept.previous_business_day(at),
            lambda: kept.add_business_days(at, 1),
            lambda: kept.add_business_days(at, 0),
            lambda: kept.business_days_between(at, at),
        ):
            with pytest.raises(TypeError, match="not a datetime"):
                attempt()


class TestChina:
    china = calendar("CN")

    def test_it_agrees_with_the_package_on_every_announced_day(self) -> None:
        on, last = date(2004, 1, 1), date(2026, 12, 31)
        while on <= last:
            assert self.china.is_business_day(on) is chinese_calendar.is_workday(on), on
            assert not self.china.is_provisional(on)
            on += timedelta(days=1)

    def test_working_days_of_the_years(self) -> None:
        # 365 days less 104 of weekends and 13 of feasts: make-up days repay what is exchanged.
        days = self.china.business_days_between
        assert days(date(2025, 1, 1), date(2026, 1, 1)) == 248

    def test_unannounced_years_are_provisional(self) -> None:
        assert self.china.is_provisional(date(2003, 12, 31))
        assert self.china.is_provisional(date(2027, 1, 1))
        # Spring Festival 2027 is on 6 February; nothing is guessed about the Monday after it.
        assert self.china.is_business_day(date(2027, 2, 8))

    def test_the_version_names_the_package(self) -> None:
        assert self.china.version == f"CN@chinesecalendar-{version('chinesecalendar')}"

    def test_the_package_is_read_when_first_asked(self) -> None:
        program = """
import sys
import steelyard.kernel.calendars as calendars
import datetime
china = calendars.calendar("CN")
assert "chinese_calendar" not in sys.modules
china.is_business_day(datetime.date(2026, 1, 1))
assert "chinese_calendar" in sys.modules
"""
        subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


class TestTarget2:
    @pytest.mark.parametrize("on", [row["date"] for row in rows("easter.txt")])
    def test_easter(self, on: str) -> None:
        assert easter_sunday(int(on[:4])).isoformat() == on

    @given(st.integers(1583, 9999))
    def test_easter_is_a_sunday_between_its_bounds(self, year: int) -> None:
        easter = easter_sunday(year)
        assert f"{easter:%A}" == "Sunday"
        assert date(year, 3, 22) <= easter <= date(year, 4, 25)

    def test_closed_weekdays_of_2026(self) -> None:
        target, on, closed = calendar("TARGET2"), date(2026, 1, 1), []
        while on.year == 2026:
            if on.weekday() < 5 and not target.is_business_day(on):
                closed.append(f"{on:%m-%d}")
            on += timedelta(days=1)
        assert closed == ["01-01", "04-03", "04-06", "05-01", "12-25"]

    def test_provisional_before_it_existed(self) -> None:
        target = calendar("TARGET2")
        assert target.is_provisional(date(1998, 12, 31))
        assert not target.is_provisional(date(1999, 1, 4))
        assert not target.is_provisional(date(2099, 1, 1))
        assert not target.is_business_day(date(1998, 12, 25))


class TestCutOff:
    fund = CutOff(time(15, 0), "Asia/Shanghai")

    @pytest.mark.parametrize(
        ("at", "on"),
        [
            ("2026-03-04T06:59:59.999999+00:00", "2026-03-04"),  # 14:59:59 in Shanghai
            ("2026-03-04T07:00:00+00:00", "2026-03-05"),  # 15:00
            ("2026-03-03T16:00:00+00:00", "2026-03-04"),  # midnight in Shanghai
            ("2026-03-06T07:00:00+00:00", "2026-03-09"),  # Friday after the cut-off
            ("2026-03-07T01:00:00+00:00", "2026-03-09"),  # Saturday morning
            ("2026-02-14T01:00:00+00:00", "2026-02-14"),  # a Saturday that is worked
            ("2026-02-14T07:00:00+00:00", "2026-02-24"),  # and after it the Spring Festival
            ("2026-03-04T14:59:59+08:00", "2026-03-04"),
        ],
    )
    def test_business_dates(self, at: str, on: str) -> None:
        got = self.fund.business_date(datetime.fromisoformat(at), calendar("CN"))
        assert got.isoformat() == on

    def test_clocks_set_back_do_not_open_the_day_again(self) -> None:
        # Berlin, 25 October 2026: 03:00 becomes 02:00; 02:30 comes twice, at 00:30 and 01:30 UTC.
        night = CutOff(time(2, 30), "Europe/Berlin")
        every_day = _EveryDay()
        for at, on in [("00:29", 25), ("00:30", 26), ("01:15", 26), ("01:31", 26)]:
            hour, minute = map(int, at.split(":"))
            instant = datetime(2026, 10, 25, hour, minute, tzinfo=UTC)
            assert night.business_date(instant, every_day) == date(2026, 10, on), at

    @given(
        calendars,
        st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"]),
        st.times(),
        st.lists(
            st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
            min_size=2,
            max_size=6,
        ),
    )
    def test_a_later_instant_never_gets_an_earlier_date(
        self, kept: Calendar, zone: str, at: time, instants: list[datetime]
    ) -> None:
        cut_off = CutOff(at, zone)
        got = [cut_off.business_date(instant, kept) for instant in sorted(instants)]
        assert got == sorted(got)
        assert all(kept.is_business_day(on) for on in got)

    def test_misuse_is_a_fault(self) -> None:
        with pytest.raises(TypeError, match="zone"):
            self.fund.business_date(datetime(2026, 3, 4, 1), calendar("CN"))
        with pytest.raises(ZoneInfoNotFoundError):
            CutOff(time(15), "Asia/Nowhere")
        with pytest.raises(ValueError, match="zone"):
            CutOff(time(15, tzinfo=UTC), "Asia/Shanghai")


class _EveryDay(Calendar):
    code = "EVERY"

    @property
    def version(self) -> str:
        return "EVERY@1"

    def is_business_day(self, on: date) -> bool:
        return True

    def is_provisional(self, on: date) -> bool:
        return False


class TestRegistry:
    @pytest.mark.parametrize("code", CALENDARS)
    def test_every_calendar_keeps_the_contract(self, code: str) -> None:
        kept = calendar(code)
        assert kept.code == code
        assert kept.version.startswith(f"{code}@")
        assert kept == type(kept)()
        assert hash(kept) == hash(type(kept)())

    def test_an_unknown_code_is_refused(self) -> None:
        with pytest.raises(UnknownCalendar) as refused:
            calendar("MARS")
        assert refused.value.code == "unknown_calendar"
        assert "TARGET2" in refused.value.sentence("zh-CN")
