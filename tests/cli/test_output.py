"""What commands print."""

from __future__ import annotations

import pytest
from rich.console import Console

from steelyard.cli import output


def test_what_people_wrote_is_printed_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "out", Console(width=80))
    note = "asked again [see case 7] [bold]twice[/bold]"
    output.show([{"note": note, "n": 1_200}], [output.Column("note", "note"),
                output.Column("n", "n", right=True)], as_json=False)  # fmt: skip
    printed = capsys.readouterr().out
    assert note in printed
    assert "1,200" in printed
