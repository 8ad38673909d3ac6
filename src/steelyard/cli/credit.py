"""`steelyard credit`: schedules, loans and their books; each noun in a module of its own."""

from __future__ import annotations

import typer

from steelyard.cli import (
    credit_berka,
    credit_close,
    credit_collections,
    credit_origination,
    credit_portfolio,
    credit_schedule,
    credit_scorecard,
)
from steelyard.cli.output import RefusingGroup

app = typer.Typer(
    help="lend: schedules, applications, loans, their books",
    cls=RefusingGroup,
    no_args_is_help=True,
)
app.command("board")(credit_collections.board)
app.command("bureau-file")(credit_collections.bureau_file)
app.command("contacts")(credit_collections.contacts)
app.command("matters")(credit_collections.matters)
app.command("next-acts")(credit_collections.next_acts)
app.command("apply")(credit_origination.apply)
app.command("close-day")(credit_close.close_day)
app.command("days")(credit_close.days)
app.command("portfolio")(credit_portfolio.portfolio)
app.command("quote")(credit_origination.quote)
app.command("replay-berka")(credit_berka.replay_berka)
app.command("schedule")(credit_schedule.schedule)
app.command("scorecard")(credit_scorecard.scorecard)
app.command("whatif")(credit_portfolio.whatif)


@app.callback()
def credit() -> None:
    """Lend, on one ledger: from the schedule to the books of the day."""
