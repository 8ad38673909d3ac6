"""What one terminal finds of the platform that runs in another."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from steelyard.base import Environment, Settings
from steelyard.cli.running import RUNNING, Running, settings_of_running, write_private

KNOWN = Running("http://127.0.0.1:4000", "hush")


def test_a_command_finds_the_custodian_of_the_running_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert settings_of_running(settings) == settings
    write_private(tmp_path / RUNNING, msgspec.json.encode(KNOWN))
    assert (tmp_path / RUNNING).stat().st_mode & 0o077 == 0
    found = settings_of_running(settings)
    assert (found.custodian, found.custodian_secret) == ("http://127.0.0.1:4000", "hush")
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    "settings",
    [
        {"custodian": "https://bank.example", "custodian_secret": "theirs"},
        {"environment": Environment.PRODUCTION},
    ],
    ids=["somebody named a real one", "production"],
)
def test_what_runs_beside_never_stands_for_what_was_named(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    write_private(tmp_path / RUNNING, msgspec.json.encode(KNOWN))
    wanted = Settings(home=tmp_path, **settings)  # type: ignore[arg-type]
    assert settings_of_running(wanted) == wanted


def test_a_file_that_is_cut_off_is_no_settings(tmp_path: Path) -> None:
    (tmp_path / RUNNING).write_text('{"custodian": "http')
    assert settings_of_running(Settings(home=tmp_path)) == Settings(home=tmp_path)
