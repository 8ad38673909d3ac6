"""Registering parties, their states, relations and accounts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from steelyard.base import Database, NoPolicyGate, Outcome, Verdict
from steelyard.base.audit import read_audit
from steelyard.base.crypto import Keyring
from steelyard.parties import NewCustomer, NewLegalPerson, PartyKind, PersonalField, registry
from tests.parties.conftest import APPROVED, facts_of

SHOP = NewLegalPerson(
    "青竹书店有限公司", "91110000600037341L", industry="5942", origin="town:shop/1"
)
IMPORT = Verdict(Outcome.APPROVE, "import:berka")


def client(number: int, **changes: str) -> NewCustomer:
    told = {PersonalField.BIRTH_ON: "1970-12-13", PersonalField.SEX: "female"}
    changed = {PersonalField(k): v for k, v in changes.items()}
    return NewCustomer(
        {**told, **changed}, origin=f"berka:client/{number}", region="cz:18", channel="import"
    )


class Gatekeeper:
    """A gate that answers one thing and remembers what it was told."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.told: list[object] = []

    def ask(self, scene: str, facts: object, now: object) -> Verdict:
        self.told.append((scene, facts))
        return self.verdict


def test_a_batch_comes_in_once(database: Database, keyring: Keyring) -> None:
    batch = [client(n) for n in range(50)]

    def run() -> tuple[registry.Registered, ...]:
        return database.transact(
            lambda unit: registry.register_customers(unit, keyring, batch, verdict=IMPORT)
        )

    first, again = run(), run()
    assert [a.outcome for a in first] == [registry.Outcome.CREATED] * 50
    assert [a.outcome for a in again] == [registry.Outcome.EXISTS] * 50
    assert [a.party for a in first] == [a.party for a in again]
    with database.reading() as connection:
        assert registry.count_parties(connection)[PartyKind.CUSTOMER] == 50
        seen = registry.read_party(connection, first[7].party)
        assert registry.find_origins(connection, ["berka:client/7", "berka:client/999"]) == {
            "berka:client/7": first[7].party
        }
    assert seen.origin == "berka:client/7"
    assert seen.region == "cz:18"
    assert seen.cause == "import:berka"
    assert seen.state is registry.PartyState.ACTIVE
    assert [kind for kind, _ in facts_of(database, seen.id)] == ["CustomerRegistered"]


def test_other_content_under_an_origin_is_a_conflict(database: Database, keyring: Keyring) -> None:
    with database.unit_of_work() as unit:
        registry.register_customers(unit, keyring, [client(1)], verdict=IMPORT)
    with database.unit_of_work() as unit:
        answers = registry.register_customers(
            unit, keyring, [client(1, sex="male"), client(2), client(2)], verdict=IMPORT
        )
    assert [a.outcome for a in answers] == ["conflict", "created", "exists"]
    assert answers[1].party == answers[2].party
    with pytest.raises(registry.OriginWasUsed), database.unit_of_work() as unit:
        registry.register_customer(unit, keyring, client(1, sex="male"), verdict=IMPORT)


def test_two_callers_with_one_origin_make_one_party(database: Database, keyring: Keyring) -> None:
    start = threading.Barrier(4)
    got: list[UUID] = []

    def run() -> None:
        start.wait()
        batch = [client(n) for n in range(20)]
        answers = database.transact(
            lambda unit: registry.register_customers(unit, keyring, batch, verdict=IMPORT)
        )
        got.extend(a.party for a in answers)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 80
    assert len(set(got)) == 20


def test_a_batch_too_large_and_a_bad_origin_are_refused(
    database: Database, keyring: Keyring
) -> None:
    with pytest.raises(registry.BatchIsTooLarge), database.unit_of_work() as unit:
        batch = [client(n) for n in range(1_001)]
        registry.register_customers(unit, keyring, batch, verdict=IMPORT)
    for origin in ("17", "berka:", "Berka:1", ":x"):
        with pytest.raises(registry.OriginIsInvalid), database.unit_of_work() as unit:
            new = NewCustomer(origin=origin)
            registry.register_customer(unit, keyring, new, verdict=IMPORT)


def test_the_gate_is_told_no_personal_data_and_its_cause_is_kept(
    database: Database, keyring: Keyring
) -> None:
    new = NewCustomer({PersonalField.NAME: "张三"}, region="CN-42", channel="app")
    gate = Gatekeeper(Verdict(Outcome.REVIEW, "sign_up@3", ("new_device",), uuid4()))
    verdict = registry.ask_to_register(gate, PartyKind.CUSTOMER, new, now=database.now())
    assert gate.told[0][0] == "registration"  # type: ignore[index]
    assert "张三" not in str(gate.told)
    with database.unit_of_work() as unit:
        party = registry.register_customer(unit, keyring, new, verdict=verdict)
        kept = unit.execute(
            "SELECT cause, decision_id, reasons FROM parties.party WHERE id = :id", id=party.id
        ).one()
    assert party.state is registry.PartyState.APPLIED
    assert (kept.cause, kept.decision_id, kept.reasons) == (
        "sign_up@3",
        gate.verdict.decision_id,
        ["new_device"],
    )


def test_a_declined_registration_is_refused(database: Database, keyring: Keyring) -> None:
    declined = Verdict(Outcome.DECLINE, "sign_up@3", ("on_list",))
    with (
        pytest.raises(registry.RegistrationIsDeclined) as refused,
        database.unit_of_work() as unit,
    ):
        registry.register_customer(unit, keyring, NewCustomer(), verdict=declined)
    assert refused.value.facts == {"reasons": "on_list"}
    with pytest.raises(registry.RegistrationIsDeclined), database.unit_of_work() as unit:
        registry.register_merchant(unit, keyring, SHOP, verdict=declined)
    approved = registry.ask_to_register(
        NoPolicyGate(), PartyKind.CUSTOMER, NewCustomer(), now=database.now()
    )
    assert approved.cause == "no_policy@0"


def test_a_merchant_is_known_by_its_number(database: Database, keyring: Keyring) -> None:
    def register(new: NewLegalPerson) -> registry.Party:
        return database.transact(
            lambda unit: registry.register_merchant(unit, keyring, new, verdict=APPROVED)
        )

    shop = register(SHOP)
    assert shop.legal is not None
    assert shop.legal.number_is_checked
    assert register(SHOP).id == shop.id
    with pytest.raises(registry.OriginWasUsed):
        register(replace(SHOP, legal_name="红枫书店有限公司"))
    with pytest.raises(registry.RegistrationNumberIsTaken) as taken:
        register(replace(SHOP, origin="town:shop/2"))
    assert taken.value.facts == {"party": shop.id}
    for wrong in ("91110000600037341M", "9111000060003734", "", "O1110000600037341L"):
        with pytest.raises(registry.RegistrationNumberIsInvalid):
            register(replace(SHOP, number=wrong, origin=None))
    foreign = register(NewLegalPerson("Larkspur plc", "01234567", country="gb"))
    assert foreign.legal is not None
    assert (foreign.legal.country, foreign.legal.number_is_checked) == ("GB", False)
    (fact,) = facts_of(database, shop.id)
    assert fact[0] == "MerchantRegistered"
    assert "青竹" not in str(fact)


STEPS = [
    ("activate", "applied", "active"),
    ("activate", "restricted", "active"),
    ("restrict", "active", "restricted"),
    ("close", "applied", "closed"),
    ("close", "active", "closed"),
    ("close", "restricted", "closed"),
]
FACTS = {"activate": "PartyActivated", "restrict": "PartyRestricted", "close": "PartyClosed"}


def test_the_state_machine(database: Database, keyring: Keyring) -> None:
    pairs = [(v, s) for v in ("activate", "restrict", "close") for s in registry.PartyState]
    with database.unit_of_work() as unit:
        batch = [client(n) for n in range(len(pairs))]
        made = registry.register_customers(unit, keyring, batch, verdict=IMPORT)
        for (_, before), answer in zip(pairs, made, strict=True):
            unit.execute(
                "UPDATE parties.party SET state = :s WHERE id = :id", s=before, id=answer.party
            )
    for (verb, before), answer in zip(pairs, made, strict=True):
        after = next((a for v, b, a in STEPS if (v, b) == (verb, before)), None)
        change = getattr(registry, verb)
        if after is None:
            with (
                pytest.raises(registry.StateChangeIsNotAllowed),
                database.unit_of_work() as unit,
            ):
                change(unit, answer.party, reason="risk_review", version=1)
            continue
        with database.unit_of_work() as unit:
            changed = change(unit, answer.party, reason="risk_review", version=1)
        assert (changed.state, changed.version) == (after, 2)
        kind, payload = facts_of(database, answer.party)[-1]
        assert kind == FACTS[verb]
        assert payload["reason"] == "risk_review"
        with database.reading() as connection:
            (entry,) = read_audit(connection, subject=f"party:{answer.party}").items
        assert entry.action == f"parties.{verb}"


def test_a_stale_version_and_a_free_text_reason_are_refused(
    database: Database, enrol: Callable[..., UUID]
) -> None:
    party = enrol()
    with database.unit_of_work() as unit:
        registry.restrict(unit, party, reason="risk_review", version=1)
    with pytest.raises(registry.PartyHasChanged), database.unit_of_work() as unit:
        registry.activate(unit, party, reason="cleared", version=1)
    with pytest.raises(registry.ReasonIsInvalid), database.unit_of_work() as unit:
        registry.activate(unit, party, reason="张三 called us")
    with pytest.raises(registry.PartyIsUnknown), database.unit_of_work() as unit:
        registry.close(unit, uuid4(), reason="cleared")


def test_relations(database: Database, keyring: Keyring, enrol: Callable[..., UUID]) -> None:
    ann, bob = enrol(), enrol(phone="+8615400009999")
    with database.unit_of_work() as unit:
        shop = registry.register_merchant(unit, keyring, SHOP, verdict=APPROVED).id

    def relate(
        party: UUID, kind: registry.RelationKind, of: UUID, share: int | None = None
    ) -> registry.Relation:
        return database.transact(
            lambda unit: registry.relate(unit, party, kind, of, share_bp=share)
        )

    kinds = registry.RelationKind
    owner = relate(ann, kinds.OWNER, shop, 6_000)
    assert relate(ann, kinds.OWNER, shop, 6_000) == owner
    with pytest.raises(registry.SharesExceedTheWhole):
        relate(bob, kinds.OWNER, shop, 4_001)
    relate(bob, kinds.OWNER, shop, 4_000)
    relate(bob, kinds.BENEFICIAL_OWNER, shop, 4_000)
    for party, kind, of, share in (
        (ann, kinds.OWNER, bob, None),
        (shop, kinds.OWNER, shop, None),
        (shop, kinds.BENEFICIAL_OWNER, shop, None),
        (ann, kinds.AUTHORISED, shop, 1),
        (ann, kinds.OWNER, shop, 0),
    ):
        with pytest.raises(registry.RelationIsNotMeaningful):
            relate(party, kind, of, share)
    with database.unit_of_work() as unit:
        registry.end_relation(unit, owner.id)
    with pytest.raises(registry.RelationIsUnknown), database.unit_of_work() as unit:
        registry.end_relation(unit, owner.id)
    assert relate(ann, kinds.OWNER, shop, 6_000).id != owner.id
    with database.reading() as connection:
        assert len(registry.relations_of(connection, shop)) == 3
        assert len(registry.relations_of(connection, ann)) == 1
    assert [kind for kind, _ in facts_of(database, shop)] == [
        "MerchantRegistered",
        *["PartiesRelated"] * 3,
        "RelationEnded",
        "PartiesRelated",
    ]


def test_accounts_are_linked_by_reference_once(
    database: Database, enrol: Callable[..., UUID]
) -> None:
    ann, bob = enrol(), enrol(phone="+8615400009999")
    roles = registry.AccountRole
    links = [
        registry.AccountLink(ann, "account:client/1", roles.OWNER),
        registry.AccountLink(bob, "account:client/1", roles.AUTHORISED),
        registry.AccountLink(ann, "account:client/2", roles.OWNER),
    ]
    with database.unit_of_work() as unit:
        assert registry.link_accounts(unit, links) == 3
    with database.unit_of_work() as unit:
        assert registry.link_accounts(unit, links) == 0
    with database.reading() as connection:
        assert registry.parties_of_account(connection, "account:client/1") == (
            links[1],
            links[0],
        )
        assert len(registry.accounts_of(connection, ann)) == 2
    assert [kind for kind, _ in facts_of(database, ann)].count("AccountLinked") == 2
    unknown = registry.AccountLink(uuid4(), "account:client/3", roles.OWNER)
    with pytest.raises(registry.PartyIsUnknown), database.unit_of_work() as unit:
        registry.link_accounts(unit, [unknown])


def test_pages_show_every_party_once(database: Database, keyring: Keyring) -> None:
    with database.unit_of_work() as unit:
        registry.register_customers(unit, keyring, [client(n) for n in range(7)], verdict=IMPORT)
        registry.register_merchant(unit, keyring, SHOP, verdict=IMPORT)
    seen: list[UUID] = []
    cursor: str | None = None
    with database.reading() as connection:
        while True:
            page = registry.list_parties(
                connection, kind=PartyKind.CUSTOMER, cursor=cursor, limit=3
            )
            seen += [party.id for party in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert len(registry.list_parties(connection, limit=100).items) == 8
    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen, reverse=True)


FORBIDDEN = [
    "DELETE FROM parties.party",
    "UPDATE parties.party SET kind = 'merchant'",
    "UPDATE parties.party SET cause = 'none'",
    "UPDATE parties.party SET state = 'dead'",
    "UPDATE parties.party SET erased_at = now()",
    "UPDATE parties.party SET identity_level = 4",
    "UPDATE parties.consent_text SET zh = 'x'",
    "DELETE FROM parties.consent",
    "DELETE FROM parties.identity_evidence",
    "UPDATE parties.identity_attempt SET about = decode(repeat('00', 32), 'hex')",
    "TRUNCATE parties.consent",
]


def test_the_database_refuses_what_no_verb_does(
    database: Database, enrol: Callable[..., UUID]
) -> None:
    enrol()
    for statement in FORBIDDEN:
        with pytest.raises(DBAPIError) as refused, database.unit_of_work() as unit:
            unit.execute(statement)
        assert isinstance(
            refused.value.orig,
            psycopg.errors.InsufficientPrivilege
            | psycopg.errors.CheckViolation
            | psycopg.errors.RestrictViolation,
        ), statement
