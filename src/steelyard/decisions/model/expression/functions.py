"""What the built-in functions and the methods of dates do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from steelyard.decisions.model.expression.dates import (
    INVALID,
    SECONDS,
    Instant,
    apart,
    duration_of,
    ended,
    instant,
    milliseconds,
    moved,
    started,
    unit_of,
)
from steelyard.decisions.model.expression.values import (
    LARGEST,
    NotEvaluable,
    add,
    divide,
    exact,
    is_number,
    kind_of,
    less,
    same,
    text,
    unfit,
)

_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_FRACTIONS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_pattern = lru_cache(maxsize=512)(re.compile)


def _text(value: Any, function: str) -> str:
    if type(value) is str:
        return value
    if type(value) is Instant:
        return str(value)
    raise unfit(function, value)


def _array(value: Any, function: str) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise unfit(function, value)


def _numbers(value: Any, function: str) -> list[Any]:
    items = _array(value, function)
    if all(is_number(item) for item in items):
        return items
    raise NotEvaluable(f"{function} of an array that has more than numbers in it")


def length(value: Any) -> int:
    """Return characters of a text, elements of an array."""
    if isinstance(value, str | list | tuple):
        return len(value)
    return len(_text(value, "len"))


def contains(a: Any, b: Any) -> bool:
    """Return whether a text holds a text, or an array a value."""
    if isinstance(a, list | tuple):
        return any(same(item, b) for item in a)
    if type(a) in (str, Instant) and type(b) in (str, Instant):
        return str(b) in str(a)
    raise unfit("contains", a, b)


def flatten(value: Any) -> list[Any]:
    """Return an array without its inner brackets, one level of them."""
    made: list[Any] = []
    for item in _array(value, "flatten"):
        if isinstance(item, list | tuple):
            made.extend(item)
        else:
            made.append(item)
    return made


def merge(value: Any) -> Any:
    """Return objects as one, the later over the earlier; or arrays behind one another."""
    items = _array(value, "merge")
    if items and all(isinstance(item, list | tuple) for item in items):
        return flatten(items)
    return _merged(items, lambda a, b: {**a, **b}, "merge")


def merge_deep(value: Any) -> Any:
    """Return objects as one on all levels; arrays in them are put behind one another."""
    items = _array(value, "mergeDeep")
    if items and all(isinstance(item, list | tuple) for item in items):
        return flatten(items)
    return _merged(items, _deep, "mergeDeep")


def _merged(
    items: list[Any], two: Callable[[dict[str, Any], dict[str, Any]], Any], function: str
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, dict):
            raise unfit(function, item)
        made = two(made, item)
    return made


def _deep(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    made = dict(a)
    for key, value in b.items():
        old = made.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            made[key] = _deep(old, value)
        elif isinstance(old, list | tuple) and isinstance(value, list | tuple):
            made[key] = [*old, *value]
        else:
            made[key] = value
    return made


def split(a: Any, b: Any) -> list[str]:
    """Return the pieces of a text between separators."""
    whole, separator = _text(a, "split"), _text(b, "split")
    return whole.split(separator) if separator else ["", *whole, ""]


def extract(a: Any, b: Any) -> list[str]:
    """Return the match of a pattern and its groups; empty without one."""
    found = _pattern(_text(b, "extract")).search(_text(a, "extract"))
    if found is None:
        return []
    return [one for one in (found[0], *found.groups()) if one is not None]


def fuzzy(a: Any, b: Any) -> Any:
    """Return how alike two texts are, 0 to 1, by edits and swaps of neighbours."""
    other = _text(b, "fuzzyMatch")
    if isinstance(a, list | tuple):
        return [_alike(_text(item, "fuzzyMatch"), other) for item in a]
    return _alike(_text(a, "fuzzyMatch"), other)


def _alike(a: str, b: str) -> float:
    longest = max(len(a), len(b))
    return 1.0 - _distance(a, b) / longest if longest else 1.0


def _distance(a: str, b: str) -> int:
    """Return the Damerau-Levenshtein distance (Lowrance and Wagner 1975)."""
    far = len(a) + len(b)
    rows = [[far] * (len(b) + 2) for _ in range(len(a) + 2)]
    for i in range(len(a) + 1):
        rows[i + 1][1] = i
    for j in range(len(b) + 1):
        rows[1][j + 1] = j
    seen: dict[str, int] = {}
    for i, left in enumerate(a, 1):
        matched = 0
        for j, right in enumerate(b, 1):
            i1, j1 = seen.get(right, 0), matched
            cost = left != right
            if not cost:
                matched = j
            rows[i + 1][j + 1] = min(
                rows[i][j] + cost,
                rows[i + 1][j] + 1,
                rows[i][j + 1] + 1,
                rows[i1][j1] + i - i1 - 1 + 1 + j - j1 - 1,
            )
        seen[left] = i
    return rows[len(a) + 1][len(b) + 1]


def rounded(mode: str, function: str) -> Callable[..., Any]:
    """Return a function that rounds in a mode, to places or to whole numbers."""

    def round_to(value: Any, places: Any = None) -> Any:
        digits = 0 if places is None else exact(places, function)
        if digits < 0:
            raise NotEvaluable(f"{function} to fewer places than none")
        if type(value) is int:
            return value
        number = exact(value, function)
        unit = Decimal(1).scaleb(-min(int(digits), 28))
        try:
            return number.quantize(unit, rounding=mode)
        except InvalidOperation:
            return number

    return round_to


def total(value: Any) -> Any:
    """Return the sum; 0 of nothing."""
    whole = 0
    if type(value) is list:
        for item in value:
            if type(item) is not int:
                break
            whole += item
        else:
            return whole if -LARGEST <= whole <= LARGEST else add(whole, 0)
    made: Any = 0
    for item in _numbers(value, "sum"):
        made = add(made, item)
    return made


def mean(value: Any) -> Any:
    """Return the mean of at least one number."""
    items = _numbers(value, "avg")
    if not items:
        raise NotEvaluable("avg of nothing")
    return divide(total(items), len(items))


def _extreme(value: Any, function: str, *, largest: bool) -> Any:
    items = _array(value, function)
    dates = all(type(item) is Instant for item in items)
    if not items or not (dates or all(is_number(item) for item in items)):
        raise NotEvaluable(f"{function} of anything but numbers or dates")
    best = items[0]
    for item in items[1:]:
        if less(best, item) if largest else less(item, best):
            best = item
    return best


def median(value: Any) -> Any:
    """Return the number in the middle, or the mean of the two there."""
    items = sorted(_numbers(value, "median"), key=lambda item: exact(item, "median"))
    if not items:
        raise NotEvaluable("median of nothing")
    half = len(items) // 2
    return items[half] if len(items) % 2 else divide(add(items[half - 1], items[half]), 2)


def mode(value: Any) -> Any:
    """Return the number that is most frequent; of several the largest."""
    counts = Counter(exact(item, "mode") for item in _numbers(value, "mode"))
    if not counts:
        raise NotEvaluable("mode of nothing")
    return max(counts, key=lambda item: (counts[item], item))


def to_flag(value: Any) -> bool:
    """Return the flag a value stands for; an odd rule of the language: an empty text is true."""
    if isinstance(value, str):
        word = value.strip()
        return word == "true" if word in ("true", "false") else not value
    if is_number(value):
        return bool(value != 0)
    return value is not None and value is not False


def to_number(value: Any) -> Any:
    """Return the number a value stands for."""
    if is_number(value):
        return value
    if type(value) is bool:
        return int(value)
    if type(value) is str:
        found = _read(value)
        if found is not None:
            return found
        raise NotEvaluable("number of a text that is none")
    raise unfit("number", value)


def _read(value: str) -> Decimal | None:
    word = value.strip()
    if not _NUMBER.fullmatch(word):
        return None
    found = Decimal(word.replace("_", ""))
    return found if abs(found) < Decimal(2) ** 96 else None


def is_numeric(value: Any) -> bool:
    """Return whether a value is a number, or a text that stands for one."""
    return is_number(value) or (type(value) is str and _read(value) is not None)


def keys(value: Any) -> list[Any]:
    """Return the keys of an object in their order, or the places of an array."""
    if isinstance(value, dict):
        return list(value)
    if isinstance(value, list | tuple):
        return list(range(len(value)))
    raise unfit("keys", value)


def values(value: Any) -> list[Any]:
    """Return the values of an object in the order of its keys."""
    if isinstance(value, dict):
        return list(value.values())
    raise unfit("values", value)


# -- the older functions of dates: seconds since 1970 ------------------------------------------


def _moment(value: Any, function: str) -> datetime:
    if type(value) is str:
        found = instant(value).at
        if found is not None:
            return found
        raise NotEvaluable(f"{function} of a text that is no date")
    if is_number(value):
        found = instant(int(value) * 1_000).at
        if found is not None:
            return found
    raise unfit(function, value)


def seconds_of(value: Any) -> Any:
    """Return seconds since 1970."""
    if is_number(value):
        return int(value)
    return milliseconds(_moment(value, "date")) // 1_000


def _edge(of: Callable[[datetime, str], datetime], function: str) -> Callable[[Any, Any], int]:
    def edge(value: Any, name: Any) -> int:
        unit = unit_of(name)
        if unit is None or unit == "quarter":
            raise NotEvaluable(f"{function} of no unit")
        return milliseconds(of(_moment(value, function), unit)) // 1_000

    return edge


def time_of_day(value: Any) -> int:
    """Return seconds since midnight."""
    if is_number(value):
        return int(value)
    word = _text(value, "time")
    for form in ("%H:%M:%S", "%H:%M", "%H"):
        try:
            at = datetime.strptime(word, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return at.hour * 3_600 + at.minute * 60 + at.second
    at = _moment(word, "time")
    return at.hour * 3_600 + at.minute * 60 + at.second


def duration(value: Any) -> int:
    """Return the seconds of a duration such as `1h 30m`."""
    if is_number(value):
        return int(value)
    word, at, found = _text(value, "duration"), 0, Decimal(0)
    while at < len(word):
        matched = _FRACTIONS.match(word, at)
        unit = unit_of(matched[2]) if matched else None
        if matched is None or unit not in SECONDS:
            raise NotEvaluable("duration of a text that is none")
        found += Decimal(matched[1]) * SECONDS[unit]
        at = matched.end()
    return int(found)


def _of_moment(function: str, get: Callable[[datetime], Any]) -> Callable[[Any], Any]:
    return lambda value: get(_moment(value, function))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": length,
    "contains": contains,
    "flatten": flatten,
    "merge": merge,
    "mergeDeep": merge_deep,
    "upper": lambda a: _text(a, "upper").upper(),
    "lower": lambda a: _text(a, "lower").lower(),
    "trim": lambda a: _text(a, "trim").strip(),
    "startsWith": lambda a, b: _text(a, "startsWith").startswith(_text(b, "startsWith")),
    "endsWith": lambda a, b: _text(a, "endsWith").endswith(_text(b, "endsWith")),
    "matches": lambda a, b: _pattern(b).search(_text(a, "matches")) is not None,
    "extract": extract,
    "fuzzyMatch": fuzzy,
    "split": split,
    "abs": lambda a: abs(a) if type(a) is int else abs(exact(a, "abs")),
    "sum": total,
    "avg": mean,
    "min": lambda a: _extreme(a, "min", largest=False),
    "max": lambda a: _extreme(a, "max", largest=True),
    "median": median,
    "mode": mode,
    "floor": rounded(ROUND_FLOOR, "floor"),
    "ceil": rounded(ROUND_CEILING, "ceil"),
    "round": rounded(ROUND_HALF_UP, "round"),
    "trunc": rounded(ROUND_DOWN, "trunc"),
    "isNumeric": is_numeric,
    "string": text,
    "number": to_number,
    "bool": to_flag,
    "type": kind_of,
    "keys": keys,
    "values": values,
    "d": instant,
    "date": seconds_of,
    "time": time_of_day,
    "duration": duration,
    "year": _of_moment("year", lambda at: at.year),
    "dayOfWeek": _of_moment("dayOfWeek", lambda at: at.isoweekday()),
    "dayOfMonth": _of_moment("dayOfMonth", lambda at: at.day),
    "dayOfYear": _of_moment("dayOfYear", lambda at: at.timetuple().tm_yday),
    "weekOfYear": _of_moment("weekOfYear", lambda at: at.isocalendar().week),
    "monthOfYear": _of_moment("monthOfYear", lambda at: at.month),
    "monthString": _of_moment("monthString", lambda at: _MONTHS[at.month - 1]),
    "weekdayString": _of_moment("weekdayString", lambda at: _DAYS[at.weekday()]),
    "dateString": _of_moment("dateString", lambda at: at.strftime("%Y-%m-%d %H:%M:%S")),
    "startOf": _edge(started, "startOf"),
    "endOf": _edge(ended, "endOf"),
}


# -- methods of dates ----------------------------------------------------------------------------


def _date(value: Any, method: str) -> Instant:
    if type(value) is Instant:
        return value
    raise unfit(f".{method}", value)


def _unit(name: Any, method: str) -> str:
    unit = unit_of(name)
    if unit is None:
        raise NotEvaluable(f".{method} of no unit of time")
    return unit


def _mover(method: str, sign: int) -> Callable[..., Instant]:
    def move(value: Any, amount: Any, name: Any = None) -> Instant:
        date = _date(value, method)
        if type(amount) is str:
            amounts = duration_of(amount)
            if amounts is None:
                raise NotEvaluable(f".{method} of no duration")
            return moved(date, amounts, 0, sign)
        number, unit = exact(amount, method), _unit(name, method)
        if unit in SECONDS:
            return moved(date, [], float(number * SECONDS[unit]), sign)
        return moved(date, [(int(number), unit)], 0, sign)

    return move


def _replaced(value: Any, name: Any, amount: Any) -> Instant:
    date, unit = _date(value, "set"), _unit(name, "set")
    number = int(exact(amount, "set"))
    if number < 0:
        raise NotEvaluable(".set of a number below zero")
    if date.at is None or unit in ("week", "quarter"):
        return date
    try:
        return Instant(date.at.replace(**{unit: number}))  # type: ignore[arg-type]
    except ValueError:
        return INVALID


def _edge_of(of: Callable[[datetime, str], datetime], method: str) -> Callable[[Any, Any], Instant]:
    def edge(value: Any, name: Any) -> Instant:
        date, unit = _date(value, method), _unit(name, method)
        return INVALID if date.at is None else Instant(of(date.at, unit))

    return edge


def _difference(value: Any, other: Any, name: Any = None) -> int | None:
    a, b = _date(value, "diff").at, instant(other).at
    unit = None if name is None else _unit(name, "diff")
    return None if a is None or b is None else apart(a, b, unit)


def _comparing(method: str, compare: Callable[[datetime, datetime, str], bool]) -> Any:
    """Return a comparison with another date; without a unit to the millisecond."""

    def ask(value: Any, other: Any, name: Any = None) -> bool:
        a, b = _date(value, method).at, instant(other).at
        unit = "" if name is None else _unit(name, method)
        return a is not None and b is not None and compare(a, b, unit)

    return ask


def _is_same(a: datetime, b: datetime, unit: str) -> bool:
    return started(a, unit) <= b <= ended(a, unit) if unit else milliseconds(a) == milliseconds(b)


def _is_before(a: datetime, b: datetime, unit: str) -> bool:
    return (ended(a, unit) if unit else a) < b


def _is_after(a: datetime, b: datetime, unit: str) -> bool:
    return b < (started(a, unit) if unit else a)


def _got(method: str, get: Callable[[datetime], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        date = _date(value, method)
        return None if date.at is None else get(date.at)

    return read


METHODS: dict[str, Callable[..., Any]] = {
    "add": _mover("add", 1),
    "sub": _mover("sub", -1),
    "set": _replaced,
    "format": lambda a, form: (
        str(_date(a, "format")) if a.at is None else a.at.strftime(_text(form, "format"))
    ),
    "startOf": _edge_of(started, "startOf"),
    "endOf": _edge_of(ended, "endOf"),
    "diff": _difference,
    "isSame": _comparing("isSame", _is_same),
    "isBefore": _comparing("isBefore", _is_before),
    "isAfter": _comparing("isAfter", _is_after),
    "isSameOrBefore": _comparing(
        "isSameOrBefore", lambda a, b, unit: _is_before(a, b, unit) or _is_same(a, b, unit)
    ),
    "isSameOrAfter": _comparing(
        "isSameOrAfter", lambda a, b, unit: _is_after(a, b, unit) or _is_same(a, b, unit)
    ),
    "isValid": lambda a: _date(a, "isValid").at is not None,
    "isLeapYear": lambda a: (
        _date(a, "isLeapYear").at is not None
        and a.at.year % 4 == 0
        and (a.at.year % 100 != 0 or a.at.year % 400 == 0)
    ),
    "second": _got("second", lambda at: at.second),
    "minute": _got("minute", lambda at: at.minute),
    "hour": _got("hour", lambda at: at.hour),
    "day": _got("day", lambda at: at.day),
    "dayOfYear": _got("dayOfYear", lambda at: at.timetuple().tm_yday),
    "week": _got("week", lambda at: at.isocalendar().week),
    "weekday": _got("weekday", lambda at: at.isoweekday()),
    "month": _got("month", lambda at: at.month),
    "quarter": _got("quarter", lambda at: (at.month - 1) // 3 + 1),
    "year": _got("year", lambda at: at.year),
    "timestamp": _got("timestamp", milliseconds),
}
