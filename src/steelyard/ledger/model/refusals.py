"""The answers of a batch as refusals, for callers who post one thing and want it or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from steelyard.kernel import Refusal, RefusalKind
from steelyard.ledger.model.transfers import Answer, Outcome


class IdConflict(Refusal):
    """The id stands for another transfer."""

    kind = RefusalKind.CONFLICT
    en = "The id {id} was used for another transfer."
    zh = "编号 {id} 已用于另一笔记账。"


class Stale(Refusal):
    """What the item consumes was consumed or has changed."""

    kind = RefusalKind.CONFLICT
    en = "What transfer {id} rests on was used or has changed: {about}."
    zh = "记账 {id} 所依据的内容已被使用或已变更：{about}。"


class Invalid(Refusal):
    """The transfer cannot be meant."""

    kind = RefusalKind.INVALID
    en = "The transfer {id} is not well formed: {about}."
    zh = "记账 {id} 的字段有误：{about}。"


class PersonalData(Refusal):
    """Metadata that looks like personal data."""

    kind = RefusalKind.INVALID
    en = "The metadata field {about} looks like personal data; write a reference instead."
    zh = "元数据字段 {about} 疑似个人信息，请改为引用编号。"


class LinkIsOpen(Refusal):
    """The batch ends within a linked chain."""

    kind = RefusalKind.INVALID
    en = "The batch ends within a linked chain; the last transfer of a chain is not linked."
    zh = "批次在联动链中间结束；联动链的最后一笔不应再标记联动。"


class BookNotFound(Refusal):
    """There is no such book."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no book {about}."
    zh = "账簿 {about} 不存在。"


class AccountNotFound(Refusal):
    """There is no such account in the book."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no account {about} in the book."
    zh = "账簿中没有账户 {about}。"


class AccountClosed(Refusal):
    """The account is closed."""

    kind = RefusalKind.CONFLICT
    en = "The account {about} is closed."
    zh = "账户 {about} 已销户。"


class CurrencyMismatch(Refusal):
    """The account is kept in another currency."""

    kind = RefusalKind.INVALID
    en = "The account {about} is kept in another currency than the transfer."
    zh = "账户 {about} 的币种与记账币种不一致。"


class PendingNotFound(Refusal):
    """There is no such hold."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no hold {about}."
    zh = "冻结 {about} 不存在。"


class PendingDiffers(Refusal):
    """The resolution names other accounts or another currency than its hold."""

    kind = RefusalKind.INVALID
    en = "The hold is not about {about}."
    zh = "该冻结与 {about} 不符。"


class PendingResolved(Refusal):
    """The hold was posted or voided before."""

    kind = RefusalKind.CONFLICT
    en = "The hold {about} was posted or voided before."
    zh = "冻结 {about} 已入账或已解冻。"


class PendingExpired(Refusal):
    """The hold has expired."""

    kind = RefusalKind.CONFLICT
    en = "The hold {about} has expired."
    zh = "冻结 {about} 已过期。"


class ExceedsPending(Refusal):
    """More would be posted than is held."""

    kind = RefusalKind.CONFLICT
    en = "More would be posted than the {about} minor units that are held."
    zh = "入账金额超过冻结金额 {about}（最小货币单位）。"


class OriginalNotFound(Refusal):
    """There is no such transfer to reverse."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no transfer {about} that could be reversed."
    zh = "没有可冲正的记账 {about}。"


class AlreadyReversed(Refusal):
    """The transfer was reversed before."""

    kind = RefusalKind.CONFLICT
    en = "The transfer {about} was reversed before."
    zh = "记账 {about} 已冲正。"


class ExceedsDebitLimit(Refusal):
    """The account does not have the amount to give."""

    kind = RefusalKind.CONFLICT
    en = "The account {about} has not that much left."
    zh = "账户 {about} 可用余额不足。"


class ExceedsCreditLimit(Refusal):
    """The account may not take the amount."""

    kind = RefusalKind.CONFLICT
    en = "The account {about} may not take that much."
    zh = "账户 {about} 超过贷方限额。"


class CounterOverflow(Refusal):
    """The sums of the account would pass what a counter holds."""

    kind = RefusalKind.CONFLICT
    en = "The account has moved more than can be counted; open another one."
    zh = "账户累计发生额超出计数上限，请另开账户。"


class PeriodClosed(Refusal):
    """The value date lies in a closed period."""

    kind = RefusalKind.CONFLICT
    en = "The period of {about} is closed; post into the open one."
    zh = "{about} 所在会计期间已结账，请记入未结期间。"


class MirrorUnmatched(Refusal):
    """A movement to another book without its other half."""

    kind = RefusalKind.INVALID
    en = "The account {about} faces another book; the same chain must match it there."
    zh = "账户 {about} 为跨账簿对应户，同一联动链须在对方账簿等额记账。"


class LinkedFailed(Refusal):
    """Another transfer of the chain was refused."""

    kind = RefusalKind.CONFLICT
    en = "Another transfer of the linked chain was refused."
    zh = "同一联动链中的另一笔记账被拒绝。"


class EntryDoesNotBalance(Refusal):
    """The debits of an entry are not its credits."""

    kind = RefusalKind.INVALID
    en = "The entry debits {debits} and credits {credits} minor units; they must be equal."
    zh = "分录借方合计 {debits}，贷方合计 {credits}（最小货币单位），两者必须相等。"


class BookExists(Refusal):
    """The book was opened before, otherwise."""

    kind = RefusalKind.CONFLICT
    en = "The book {book} exists with other terms."
    zh = "账簿 {book} 已存在且设置不同。"


class BookIsMalformed(Refusal):
    """The book cannot be opened as it stands."""

    kind = RefusalKind.INVALID
    en = "A book cannot be opened with {field} = {value}."
    zh = "无法以 {field} = {value} 开立账簿。"


class AccountExists(Refusal):
    """The code stands for an account with other terms."""

    kind = RefusalKind.CONFLICT
    en = "The account {code} exists in {book} with other terms."
    zh = "账户 {code} 在账簿 {book} 中已存在且设置不同。"


class AccountIsMalformed(Refusal):
    """The account cannot be opened as it stands."""

    kind = RefusalKind.INVALID
    en = "The account {code} cannot be opened: {field}."
    zh = "账户 {code} 无法开立：{field}。"


class ClientFundsCannotBeEarned(Refusal):
    """A book of client funds knows assets and liabilities only."""

    kind = RefusalKind.INVALID
    en = "{book} keeps client funds: the account {code} may be an asset or a liability only."
    zh = "{book} 为备付金账簿，账户 {code} 只能是资产类或负债类。"


class AccountIsNotEmpty(Refusal):
    """An account is closed at zero, with nothing held."""

    kind = RefusalKind.CONFLICT
    en = "The account {account} has a balance or holds; it can be closed at zero only."
    zh = "账户 {account} 仍有余额或冻结，余额为零方可销户。"


class LimitBelowUse(Refusal):
    """A limit cannot be set below what is used."""

    kind = RefusalKind.CONFLICT
    en = "The {side} limit of account {account} cannot be under the {used} in use."
    zh = "账户 {account} 的{side}限额不能低于已使用的 {used}。"


class DatesDoNotGoBack(Refusal):
    """Business dates and closed periods move forward only."""

    kind = RefusalKind.CONFLICT
    en = "{book} stands at {present}; it does not go back to {asked}."
    zh = "账簿 {book} 的业务日期为 {present}，不能倒退到 {asked}。"


class DateIsOutOfRange(Refusal):
    """The date is no business date of this age."""

    kind = RefusalKind.INVALID
    en = "{asked} cannot be a business date: the years 1900 to 2199 can."
    zh = "{asked} 不能作为业务日期，年份须在 1900 至 2199 之间。"


class PeriodIsNotOver(Refusal):
    """A period that holds the business date cannot be closed."""

    kind = RefusalKind.CONFLICT
    en = "The business date of {book} is {present}: a period is closed up to the day before."
    zh = "账簿 {book} 的业务日期为 {present}，只能结账到前一日。"


class LedgerIsBusy(Refusal):
    """The queue is full: nothing was done."""

    kind = RefusalKind.UNAVAILABLE
    en = "The ledger is busy; nothing was posted, try again."
    zh = "账务系统繁忙，本次未记账，请稍后重试。"


class PostingIsUnknown(Refusal):
    """The database went away: the transfer may stand or not."""

    kind = RefusalKind.UNAVAILABLE
    en = "It is not known whether the transfer was recorded; send it again with the same id."
    zh = "记账结果未知，请以相同编号重新提交。"


REFUSALS: Mapping[Outcome, type[Refusal]] = MappingProxyType(
    {
        outcome: kind
        for kind in Refusal.__subclasses__()
        if kind.__module__ == __name__
        for outcome in Outcome
        if outcome.value == kind.code
    }
)
"""The refusal of each outcome that is not accepted."""


def accepted(answers: Sequence[Answer]) -> Sequence[Answer]:
    """Return the answers when all are accepted, otherwise raise the refusal behind the first no.

    Refusals
    --------
    Any of `REFUSALS`; of a failed chain, that of the transfer at fault.
    """
    refused = [answer for answer in answers if not answer.outcome.is_accepted]
    if not refused:
        return answers
    fault = next((a for a in refused if a.outcome is not Outcome.LINKED_FAILED), refused[0])
    raise REFUSALS[fault.outcome](id=str(fault.id), about=fault.about)
