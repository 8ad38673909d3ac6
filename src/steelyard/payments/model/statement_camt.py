"""Merchant statements as camt.053 (version 8): what we give out for programs that read banks'."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from steelyard.payments.model.reading_camt import OUR_CODES
from steelyard.payments.model.statement_csv import check_sum
from steelyard.payments.model.statement_refusals import StatementFieldIsMalformed, StatementLacks
from steelyard.payments.model.statement_text import CHINA, business_date, written
from steelyard.payments.model.statements import Statement, StatementLine

if TYPE_CHECKING:
    from pyiso20022.camt import camt_053_001_08 as camt

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
_LONGEST_ID: Final = 35
_LONGEST_ACCOUNT: Final = 34
_LONGEST_NAME: Final = 140
_LONGEST_TEXT: Final = 140


def write_camt053(statement: Statement, *, at: datetime, zone: ZoneInfo = CHINA) -> bytes:
    """Return a statement with balances as a camt.053.001.08 document.

    An entry is what moved on the account: the line's amount less its fee, with the fee as an
    included charge. The kinds of lines are proprietary codes of the issuer `STEELYARD`.

    Parameters
    ----------
    at : when it is made
    zone : whose days the statement has

    Refusals
    --------
    statement_lacks : it has no balances
    statement_does_not_add_up : its balances contradict its lines
    statement_field_is_malformed : a number or the account is longer than ISO 20022 takes
    """
    if statement.opening_minor is None or statement.closing_minor is None:
        raise StatementLacks(line=1, missing="OPBD, CLBD")
    check_sum(statement, 1)
    from pyiso20022.camt import camt_053_001_08 as camt
    from xsdata.formats.dataclass.serializers import XmlSerializer
    from xsdata.formats.dataclass.serializers.config import SerializerConfig

    name = _short(statement.id or f"{statement.account}"[:24] + f"-{statement.to_on:%Y%m%d}")
    writing = _Writing(camt, statement, zone)
    document = camt.Document(
        bk_to_cstmr_stmt=camt.BankToCustomerStatementV08(
            grp_hdr=camt.GroupHeader81(msg_id=name, cre_dt_tm=writing.instant(at)),
            stmt=[writing.statement(name, at)],
        )
    )
    serializer = XmlSerializer(config=SerializerConfig(indent="  "))
    return serializer.render(document, ns_map={None: _NAMESPACE}).encode()


class _Writing:
    def __init__(self, kinds: Any, statement: Statement, zone: ZoneInfo) -> None:
        self.camt, self.source, self.zone = kinds, statement, zone
        self.currency = statement.currency

    def statement(self, name: str, at: datetime) -> camt.AccountStatement9:
        source, kinds = self.source, self.camt
        if len(source.account) > _LONGEST_ACCOUNT:
            raise StatementFieldIsMalformed(line=1, field="Acct/Id", found=source.account[:40])
        first = datetime.combine(source.from_on, clock_time(), self.zone)
        last = datetime.combine(source.to_on + timedelta(days=1), clock_time(), self.zone)
        assert source.opening_minor is not None
        assert source.closing_minor is not None
        return kinds.AccountStatement9(
            id=name,
            stmt_pgntn=kinds.Pagination1(pg_nb=str(source.page), last_pg_ind=source.is_last_page),
            cre_dt_tm=self.instant(at),
            fr_to_dt=kinds.DateTimePeriod1(
                fr_dt_tm=self.instant(first), to_dt_tm=self.instant(last - timedelta(seconds=1))
            ),
            acct=kinds.CashAccount39(
                id=kinds.AccountIdentification4Choice(
                    othr=kinds.GenericAccountIdentification1(id=source.account)
                ),
                ccy=self.currency,
            ),
            bal=[
                self._balance("OPBD", source.opening_minor, source.from_on),
                self._balance("CLBD", source.closing_minor, source.to_on),
            ],
            txs_summry=self._summary(),
            ntry=[self._entry(line) for line in source.lines],
        )

    def instant(self, at: datetime) -> Any:
        from xsdata.models.datatype import XmlDateTime

        return XmlDateTime.from_datetime(at.astimezone(self.zone))

    def _day(self, on: date) -> Any:
        from xsdata.models.datatype import XmlDate

        return self.camt.DateAndDateTime2Choice(dt=XmlDate.from_date(on))

    def _amount(self, amount_minor: int) -> Any:
        size = Decimal(written(abs(amount_minor), self.currency))
        return self.camt.ActiveOrHistoricCurrencyAndAmount(value=size, ccy=self.currency)

    def _side(self, amount_minor: int) -> Any:
        codes = self.camt.CreditDebitCode
        return codes.CRDT if amount_minor >= 0 else codes.DBIT

    def _balance(self, code: str, amount_minor: int, on: date) -> Any:
        kinds = self.camt
        return kinds.CashBalance8(
            tp=kinds.BalanceType13(cd_or_prtry=kinds.BalanceType10Choice(cd=code)),
            amt=self._amount(amount_minor),
            cdt_dbt_ind=self._side(amount_minor),
            dt=self._day(on),
        )

    def _summary(self) -> Any:
        kinds, moved = self.camt, [_moved(line) for line in self.source.lines]
        sides = ([m for m in moved if m > 0], [m for m in moved if m < 0])

        def sums(kind: Any, amounts: Sequence[int]) -> Any:
            total = Decimal(written(sum(map(abs, amounts)), self.currency))
            return kind(nb_of_ntries=str(len(amounts)), sum=total)

        return kinds.TotalTransactions6(
            ttl_ntries=sums(kinds.NumberAndSumOfTransactions4, moved),
            ttl_cdt_ntries=sums(kinds.NumberAndSumOfTransactions1, sides[0]),
            ttl_dbt_ntries=sums(kinds.NumberAndSumOfTransactions1, sides[1]),
        )

    def _entry(self, line: StatementLine) -> Any:
        kinds, moved = self.camt, _moved(line)
        return kinds.ReportEntry10(
            amt=self._amount(moved),
            cdt_dbt_ind=self._side(moved),
            rvsl_ind=True if line.is_reversal else None,
            sts=kinds.EntryStatus1Choice(cd="BOOK"),
            bookg_dt=self._booked(line),
            val_dt=self._day(line.value_on) if line.value_on else None,
            acct_svcr_ref=_short(line.reference) or None,
            bk_tx_cd=kinds.BankTransactionCodeStructure4(
                prtry=kinds.ProprietaryBankTransactionCodeStructure1(
                    cd=line.kind.value.upper(), issr=OUR_CODES
                )
            ),
            chrgs=self._charges(line),
            ntry_dtls=[kinds.EntryDetails9(tx_dtls=[self._detail(line)])],
        )

    def _booked(self, line: StatementLine) -> Any:
        at = line.booked_at
        if at is None or business_date(at, self.zone) != line.booked_on:
            return self._day(line.booked_on)
        return self.camt.DateAndDateTime2Choice(dt_tm=self.instant(at))

    def _charges(self, line: StatementLine) -> Any:
        if line.fee_minor is None:
            return None
        record = self.camt.ChargesRecord3(
            amt=self._amount(line.fee_minor),
            cdt_dbt_ind=self._side(-line.fee_minor),
            chrg_incl_ind=True,
        )
        return self.camt.Charges6(rcrd=[record])

    def _detail(self, line: StatementLine) -> Any:
        kinds = self.camt
        party = None
        if line.counterparty:
            name = kinds.PartyIdentification135(nm=line.counterparty[:_LONGEST_NAME])
            side = "dbtr" if line.amount_minor >= 0 else "cdtr"
            party = kinds.TransactionParties6(**{side: kinds.Party40Choice(pty=name)})
        texts = [
            line.text[start : start + _LONGEST_TEXT]
            for start in range(0, len(line.text), _LONGEST_TEXT)
        ]
        return kinds.EntryTransaction10(
            refs=kinds.TransactionReferences6(
                end_to_end_id=_short(line.our_number) or "NOTPROVIDED"
            ),
            amt_dtls=kinds.AmountAndCurrencyExchange3(
                instd_amt=kinds.AmountAndCurrencyExchangeDetails3(
                    amt=self._amount(line.amount_minor)
                )
            ),
            rltd_pties=party,
            rmt_inf=kinds.RemittanceInformation16(ustrd=texts) if texts else None,
        )


def _moved(line: StatementLine) -> int:
    return line.amount_minor - (line.fee_minor or 0)


def _short(number: str) -> str:
    """Return a number of at most 35 characters; one that is longer is not cut, but refused."""
    if len(number) > _LONGEST_ID:
        raise StatementFieldIsMalformed(line=1, field="Max35Text", found=number[:40])
    return number
