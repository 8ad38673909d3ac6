from __future__ import annotations

from datetime import date
from uuid import uuid4

from steelyard.base import Database, Outcome, Verdict
from steelyard.base.crypto import Keyring
from steelyard.events import drain, operation
from steelyard.ledger import AccountKind, Funds, NewAccount, open_accounts, open_book
from steelyard.parties import NewCustomer, account_owners, registry


def test_whoever_owns_a_new_account_is_linked_to_it_once(database: Database) -> None:
    with database.unit_of_work() as unit:
        customer = registry.register_customer(
            unit, Keyring.for_tests(), NewCustomer(), verdict=Verdict(Outcome.APPROVE, "rule.t@1")
        )
        open_book(unit, "shop", name="Shop", funds=Funds.OWN, business_on=date(2026, 3, 2))
        owners = [f"party:{customer.id}", None, f"party:{uuid4()}", "party:nobody", "bank:YZ"]
        accounts = [
            NewAccount(code=f"a:{n}", currency="CNY", kind=AccountKind.LIABILITY, owner=owner)
            for n, owner in enumerate(owners)
        ]
        open_accounts(unit, "shop", accounts, cause="rule.t@1")
    assert drain(database, [account_owners]) == len(owners)
    with database.reading() as connection:
        links = registry.accounts_of(connection, customer.id)
        others = [registry.parties_of_account(connection, f"account:shop/{n}") for n in range(2, 6)]
    assert [(link.account, link.role) for link in links] == [
        ("account:shop/1", registry.AccountRole.OWNER)
    ]
    assert others == [(), (), (), ()]

    with database.unit_of_work() as unit:
        operation.replay(unit, account_owners.name, account_owners.version)
    assert drain(database, [account_owners]) == len(owners)
    with database.reading() as connection:
        assert registry.accounts_of(connection, customer.id) == links
