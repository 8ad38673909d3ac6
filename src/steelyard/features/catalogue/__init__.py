"""Extension point: what is known about entities, one file per theme.

A new feature is a line in one of these files; every engine then computes it, and the battery of
`tests/features/test_catalogue.py` checks it. Its door gives what definitions, events and labels are
made of, and `export`, the definitions as data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from steelyard.features.catalogue import credit, loans, log_ins, payments, withdrawals
from steelyard.features.catalogue.derived import complete
from steelyard.features.catalogue.exported import export
from steelyard.features.catalogue.kinds import KINDS as _KINDS
from steelyard.features.catalogue.kinds import kind_first, kind_now
from steelyard.features.model.definition import Aggregate, Feature
from steelyard.features.model.event import EventKind, FieldType, Label

__all__ = [
    "CATALOGUE",
    "HANDBOOK",
    "KINDS",
    "Aggregate",
    "EventKind",
    "Feature",
    "FieldType",
    "Label",
    "complete",
    "export",
    "kind_first",
    "kind_now",
]


def _by_name(features: Iterable[Feature]) -> Mapping[str, Feature]:
    made: dict[str, Feature] = {}
    for feature in features:
        if feature.name in made:
            raise ValueError(f"{feature.name} is there twice")
        made[feature.name] = feature
    return MappingProxyType(made)


KINDS: Mapping[str, EventKind] = MappingProxyType(_KINDS)
"""Every kind of event by name."""
CATALOGUE: Mapping[str, Feature] = _by_name(
    (
        *payments.FEATURES,
        *log_ins.FEATURES,
        *credit.FEATURES,
        *withdrawals.FEATURES,
        *loans.FEATURES,
    )
)
"""Every feature by name."""
HANDBOOK: tuple[str, ...] = tuple(
    name.format(days)
    for name in (
        "customer_payment_count_{}d",
        "customer_payment_mean_{}d",
        "terminal_payment_count_{}d_delayed_7d",
        "terminal_fraud_share_{}d_delayed_7d",
    )
    for days in (1, 7, 30)
)
"""The twelve windowed features of the Fraud Detection Handbook; its other three are the fields
`amount_minor`, `is_weekend` and `is_night` of the payment."""
