"""Why a loan is not what somebody wants it to be."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class LoanIsUnknown(Refusal):
    """No loan has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no loan {loan}."
    zh = "贷款 {loan} 不存在。"


class LoanIsClosed(Refusal):
    """Nothing is owed on it any more."""

    kind = RefusalKind.CONFLICT
    en = "Loan {loan} is {present}: {act} is not possible any more."
    zh = "贷款 {loan} 当前状态为 {present}，不能再执行 {act}。"


class LoanStateForbids(Refusal):
    """The state of the loan is against it."""

    kind = RefusalKind.CONFLICT
    en = "Loan {loan} is {present}: {act} is not possible now."
    zh = "贷款 {loan} 当前状态为 {present}，不能执行 {act}。"


class LoanHasChanged(Refusal):
    """Something happened to it since it was looked at."""

    kind = RefusalKind.CONFLICT
    en = "Loan {loan} is at version {present}, not {asked}: look at it again."
    zh = "贷款 {loan} 已变更为第 {present} 版（请求基于第 {asked} 版），请重新查看。"


class LoanBeginsLater(Refusal):
    """It is not paid out before the day on which its terms begin."""

    kind = RefusalKind.CONFLICT
    en = "Loan {loan} begins on {start_on}; the business date is {business_on}."
    zh = "贷款 {loan} 起息日为 {start_on}，当前业务日期为 {business_on}。"


class ValueDateIsOutOfRange(Refusal):
    """A value date lies between the beginning of the loan and the business date."""

    kind = RefusalKind.INVALID
    en = "The value date {asked} does not lie between {first_on} and {last_on}."
    zh = "起息日 {asked} 不在 {first_on} 至 {last_on} 之间。"


class AmountIsNotPositive(Refusal):
    """Money moves in amounts over zero."""

    kind = RefusalKind.INVALID
    en = "The amount {amount_minor} is not over zero."
    zh = "金额 {amount_minor} 必须大于零。"


class RefundExceedsCredit(Refusal):
    """There is not so much of a credit balance."""

    kind = RefusalKind.CONFLICT
    en = "The credit balance of loan {loan} is {credit_minor} minor units; {asked_minor} was asked."
    zh = "贷款 {loan} 溢缴款余额为 {credit_minor}（最小货币单位），申请退还 {asked_minor}。"


class WaiverExceedsDue(Refusal):
    """No more is waived than is due."""

    kind = RefusalKind.CONFLICT
    en = "Less is due on loan {loan} than would be waived: {why}."
    zh = "贷款 {loan} 的减免金额超过应收：{why}。"


class ChangeDoesNotFit(Refusal):
    """The change cannot happen to this loan on its date."""

    kind = RefusalKind.CONFLICT
    en = "The change does not fit loan {loan}: {why}."
    zh = "该变更不适用于贷款 {loan}：{why}。"


class EventIsUnknown(Refusal):
    """The loan has no event with the number that could be reversed."""

    kind = RefusalKind.NOT_FOUND
    en = "Loan {loan} has no event {of} that could be reversed."
    zh = "贷款 {loan} 没有可冲正的事件 {of}。"


class EventIsReversed(Refusal):
    """The event was reversed before."""

    kind = RefusalKind.CONFLICT
    en = "Event {of} of loan {loan} was reversed before."
    zh = "贷款 {loan} 的事件 {of} 已冲正。"


class CoolingOffIsOver(Refusal):
    """The days in which a customer may step back are over, or there were none."""

    kind = RefusalKind.CONFLICT
    en = "The cooling-off of loan {loan} ended on {until}."
    zh = "贷款 {loan} 的犹豫期已于 {until} 结束。"


class LoanIsJoint(Refusal):
    """Others funded it too; we cannot do this alone."""

    kind = RefusalKind.CONFLICT
    en = "Loan {loan} was funded with {partners}: {act} takes their consent."
    zh = "贷款 {loan} 为与 {partners} 的联合贷，{act} 须经其同意。"


class CreditBalanceStands(Refusal):
    """The customer's over-payment is given back first."""

    kind = RefusalKind.CONFLICT
    en = "Loan {loan} has a credit balance of {credit_minor} minor units: refund it first."
    zh = "贷款 {loan} 有溢缴款 {credit_minor}（最小货币单位），请先退还。"


class LenderIsUnknown(Refusal):
    """No lender's book was opened for the currency."""

    kind = RefusalKind.NOT_FOUND
    en = "No lender's book was opened for {currency}."
    zh = "尚未开立 {currency} 的贷款人账簿。"


class LenderExists(Refusal):
    """Loans of the currency stand in another book."""

    kind = RefusalKind.CONFLICT
    en = "Loans in {currency} stand in the book {book}, beside wallets in {wallets_book}."
    zh = "{currency} 贷款已记入账簿 {book}，对应钱包账簿为 {wallets_book}。"


class WalletIsOutOfReach(Refusal):
    """The lender has no balance at the book of the wallet."""

    kind = RefusalKind.INVALID
    en = "The lender cannot pay into the book {wallet_book}; it can into {wallets_book}."
    zh = "贷款人不能向账簿 {wallet_book} 付款，只能向 {wallets_book} 付款。"


class WalletIsEmpty(Refusal):
    """A debit takes what is there, but not nothing."""

    kind = RefusalKind.CONFLICT
    en = "The wallet of loan {loan} has nothing that could be taken."
    zh = "贷款 {loan} 的钱包无可扣余额。"
