"""The town as pure values: who lives in it, and what they do on each day of a seed."""

from steelyard.simulation.model.actions import (
    Action,
    CardPayment,
    Deposit,
    DepositKind,
    FraudReport,
    LoanComplaint,
    LoanPayment,
    LoanRequest,
    Refund,
    SignUp,
    digest,
)
from steelyard.simulation.model.attacks import AttackKind
from steelyard.simulation.model.days import Truth, actions_between, day, truth
from steelyard.simulation.model.draws import Chance, Streams
from steelyard.simulation.model.handbook import PUBLISHED, Handbook, Profile, Scenario
from steelyard.simulation.model.people import Person, Sex
from steelyard.simulation.model.town import (
    BEIJING,
    CURRENCY,
    OPENS_ON,
    Customer,
    Income,
    Merchant,
    Plan,
    Terminal,
    Town,
    TownIsTooSmall,
    build,
    midnight,
)

__all__ = [
    "BEIJING",
    "CURRENCY",
    "OPENS_ON",
    "PUBLISHED",
    "Action",
    "AttackKind",
    "CardPayment",
    "Chance",
    "Customer",
    "Deposit",
    "DepositKind",
    "FraudReport",
    "Handbook",
    "Income",
    "LoanComplaint",
    "LoanPayment",
    "LoanRequest",
    "Merchant",
    "Person",
    "Plan",
    "Profile",
    "Refund",
    "Scenario",
    "Sex",
    "SignUp",
    "Streams",
    "Terminal",
    "Town",
    "TownIsTooSmall",
    "Truth",
    "actions_between",
    "build",
    "day",
    "digest",
    "midnight",
    "truth",
]
