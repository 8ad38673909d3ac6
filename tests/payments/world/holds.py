"""What holds after every step: our books against what others really hold, and within themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from steelyard.payments.model import accounts
from tests.payments.world.bank import TrueBank
from tests.payments.world.books import Books, Row
from tests.payments.world.channel import CNY, TrueChannel

MONEY = ("succeeded", "duplicate", "late", "integrity_hold")
ASIDE = ("reserved", "sent", "processing", "unknown", "abnormal", "returned")
ON_WAY = ("intended", "sent", "pending", "unknown")
BALANCE = "balance"
WALLET = "wallet:ann"


def number(row: Row) -> str:
    return UUID(row["id"]).hex


def total(rows: Iterable[Row], what: str = "amount_minor") -> int:
    return sum(row[what] for row in rows)


def check(
    books: Books, channels: Mapping[str, TrueChannel], bank: TrueBank, *, wallet_minor: int
) -> None:
    """Assert everything that always holds."""
    assert sum(books.balances.values()) == 0, "postings add up to nothing"
    _evidence(books, channels)
    _orders(books)
    _channels(books, channels)
    _between(books, channels)
    _merchants(books)
    _wallet(books, wallet_minor)
    _bank(books, bank)


def _evidence(books: Books, channels: Mapping[str, TrueChannel]) -> None:
    """What a channel ever said it took is booked, once; and nothing else is."""
    for one in books["attempt"]:
        if one["channel"] != BALANCE:
            told = number(one) in channels[one["channel"]].told
            assert (one["state"] in MONEY) == told, f"attempt {one} and what was told: {told}"
    for one in books["refund"]:
        if one["channel"] != BALANCE:
            channel, n = channels[one["channel"]], number(one)
            told = n in channel.told and n not in channel.told_back
            assert (one["state"] == "succeeded") == told, f"refund {one} and what was told: {told}"


def _orders(books: Books) -> None:
    paying: dict[str, list[Row]] = defaultdict(list)
    for one in books["attempt"]:
        if one["state"] in ("succeeded", "authorized"):
            paying[one["order_id"]].append(one)
    aside: dict[tuple[str, str], int] = defaultdict(int)
    for one in books["refund"]:
        if not one["is_automatic"]:
            group = "aside" if one["state"] in ASIDE else one["state"]
            aside[one["order_id"], group] += one["amount_minor"] - one["excess_minor"]
    held: dict[str, int] = defaultdict(int)
    for one in books["dispute"]:
        held[one["order_id"]] += one["held_minor"]
    for one in books["order"]:
        taken = one["refunded_minor"] + one["refund_reserved_minor"] + one["disputed_minor"]
        assert taken <= one["captured_minor"] <= one["amount_minor"], f"the cap of {one}"
        assert one["refund_reserved_minor"] == aside[one["id"], "aside"], one
        assert one["refunded_minor"] == aside[one["id"], "succeeded"], one
        assert one["disputed_minor"] == held[one["id"]], one
        payers = paying[one["id"]]
        assert len(payers) <= 1, f"{one} is paid twice: {payers}"
        is_paid = one["state"] == "succeeded"
        assert is_paid == bool(payers), f"{one}: {payers}"
        if is_paid:
            assert (one["paid_by"], one["captured_minor"]) == (
                payers[0]["id"],
                payers[0]["amount_minor"],
            )


def _channels(books: Books, channels: Mapping[str, TrueChannel]) -> None:
    """In transit is what the channel owes, less what it never told and we cannot know."""
    for code, channel in channels.items():
        booked = -books.owed(accounts.in_transit(code, CNY))
        true = channel.owes_minor - sum(channel.unknown.values())
        assert booked == true, f"{code}: booked {booked}, told {true}"


def _between(books: Books, channels: Mapping[str, TrueChannel]) -> None:
    """What lies between merchants, payers and channels is explained row by row."""
    refunds = total(one for one in books["refund"] if one["state"] in ASIDE)
    assert books.owed(accounts.refunds(CNY)) == refunds
    disputes = total((d for d in books["dispute"] if d["money"] == "withheld"), "held_minor")
    assert books.owed(accounts.disputes(CNY)) == disputes
    nobodys = total(books["unclaimed"])
    for one in books["attempt"]:
        if one["state"] in ("duplicate", "late", "integrity_hold"):
            charge = channels[one["channel"]].charges[number(one)]
            nobodys += charge.amount_minor if charge.currency == CNY else 0
    back = ("succeeded", *ASIDE)
    nobodys -= total(r for r in books["refund"] if r["is_automatic"] and r["state"] in back)
    assert books.owed(accounts.unclaimed(CNY)) == nobodys
    out = [
        one
        for one in books["payout"]
        if one["state"] in ON_WAY
        or (one["state"] == "returned" and one["settlement"] != "released")
    ]
    settled = total(one for one in out if one["kind"] == "settlement")
    assert books.owed(accounts.payouts(CNY)) == settled


def _merchants(books: Books) -> None:
    """A merchant has what was captured, less fees, refunds, disputes and what was paid out."""
    merchant = {one["id"]: one["merchant"] for one in books["order"]}
    owed: dict[str, int] = defaultdict(int)
    for one in books["attempt"]:
        if one["state"] == "succeeded":
            owed[merchant[one["order_id"]]] += one["amount_minor"]
    for one in books["fee"]:
        owed[one["merchant"]] -= one["fee_minor"]
    for one in books["refund"]:
        if one["state"] in ("succeeded", *ASIDE) and not one["is_automatic"]:
            owed[one["merchant"]] -= one["amount_minor"]
    for one in books["dispute"]:
        lost = one["excess_minor"] if one["money"] == "taken" else 0
        owed[one["merchant"]] -= one["held_minor"] + lost + one["fee_minor"]
    for one in books["payout"]:
        is_back = one["state"] == "failed" or one["settlement"] == "released"
        if one["kind"] == "settlement" and not is_back:
            owed[one["merchant"]] -= one["amount_minor"]
    for id in {*merchant.values(), *owed}:
        codes = (accounts.pending, accounts.available, accounts.rolling_reserve)
        booked = sum(books.owed(code(UUID(id), CNY)) for code in codes)
        assert booked == owed[id], f"merchant {id}: booked {booked}, due {owed[id]}"


def _wallet(books: Books, wallet_minor: int) -> None:
    spent = total(a for a in books["attempt"] if a["channel"] == BALANCE and a["state"] in MONEY)
    back = total(
        r for r in books["refund"] if r["channel"] == BALANCE and r["state"] == "succeeded"
    )
    won = sum(
        one["held_minor"] + one["excess_minor"]
        for one in books["dispute"]
        if one["channel"] == BALANCE and one["money"] == "taken"
    )
    assert books.owed(WALLET) == wallet_minor - spent + back + won


def _bank(books: Books, bank: TrueBank) -> None:
    """The reserve is what lies at the custodian, less what it never told; fees are ours."""
    booked = -books.owed(accounts.settlement(CNY))
    true = bank.balance_minor - bank.unknown_minor
    assert booked == true, f"the reserve: booked {booked}, told {true}"
    for one in books["paid"]:
        n = number(one)
        is_told = (n, "payout") in bank.told, (n, "return") in bank.told
        wanted = (one["state"] in ("paid", "returned"), one["state"] == "returned")
        assert is_told == wanted, f"payout {one} and what was told: {is_told}"
    ours = books.owed(accounts.fees_due(CNY)) + books.owed("mirror:own:CNY")
    earned = total(books["fee"], "fee_minor") + total(books["dispute"], "fee_minor")
    swept = [p for p in books["paid"] if p["kind"] == "sweep" and p["state"] == "paid"]
    assert ours == earned - total(swept) + total(books["own"]), "fees are ours, and nothing else is"
