"""What is wrong with the form of a request, told in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# By the type of pydantic's error; its own sentence is used in English, and where none stands here.
_CHINESE: Final[Mapping[str, str]] = {
    "bool_parsing": "应为布尔值",
    "bool_type": "应为布尔值",
    "date_from_datetime_parsing": "应为 YYYY-MM-DD 形式的日期",
    "date_parsing": "应为 YYYY-MM-DD 形式的日期",
    "date_type": "应为日期",
    "datetime_from_date_parsing": "应为带时区的日期时间",
    "datetime_parsing": "应为日期时间",
    "datetime_type": "应为日期时间",
    "decimal_max_digits": "位数过多（最多 {max_digits} 位）",
    "decimal_max_places": "小数位过多（最多 {decimal_places} 位）",
    "decimal_parsing": "应为十进制数",
    "decimal_type": "应为十进制数",
    "dict_type": "应为对象",
    "enum": "应为 {expected} 之一",
    "extra_forbidden": "不接受此字段",
    "finite_number": "应为有限的数",
    "float_parsing": "应为数字",
    "float_type": "应为数字",
    "greater_than": "应大于 {gt}",
    "greater_than_equal": "应不小于 {ge}",
    "int_from_float": "应为整数，不能带小数",
    "int_parsing": "应为整数",
    "int_parsing_size": "整数过大",
    "int_type": "应为整数",
    "json_invalid": "不是有效的 JSON",
    "less_than": "应小于 {lt}",
    "less_than_equal": "应不大于 {le}",
    "list_type": "应为数组",
    "literal_error": "应为 {expected} 之一",
    "missing": "缺少此字段",
    "model_attributes_type": "应为对象",
    "model_type": "应为对象",
    "string_pattern_mismatch": "格式应符合 {pattern}",
    "string_too_long": "过长（最多 {max_length} 个字符）",
    "string_too_short": "过短（至少 {min_length} 个字符）",
    "string_type": "应为字符串",
    "timezone_aware": "缺少时区",
    "too_long": "项数过多（最多 {max_length} 项）",
    "too_short": "项数过少（至少 {min_length} 项）",
    "unreadable": "请求体无法读取",
    "uuid_parsing": "应为 UUID",
    "uuid_type": "应为 UUID",
}


def complaint(error: Mapping[str, Any], language: str) -> tuple[str, str]:
    """Return where a request is malformed, as a dotted path, and what is wrong there.

    Examples
    --------
    >>> complaint({"type": "missing", "loc": ("body", "currency"), "msg": "Field required"}, "zh")
    ('body.currency', '缺少此字段')
    """
    where = ".".join(str(part) for part in error["loc"])
    template = _CHINESE.get(error["type"]) if language.startswith("zh") else None
    if template is None:
        return where, str(error.get("msg", "it cannot be read"))
    return where, template.format_map({"expected": "", **error.get("ctx", {})})
