"""Made-up people: valid in form, and nobody's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from stdnum.cn.ric import calc_check_digit
from stdnum.cn.uscc import calc_check_digit as calc_credit_check

from steelyard.simulation.model.draws import Chance, below, pick
from steelyard.simulation.model.names import (
    ENGLISH_FAMILY,
    ENGLISH_GIVEN_FEMALE,
    ENGLISH_GIVEN_MALE,
    GIVEN,
    GIVEN_FEMALE,
    GIVEN_MALE,
    SURNAMES,
)

YOUNGEST, OLDEST = 18, 80

_ENGLISH_SHARE = 0.1
_TWO_CHARACTERS_SHARE = 0.8
_MAIL_DOMAINS = ("example.com", "example.net", "example.org")  # RFC 2606, section 3

# GB/T 2260 starts no division code with 99, and GB 11643 takes the code from there.
_FIRST_AREA = 990_001
_PEOPLE_AN_AREA = 500
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)

# The segment 154 of mainland mobile numbers has not been given to any operator.
_PHONE_SEGMENT = "+86154"
_PHONES = 100_000_000
_PHONE_STEP = 61_803_399  # has no factor in common with _PHONES: no two people get one number


class Sex(StrEnum):
    """As the resident id number states it, by the parity of its sequence number."""

    FEMALE = "female"
    MALE = "male"


@dataclass(frozen=True, slots=True)
class Person:
    """The personal data someone signs up with.

    Attributes
    ----------
    name : as on the identity document, in Chinese characters for most
    name_latin : the same in Latin letters, given name first
    sex : agrees with the resident id number
    born_on : agrees with the resident id number
    resident_id : 18 characters by GB 11643-1999 with a correct check character, of an area that
        does not exist; unlike that of any other person of the town
    phone : E.164, in a segment without an operator; unlike any other of the town
    email : in a domain kept for examples; unlike any other of the town
    """

    name: str
    name_latin: str
    sex: Sex
    born_on: date
    resident_id: str
    phone: str
    email: str


def person(chance: Chance, number: int, today_on: date) -> Person:
    """Return a made-up person, of age 18 to 80 on a day.

    Parameters
    ----------
    chance : the generator of this person
    number : of the person in the town, from 0; what makes id, phone and e-mail unlike any other's
    today_on : the day the age counts for
    """
    sex = pick(chance, (Sex.FEMALE, Sex.MALE))
    born_on = _born(chance, today_on)
    if chance.random() < _ENGLISH_SHARE:
        given = pick(chance, ENGLISH_GIVEN_MALE if sex is Sex.MALE else ENGLISH_GIVEN_FEMALE)
        family = pick(chance, ENGLISH_FAMILY)
        name = f"{given} {family}"
    else:
        character, family = pick(chance, SURNAMES)
        characters, given = _given(chance, sex)
        name = character + characters
    return Person(
        name=name,
        name_latin=f"{given} {family}",
        sex=sex,
        born_on=born_on,
        resident_id=resident_id(number, born_on, sex),
        phone=f"{_PHONE_SEGMENT}{number * _PHONE_STEP % _PHONES:08d}",
        email=f"{given}.{family}.{number}@{pick(chance, _MAIL_DOMAINS)}".lower(),
    )


def resident_id(number: int, born_on: date, sex: Sex) -> str:
    """Return a resident id number by GB 11643-1999, of an area that does not exist.

    Parameters
    ----------
    number : of the person in the town, from 0
    born_on : digits 7 to 14
    sex : the parity of digits 15 to 17, odd for men

    Returns
    -------
    str
        18 characters; the last is a digit or X, by ISO 7064 MOD 11-2.

    Examples
    --------
    >>> resident_id(0, date(1990, 2, 28), Sex.MALE)
    '990001199002280015'
    """
    area = _FIRST_AREA + number // _PEOPLE_AN_AREA
    sequence = 2 * (number % _PEOPLE_AN_AREA) + (sex is Sex.MALE)
    body = f"{area}{born_on:%Y%m%d}{sequence:03d}"
    check: str = calc_check_digit(body + "0")
    return body + check


def _born(chance: Chance, today_on: date) -> date:
    """Draw a birthday of the ages allowed, each day as likely as any other."""
    eldest = _years_before(today_on, OLDEST + 1) + timedelta(days=1)
    youngest = _years_before(today_on, YOUNGEST)
    return eldest + timedelta(days=below(chance, (youngest - eldest).days + 1))


def _years_before(on: date, years: int) -> date:
    """Take 28 February where 29 February has no counterpart."""
    last = 28 if (on.month, on.day) == (2, 29) else on.day
    return date(on.year - years, on.month, last)


def _given(chance: Chance, sex: Sex) -> tuple[str, str]:
    """Draw a given name of one or two characters, and its pinyin."""
    own = GIVEN_MALE if sex is Sex.MALE else GIVEN_FEMALE
    character, latin = pick(chance, own)
    if chance.random() < _TWO_CHARACTERS_SHARE:
        first, first_latin = pick(chance, GIVEN)
        return first + character, first_latin + latin.lower()
    return character, latin


def credit_code(number: int) -> str:
    """Return the unified social credit code (GB 32100-2015) of a merchant in an area without one.

    Parameters
    ----------
    number : of the merchant in the town, from 0; codes of two merchants differ

    Returns
    -------
    str
        18 characters: registered by the market administration (9) as an enterprise (1), the area,
        the organization code with its check character by GB 11714-1997, and the check character.

    Examples
    --------
    >>> credit_code(0), credit_code(1)
    ('91990001000000000K', '91990001000000019G')
    """
    organisation = f"{number:08d}"
    weighted = zip(_ORGANISATION_WEIGHTS, organisation, strict=True)
    rest = sum(weight * int(digit) for weight, digit in weighted) % 11
    body = f"91{_FIRST_AREA}{organisation}{'0X987654321'[rest]}"
    return body + calc_credit_check(body)
