from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.base import Environment, RefusedInProduction, Settings, read_settings
from steelyard.base.settings import SettingIsInvalid


def test_an_empty_environment_is_a_development_machine() -> None:
    settings = read_settings({})
    assert settings.environment is Environment.DEVELOPMENT
    assert settings.home == Path.cwd() / ".steelyard"
    assert (settings.port, settings.workers, settings.database_url) == (8000, 2, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STEELYARD_PORT", "http"),
        ("STEELYARD_PORT", "65536"),
        ("STEELYARD_PORT", "-1"),
        ("STEELYARD_WORKERS", "0"),
        ("STEELYARD_ENV", "prod"),
        ("STEELYARD_PUBLIC_URL", "bank.example"),
        ("STEELYARD_PUBLIC_URL", "https://bank.example/app"),
        ("STEELYARD_LOG_FORMAT", "xml"),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingIsInvalid) as refused:
        read_settings({name: value})
    assert name in refused.value.sentence("en")


def test_the_public_address_has_no_path() -> None:
    settings = read_settings({"STEELYARD_PUBLIC_URL": "https://bank.example/"})
    assert settings.public_url == "https://bank.example"


def test_production_refuses_the_conveniences_of_development() -> None:
    settings = read_settings({"STEELYARD_ENV": "production"})
    with pytest.raises(RefusedInProduction):
        settings.refuse_in_production("demo people")
    Settings(home=Path()).refuse_in_production("demo people")
