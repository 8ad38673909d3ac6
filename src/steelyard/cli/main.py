"""`steelyard`: the commands, each in a module of its own, loaded when it is called."""

from __future__ import annotations

import typer

from steelyard.cli import (
    backtest,
    cases,
    credit,
    database,
    decisions,
    doctor,
    events,
    features,
    fx,
    imports,
    ledger,
    lists,
    models,
    parties,
    payments,
    policies,
    recon,
    risk,
    simulate,
    watch,
)
from steelyard.cli.bench import bench
from steelyard.cli.output import RefusingGroup
from steelyard.cli.up import up

app = typer.Typer(
    name="steelyard",
    help="Steelyard 权衡: internet-finance products on one ledger, risk weighed against value.",
    cls=RefusingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(up)
app.add_typer(database.app, name="db")
app.add_typer(imports.app, name="import")
app.add_typer(ledger.app, name="ledger")
app.add_typer(events.app, name="events")
app.add_typer(parties.app, name="parties")
app.add_typer(features.app, name="features")
app.add_typer(decisions.app, name="decisions")
app.add_typer(risk.app, name="risk")
app.add_typer(backtest.app, name="backtest")
app.add_typer(policies.app, name="policies")
app.add_typer(lists.app, name="lists")
app.add_typer(models.app, name="models")
app.add_typer(watch.app, name="watch")
app.add_typer(cases.app, name="cases")
app.add_typer(credit.app, name="credit")
app.add_typer(payments.app, name="payments")
app.add_typer(fx.app, name="fx")
app.add_typer(recon.app, name="recon")
app.add_typer(simulate.app, name="simulate")
app.command("doctor")(doctor.doctor)
app.command()(bench)
