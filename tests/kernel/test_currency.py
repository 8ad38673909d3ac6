from __future__ import annotations

import iso4217
import pytest

from steelyard.kernel import Refusal
from steelyard.kernel.currency import CURRENCIES, Currency, UnknownCurrency


def test_the_table_is_the_published_one() -> None:
    published = {
        one.code: (one.number, one.exponent, one.currency_name)
        for one in iso4217.Currency
        if one.exponent is not None
    }
    ours = {code: (c.numeric, c.exponent, c.name_en) for code, c in CURRENCIES.items()}
    assert ours == published


def test_codes_and_numbers_are_unique_and_in_order() -> None:
    assert list(CURRENCIES) == sorted(CURRENCIES)
    assert len({c.numeric for c in CURRENCIES.values()}) == len(CURRENCIES)
    assert {c.exponent for c in CURRENCIES.values()} == {0, 2, 3, 4}


def test_chinese_names_are_chinese_and_unique() -> None:
    named = [c.name_zh for c in CURRENCIES.values() if c.name_zh]
    assert len(named) >= 90
    assert len(set(named)) == len(named)
    assert all("\u4e00" <= letter <= "\u9fff" for name in named for letter in name)


@pytest.mark.parametrize("code", ["", "cny", "RMB", "XXX", "XAU", "XTS", "CNY ", "￥", "DEM"])
def test_a_code_outside_the_table_is_refused(code: str) -> None:
    with pytest.raises(UnknownCurrency) as refused:
        Currency.of(code)
    assert refused.value.code == "unknown_currency"
    assert refused.value.facts == {"currency": code}
    assert isinstance(refused.value, Refusal)


def test_a_name_falls_back_to_english() -> None:
    assert Currency.of("CNY").name("zh") == "人民币元"
    assert Currency.of("CNY").name("fr") == "Yuan Renminbi"
    assert Currency.of("TOP").name("zh-CN") == Currency.of("TOP").name_en


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CURRENCIES["CNY"] = Currency.of("JPY")  # type: ignore[index]
    with pytest.raises(AttributeError):
        Currency.of("CNY").exponent = 0  # type: ignore[misc]
