"""What can be refused about merchants, their apps and the accounts they are paid to."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class MerchantApplicationIsUnknown(Refusal):
    """No application of a merchant has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no merchant application {application}."
    zh = "商户入网申请 {application} 不存在。"


class MerchantApplicationIsMalformed(Refusal):
    """What was told cannot be."""

    kind = RefusalKind.INVALID
    en = "The application cannot be: {reason}."
    zh = "入网申请无效：{reason}。"


class ApplicationIsUnderReview(Refusal):
    """The merchant applied before, and nobody has ruled yet."""

    kind = RefusalKind.CONFLICT
    en = "Application {application} of the merchant is under review."
    zh = "该商户的申请 {application} 正在审核。"


class ApplicationIsRuled(Refusal):
    """It was decided before."""

    kind = RefusalKind.CONFLICT
    en = "Application {application} is {state}."
    zh = "申请 {application} 的状态为 {state}。"


class RulerApplied(Refusal):
    """Who entered an application does not rule on it."""

    kind = RefusalKind.FORBIDDEN
    en = "You entered application {application}; somebody else rules on it."
    zh = "申请 {application} 由您提交，须由他人审核。"


class RulingContradictsItself(Refusal):
    """An application that was a fraud is not approved."""

    kind = RefusalKind.INVALID
    en = "An application is either approved or a fraud."
    zh = "申请不能既准入又认定为欺诈。"


class RulingNeedsAPerson(Refusal):
    """A machine does not overrule what was put before people."""

    kind = RefusalKind.FORBIDDEN
    en = "A member of staff rules on application {application}, not {actor}."
    zh = "申请 {application} 须由工作人员审核，{actor} 不可。"


class MerchantHasAContract(Refusal):
    """Merchants apply once; a contract is changed, not made anew."""

    kind = RefusalKind.CONFLICT
    en = "Merchant {merchant} has a contract that is {state}."
    zh = "商户 {merchant} 已有合同，状态为 {state}。"


class MerchantStateForbids(Refusal):
    """The verb does not go with the state of the contract."""

    kind = RefusalKind.CONFLICT
    en = "The contract of merchant {merchant} is {state}: it cannot be {verb}."
    zh = "商户 {merchant} 的合同状态为 {state}，不能执行 {verb}。"


class MerchantHasOpenPayments(Refusal):
    """Money may still come for it."""

    kind = RefusalKind.CONFLICT
    en = "Merchant {merchant} has {count} payments that are not over."
    zh = "商户 {merchant} 还有 {count} 笔未完结的支付。"


class ContractIsMalformed(Refusal):
    """The contract says something that cannot be, or that nobody reads."""

    kind = RefusalKind.INVALID
    en = "The contract's {name} cannot be {value}."
    zh = "合同条款 {name} 不能为 {value}。"


class RiskNoteIsMalformed(Refusal):
    """What monitoring saw is not told in codes."""

    kind = RefusalKind.INVALID
    en = "A risk note has a code of small letters, a source `noun:id` and a weight of 0 to 100."
    zh = "风险记录须有小写代码、形如 noun:id 的来源，以及 0 到 100 的权重。"


class AppIsUnknown(Refusal):
    """No app has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no app {app}."
    zh = "应用 {app} 不存在。"


class AppIsClosed(Refusal):
    """Nothing is done with a closed app any more."""

    kind = RefusalKind.CONFLICT
    en = "The app {app} is closed."
    zh = "应用 {app} 已关闭。"


class AppKeyIsUnknown(Refusal):
    """The app has no such key."""

    kind = RefusalKind.NOT_FOUND
    en = "The app {app} has no key {key}."
    zh = "应用 {app} 没有密钥 {key}。"


class EntitlementIsNotForApps(Refusal):
    """A merchant's program does a merchant's business and no other."""

    kind = RefusalKind.INVALID
    en = "An app is not given {entitlement}; it may have: {known}."
    zh = "应用不能获得 {entitlement}；可授予：{known}。"


class SettlementAccountIsUnknown(Refusal):
    """No settlement account has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no settlement account {account}."
    zh = "结算账户 {account} 不存在。"


class SettlementAccountIsMalformed(Refusal):
    """The account cannot be."""

    kind = RefusalKind.INVALID
    en = "The settlement account cannot be: {reason}."
    zh = "结算账户无效：{reason}。"


class SettlementAccountIsNotTheirs(Refusal):
    """Merchants are paid to accounts in their own name only (人民银行令〔2021〕第1号)."""

    kind = RefusalKind.INVALID
    en = "The settlement account is not in the registered name of merchant {merchant}."
    zh = "结算账户户名与商户 {merchant} 的注册名称不一致。"


class SettlementAccountStateForbids(Refusal):
    """The verb does not go with the state of the account."""

    kind = RefusalKind.CONFLICT
    en = "Settlement account {account} is {state}: it cannot be {verb}."
    zh = "结算账户 {account} 的状态为 {state}，不能执行 {verb}。"


class VerifierProposed(Refusal):
    """Who proposed an account does not verify it."""

    kind = RefusalKind.FORBIDDEN
    en = "You proposed settlement account {account}; somebody else verifies it."
    zh = "结算账户 {account} 由您提交，须由他人核验。"
