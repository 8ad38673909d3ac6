"""Charts of accounts: what a book of some business begins with; one file a chart."""

from steelyard.ledger.charts.bank import BANK
from steelyard.ledger.charts.chart import Chart, ChartIsOfOtherFunds, ChartIsUnknown, ChartLine
from steelyard.ledger.charts.lending import LENDING
from steelyard.ledger.charts.platform import PLATFORM
from steelyard.ledger.charts.wallets import WALLETS

CHARTS = {chart.name: chart for chart in (BANK, LENDING, PLATFORM, WALLETS)}
"""Every chart, by name."""


def chart(name: str) -> Chart:
    """Return the chart of a name.

    Refusals
    --------
    chart_is_unknown

    Examples
    --------
    >>> chart("wallets").accounts("CNY")[0].code
    'settlement:CNY'
    """
    if name not in CHARTS:
        raise ChartIsUnknown(chart=name, charts=", ".join(sorted(CHARTS)))
    return CHARTS[name]


__all__ = ["CHARTS", "Chart", "ChartIsOfOtherFunds", "ChartIsUnknown", "ChartLine", "chart"]
