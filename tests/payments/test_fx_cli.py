"""`steelyard fx`: quotes and the backtest, as commands."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from steelyard.cli.fx import app

RUN = CliRunner()


def test_a_pair_is_quoted_by_every_lock() -> None:
    found = RUN.invoke(app, ["quote", "CNY", "USD", "--sells", "1000.00", "--on", "2026-03-02",
                             "--json"])  # fmt: skip
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout)
    assert [row["lock"] for row in rows] == ["none", "5m", "30m", "1h", "24h"]
    assert rows[0]["day"] == "2026-03-02"
    rates = [float(row["rate"]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert RUN.invoke(app, ["quote", "JPY", "KWD", "--buys", "1"]).exit_code == 1
    both = RUN.invoke(app, ["quote", "CNY", "USD", "--sells", "1", "--buys", "1"])
    assert both.exit_code == 1


def test_the_backtest_leaves_a_table_and_plots(tmp_path: Path) -> None:
    found = RUN.invoke(app, ["backtest", "--out", str(tmp_path / "made"), "--pair", "CNY/USD",
                             "--split", "2019-01-01", "--json"])  # fmt: skip
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert {row["part"] for row in said["rows"]} == {"chosen_on", "judged_on"}
    assert 0.8 < said["load"] < 1.5
    assert len((tmp_path / "made" / "lock_premium.csv").read_text().splitlines()) == 9
    assert sorted(one.name for one in tmp_path.glob("made/*.png")) == [
        "periods.png",
        "premium_and_cost.png",
        "years.png",
    ]
