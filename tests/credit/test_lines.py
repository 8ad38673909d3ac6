"""Limits: granted, drawn on, changed with a reason, proposed unasked by a rule that is shown."""

from __future__ import annotations

import threading
from dataclasses import replace
from uuid import UUID

import pytest

from steelyard.credit import lines, loans, origination, preapproval
from steelyard.credit.model.product import Tier
from steelyard.kernel import Refusal
from steelyard.parties import consents
from tests.credit.applicants import METHOD, Counter
from tests.credit.applicants import counter as counter
from tests.credit.lender import ANN, WALLET

RULE = preapproval.PreapprovalRule(
    name="repaid_well",
    product="credit_line",
    text_en="Who repaid a loan on time is offered a limit of the same size.",
    text_zh="按期结清借款的客户可获同等额度。",
    known_days=0,
    most_minor=500_000,
    tier=Tier.B,
)


def granted(counter: Counter, **more: object) -> lines.Line:
    applied = counter.decided(product="credit_line", amount_minor=500_000, **more)
    signed = counter.accept(applied.id)
    assert signed.line is not None
    return read(counter, signed.line)


def read(counter: Counter, line: UUID) -> lines.Line:
    with counter.database.reading() as connection:
        return lines.read(connection, line)


def wanted(line: lines.Line, amount_minor: int, tenor: str = "3m") -> lines.Draw:
    return lines.Draw(
        amount_minor=amount_minor,
        tenor=tenor,
        method=METHOD,
        wallet_account=f"wallet:{line.party}",
    )


def test_several_draw_downs_stand_under_one_limit(counter: Counter) -> None:
    line = granted(counter)
    assert (line.state, line.limit_minor, line.used_minor) == ("open", 500_000, 0)
    assert counter.wallet(line.party) == 0
    first = counter.run(lambda unit: lines.draw(unit, line.id, wanted(line, 200_000)))
    counter.run(lambda unit: lines.draw(unit, line.id, wanted(line, 250_000, "12m")))
    assert read(counter, line.id).left_minor == 50_000
    assert counter.refused(lines.draw, line.id, wanted(line, 60_000)) == "limit_does_not_suffice"
    stolen = replace(wanted(line, 50_000), wallet_account=WALLET)
    assert counter.refused(lines.draw, line.id, stolen) == "account_is_not_theirs"
    assert counter.wallet(line.party) == 450_000
    counter.house.pay(first.id, 210_000, kind="payoff")
    assert read(counter, line.id).left_minor == 250_000
    with counter.database.reading() as connection:
        drawn = lines.draws_of(connection, line.id)
        quote = lines.quote_draw(connection, line.id, wanted(line, 100_000))
    assert len(drawn) == 2
    assert quote["costs"]["periods"][0]["total_minor"] > 33_000
    counter.house.made += drawn
    counter.house.agree()


def test_two_draws_at_once_never_exceed_the_limit(counter: Counter) -> None:
    line = granted(counter)
    refused: list[str] = []

    def draw() -> None:
        try:
            counter.run(lambda unit: lines.draw(unit, line.id, wanted(line, 300_000)))
        except Refusal as refusal:
            refused.append(refusal.code)

    threads = [threading.Thread(target=draw) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert refused == ["limit_does_not_suffice"] * 2
    assert read(counter, line.id).used_minor == 300_000


def test_a_customer_has_one_limit_of_a_product(counter: Counter) -> None:
    line = granted(counter)
    again = counter.decided(line.party, "credit_line", amount_minor=500_000)
    acceptance = counter.acceptance(again.id)
    assert counter.refused(origination.accept, again.id, acceptance) == "line_exists"


def test_a_limit_is_changed_with_a_reason_and_raised_by_two(counter: Counter) -> None:
    line = granted(counter)
    change = lines.change_limit
    lower = counter.run(lambda unit: change(unit, line.id, 100_000, reason="income_fell"), ANN)
    assert lower.limit_minor == 100_000
    assert counter.refused(change, line.id, 100_000, reason="same") == "limit_is_wrong"
    assert counter.refused(change, line.id, 20_000_000, reason="more") == "limit_is_wrong"
    assert counter.refused(change, line.id, 200_000, reason="A whim!") == "reason_is_invalid"
    assert counter.refused(change, line.id, 2_000_000, reason="good_payer") == "approval_is_needed"
    yes = counter.approve(
        lambda unit: lines.request_change(unit, line.id, 2_000_000, reason="good_payer")
    )
    higher = counter.run(
        lambda unit: change(unit, line.id, 2_000_000, reason="good_payer", approval=yes), ANN
    )
    assert higher.limit_minor == 2_000_000
    with counter.database.reading() as connection:
        history = lines.changes_of(connection, line.id)
    assert [str(one.change) for one in history] == ["granted", "lowered", "raised"]
    assert history[-1].cause.startswith("approval:")
    assert counter.recorded(f"line:{line.id}") == ["LineChanged"] * 3


def test_nothing_is_drawn_on_what_is_frozen_closed_expired_or_late(counter: Counter) -> None:
    line = granted(counter)
    counter.run(lambda unit: lines.draw(unit, line.id, wanted(line, 100_000)))
    counter.run(lambda unit: lines.freeze(unit, line.id, reason="early_warning"), ANN)
    assert counter.refused(lines.draw, line.id, wanted(line, 50_000)) == "line_state_forbids"
    counter.run(lambda unit: lines.free(unit, line.id, reason="cleared"), ANN)
    assert read(counter, line.id).state == "open"
    counter.clock_days(40)
    counter.run(lambda unit: loans.roll(unit, _first(counter, line.id)))
    assert counter.refused(lines.draw, line.id, wanted(line, 50_000)) == "draw_is_barred"
    counter.run(lambda unit: lines.close(unit, line.id, reason="by_customer"), ANN)
    assert counter.refused(lines.draw, line.id, wanted(line, 50_000)) == "line_state_forbids"
    assert counter.refused(lines.draw, UUID(int=1), wanted(line, 50_000)) == "line_is_unknown"


def _first(counter: Counter, line: UUID) -> UUID:
    with counter.database.reading() as connection:
        return lines.draws_of(connection, line)[0]


def test_a_limit_ends_with_its_day(counter: Counter) -> None:
    line = granted(counter)
    counter.clock_days(366)
    assert counter.refused(lines.draw, line.id, wanted(line, 50_000)) == "line_has_expired"


def repaid(counter: Counter, *, consented: bool = True, level: int = 3) -> UUID:
    """Return somebody who repaid a loan on time."""
    party = counter.customer(level=level)
    applied = counter.decided(party, amount_minor=300_000)
    signed = counter.accept(applied.id)
    assert signed.loan is not None
    counter.house.pay(signed.loan, 300_000, kind="payoff")
    if consented:
        counter.run(
            lambda unit: consents.publish_text(
                unit, "marketing", zh="同意", en="yes", changes_substance=False
            )
        )
        counter.run(
            lambda unit: consents.grant(unit, party, "marketing", text_version=1, channel="app")
        )
    return party


def settle(counter: Counter, rule: preapproval.PreapprovalRule = RULE) -> None:
    yes = counter.approve(lambda unit: preapproval.request_rule(unit, rule))
    counter.run(lambda unit: preapproval.set_rule(unit, rule, approval=yes), ANN)


def test_a_rule_that_two_people_set_proposes_limits_once(counter: Counter) -> None:
    chosen, silent = repaid(counter), repaid(counter, consented=False)
    settle(counter)
    dry = preapproval.preapprove(counter.database, RULE.name, dry_run=True, actor=ANN)
    assert (dry.repaid_well, dry.proposed, dry.without_consent, dry.limit_minor) == (
        2, 1, 1, 300_000,
    )  # fmt: skip
    with counter.database.reading() as connection:
        assert lines.visible_to_customer(connection, chosen) == ()
    done = preapproval.preapprove(counter.database, RULE.name, actor=ANN)
    assert replace(done, is_dry_run=True) == dry
    again = preapproval.preapprove(counter.database, RULE.name, actor=ANN)
    assert again.proposed == 0
    with counter.database.reading() as connection:
        (line,) = lines.visible_to_customer(connection, chosen)
        assert lines.visible_to_customer(connection, silent) == ()
        kept = preapproval.read_rule(connection, RULE.name, line.rule_version)
    assert (line.state, line.limit_minor, line.rule) == ("proposed", 300_000, RULE.name)
    assert kept.rule.text_zh == RULE.text_zh
    assert counter.refused(lines.draw, line.id, wanted(line, 50_000)) == "line_state_forbids"


def test_a_proposal_is_taken_up_by_an_application_and_hidden_without_consent(
    counter: Counter,
) -> None:
    party = repaid(counter)
    settle(counter)
    preapproval.preapprove(counter.database, RULE.name, actor=ANN)
    counter.run(lambda unit: consents.withdraw(unit, party, "marketing", channel="app"))
    with counter.database.reading() as connection:
        assert lines.visible_to_customer(connection, party) == ()
        (line,) = lines.lines_of(connection, party)
    applied = counter.decided(party, "credit_line", amount_minor=200_000)
    signed = counter.accept(applied.id)
    assert signed.line == line.id
    taken = read(counter, line.id)
    assert (taken.state, taken.limit_minor, taken.rule) == ("open", 200_000, RULE.name)


def test_a_proposal_ends_with_its_day(counter: Counter) -> None:
    party = repaid(counter)
    settle(counter)
    preapproval.preapprove(counter.database, RULE.name, actor=ANN)
    counter.clock_days(61)
    with counter.database.reading() as connection:
        assert lines.visible_to_customer(connection, party) == ()
    assert counter.run(preapproval.expire_proposals) == 1
    assert counter.run(preapproval.expire_proposals) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("text_zh", " "), ("repaid_loans", 0), ("of_largest_bp", 0), ("product", "quick_cash")],
)
def test_a_rule_that_cannot_be_is_refused(counter: Counter, field: str, value: object) -> None:
    rule = replace(RULE, **{field: value})  # type: ignore[arg-type]
    assert counter.refused(preapproval.request_rule, rule) == "preapproval_rule_is_malformed"
    with (
        counter.database.reading() as connection,
        pytest.raises(preapproval.PreapprovalRuleIsUnknown),
    ):
        preapproval.read_rule(connection, rule.name)
