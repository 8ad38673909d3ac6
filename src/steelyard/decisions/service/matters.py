"""What of decisions is put before people: the kinds of case, and the fact that tells the outcome.

They are entered when the room is imported, because every process that shows cases knows the kinds;
what opens the cases is heavier and loaded when it works.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from steelyard.base import Fact
from steelyard.cases import CaseKind, registry

_HOURS = registry.WorkingHours(calendar="CN", zone="Asia/Shanghai")
FRAUD, GENUINE = "fraud", "genuine"
RENEWS = "expected"
"""The outcome of a drift case after which the reference begins anew."""


def _review(name: str, en: str, zh: str, label: str) -> CaseKind:
    return registry.register_kind(
        CaseKind(
            name=name,
            en=en,
            zh=zh,
            sla=registry.Sla(timedelta(hours=4)),
            outcomes=(
                registry.CaseOutcome(FRAUD, "Fraud", "欺诈", registry.Label(label, 1)),
                registry.CaseOutcome(
                    GENUINE,
                    "Genuine: the customer may try again",
                    "真实交易，客户可重试",
                    registry.Label(label, 0),
                ),
                registry.CaseOutcome("unclear", "Cannot be told", "无法判断"),
            ),
            rises_at=(3, 10),
        )
    )


REVIEW = _review("decisions.review", "Review of a decision", "决策人工审核", "is_fraud")
TAKEOVER = _review("decisions.takeover", "Review of a log-in", "登录人工审核", "is_takeover")
REVIEWS = {"is_fraud": REVIEW, "is_takeover": TAKEOVER}
"""By the label that the outcome feeds back."""
DRIFT = registry.register_kind(
    CaseKind(
        name="decisions.drift",
        en="Drift of a policy",
        zh="策略漂移",
        sla=registry.Sla(timedelta(hours=16), _HOURS),
        outcomes=(
            registry.CaseOutcome("mended", "The policy or its inputs were mended", "已修复"),
            registry.CaseOutcome(
                RENEWS, "The new normal: a new reference", "属于新常态，重建参照期"
            ),
            registry.CaseOutcome("chance", "Chance", "偶然波动"),
        ),
        rises_at=(3, 7),
    )
)


class DecisionReviewed(Fact, kind="decisions.DecisionReviewed", version=1):
    """A person found out what a decision was about; subject is `decision:<id>`.

    Attributes
    ----------
    case, outcome : how the review ended
    about : whom the decision was about, `noun:id`
    label_field, label_value, event_kind, event_id, known_at_ms : the label of its event, where the
        closing of the case does not tell it already: a case has one event, and may have been joined
        by further decisions; all there or all missing
    """

    decision: UUID
    case: UUID
    outcome: str
    about: str
    label_field: str | None = None
    label_value: int | None = None
    event_kind: str | None = None
    event_id: str | None = None
    known_at_ms: int | None = None
