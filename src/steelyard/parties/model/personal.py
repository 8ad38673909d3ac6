"""Personal fields: how each is normalised, masked and checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from stdnum.cn import ric

from steelyard.kernel import Refusal, RefusalKind

_E164 = re.compile(r"\+[1-9][0-9]{7,14}")
_CHINESE_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_ID_NUMBER = re.compile(r"[0-9A-Z]{5,32}")
_COMPOUND_SURNAMES = frozenset(
    "欧阳司马上官诸葛东方皇甫尉迟公孙慕容司徒令狐端木夏侯宇文长孙轩辕百里南宫"[i : i + 2]
    for i in range(0, 36, 2)
)
_OLDEST_YEAR = 1850


class PersonalField(StrEnum):
    """What is known of a natural person and kept sealed."""

    NAME = "name"
    ID_NUMBER = "id_number"
    PHONE = "phone"
    EMAIL = "email"
    ADDRESS = "address"
    BIRTH_ON = "birth_on"
    SEX = "sex"


class PersonalFieldIsInvalid(Refusal):
    """A personal field does not have the form it needs; the value itself is never repeated."""

    kind = RefusalKind.INVALID
    en = "The field {field} is not valid: {expected}."
    zh = "字段 {field} 无效：{expected}。"


class PersonalFieldsDisagree(Refusal):
    """Birth date or sex is another than the resident identity number states."""

    kind = RefusalKind.INVALID
    en = "The field {field} disagrees with the resident identity number."
    zh = "字段 {field} 与居民身份证号码不一致。"


class PersonalFieldIsMissing(Refusal):
    """The party has no value in a field that is needed."""

    kind = RefusalKind.CONFLICT
    en = "Party {party} has no {field}."
    zh = "主体 {party} 没有 {field}。"


def _text(value: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).split())


def _name(value: str) -> str:
    name = _text(value)
    if not 1 <= len(name) <= 100:
        raise PersonalFieldIsInvalid(field="name", expected="1 to 100 characters")
    return name


def _id_number(value: str) -> str:
    number = re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", value)).upper()
    if not _ID_NUMBER.fullmatch(number):
        raise PersonalFieldIsInvalid(field="id_number", expected="5 to 32 letters or digits")
    return number


def _phone(value: str) -> str:
    number = re.sub(r"[\s().-]", "", unicodedata.normalize("NFKC", value))
    if number.startswith("00"):
        number = "+" + number[2:]
    if _CHINESE_MOBILE.fullmatch(number):
        number = "+86" + number
    if not _E164.fullmatch(number):
        raise PersonalFieldIsInvalid(field="phone", expected="E.164, such as +8613800138000")
    return number


def _email(value: str) -> str:
    address = unicodedata.normalize("NFKC", value).strip().lower()
    if len(address) > 254 or not _EMAIL.fullmatch(address):
        raise PersonalFieldIsInvalid(field="email", expected="name@domain, at most 254 characters")
    return address


def _address(value: str) -> str:
    address = _text(value)
    if not 1 <= len(address) <= 500:
        raise PersonalFieldIsInvalid(field="address", expected="1 to 500 characters")
    return address


def _birth_on(value: str) -> str:
    try:
        on = date.fromisoformat(value.strip())
    except ValueError:
        on = date.min
    if on.year < _OLDEST_YEAR:
        raise PersonalFieldIsInvalid(field="birth_on", expected="a date YYYY-MM-DD")
    return on.isoformat()


def _sex(value: str) -> str:
    sex = value.strip().lower()
    if sex not in ("female", "male"):
        raise PersonalFieldIsInvalid(field="sex", expected="female or male")
    return sex


def _mask_name(name: str) -> str:
    if any("a" <= letter <= "z" for letter in name.lower()):
        return " ".join(word[0] + "***" if len(word) > 1 else "*" for word in name.split())
    kept = 2 if len(name) > 2 and name[:2] in _COMPOUND_SURNAMES else min(1, len(name) - 1)
    return name[:kept] + "*" * (len(name) - kept)


def _mask_id_number(number: str) -> str:
    head, tail = (3, 4) if len(number) >= 15 else (1, 1)
    return number[:head] + "*" * (len(number) - head - tail) + number[-tail:]


def _mask_phone(number: str) -> str:
    if number.startswith("+86") and len(number) == 14:
        return f"{number[3:6]}****{number[-4:]}"
    return number[:3] + "*" * (len(number) - 5) + number[-2:]


def _mask_email(address: str) -> str:
    return f"{address[0]}***@{address.rpartition('@')[2]}"


def _mask_address(address: str) -> str:
    return address[: min(6, len(address) // 3)] + "****"


def _mask_birth_on(on: str) -> str:
    return on[:4] + "-**-**"


def _mask_sex(sex: str) -> str:
    return "*" * min(1, len(sex))


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How a field is treated.

    Attributes
    ----------
    normalise : to the one spelling that is sealed and compared; refuses what has no form
    mask : of a normalised value, what is shown to those who may not read it
    is_searchable : found by an exact value; not for fields of few values, whose frequencies
        would tell them
    is_reachable : a way to reach the person, so that it is a contact too
    """

    normalise: Callable[[str], str]
    mask: Callable[[str], str]
    is_searchable: bool = False
    is_reachable: bool = False


RULES: Mapping[PersonalField, FieldRule] = {
    PersonalField.NAME: FieldRule(_name, _mask_name, is_searchable=True),
    PersonalField.ID_NUMBER: FieldRule(_id_number, _mask_id_number, is_searchable=True),
    PersonalField.PHONE: FieldRule(_phone, _mask_phone, is_searchable=True, is_reachable=True),
    PersonalField.EMAIL: FieldRule(_email, _mask_email, is_searchable=True, is_reachable=True),
    PersonalField.ADDRESS: FieldRule(_address, _mask_address, is_reachable=True),
    PersonalField.BIRTH_ON: FieldRule(_birth_on, _mask_birth_on),
    PersonalField.SEX: FieldRule(_sex, _mask_sex),
}


def normalise(field: PersonalField, value: str) -> str:
    """Return the one spelling of a value; normalising twice changes nothing.

    Refusals
    --------
    personal_field_is_invalid : names the field and the form, never the value

    Examples
    --------
    >>> normalise(PersonalField.PHONE, "138 0013-8000")
    '+8613800138000'
    """
    return RULES[field].normalise(value)


def mask(field: PersonalField, value: str) -> str:
    """Return what is shown of a normalised value to those who may not read it.

    Examples
    --------
    >>> mask(PersonalField.NAME, "张三"), mask(PersonalField.NAME, "欧阳锋")
    ('张*', '欧阳*')
    >>> mask(PersonalField.PHONE, "+8613800138000")
    '138****8000'
    >>> mask(PersonalField.ID_NUMBER, "990001199002280015")
    '990***********0015'
    """
    return RULES[field].mask(value)


def index_key(field: PersonalField, value: str) -> str:
    """Return the text a normalised value is found by: letter case does not count."""
    return value.casefold() if field is PersonalField.NAME else value


def check_personal(
    personal: Mapping[PersonalField, str], *, today_on: date
) -> dict[PersonalField, str]:
    """Return all fields normalised, in the order of `PersonalField`.

    Refusals
    --------
    personal_field_is_invalid : also a birth date after today
    personal_fields_disagree : birth date or sex is another than a well-formed resident number says
    """
    clean = {f: normalise(f, personal[f]) for f in PersonalField if f in personal}
    born = clean.get(PersonalField.BIRTH_ON)
    if born is not None and date.fromisoformat(born) > today_on:
        raise PersonalFieldIsInvalid(field="birth_on", expected="a date not after today")
    number = clean.get(PersonalField.ID_NUMBER, "")
    if is_resident_number(number):
        for field, stated in read_resident_number(number).items():
            if clean.get(field, stated) != stated:
                raise PersonalFieldsDisagree(field=field)
    return clean


def is_resident_number(number: str) -> bool:
    """Return whether a normalised number has the form of a resident identity number.

    Checked are length, the birth date in it and the check character (ISO 7064 MOD 11-2). The
    division code is not: codes are abolished and given anew every year, and people keep theirs.
    Source: GB 11643-1999.

    Examples
    --------
    >>> is_resident_number("990001199002280015"), is_resident_number("990001199002280016")
    (True, False)
    """
    if len(number) != 18 or not (number.isascii() and number[:17].isdecimal()):
        return False
    if number[17] != ric.calc_check_digit(number):
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return True


def read_resident_number(number: str) -> dict[PersonalField, str]:
    """Return the birth date and sex that a well-formed resident identity number states."""
    return {
        PersonalField.BIRTH_ON: f"{number[6:10]}-{number[10:12]}-{number[12:14]}",
        PersonalField.SEX: "male" if int(number[16]) % 2 else "female",
    }
