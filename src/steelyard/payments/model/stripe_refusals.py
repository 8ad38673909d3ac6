"""What the Stripe-compatible API refuses by itself; everything else is refused by the core."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class FacadeParameterIsWrong(Refusal):
    """A parameter is missing, unknown, or not what it has to be."""

    kind = RefusalKind.INVALID
    en = "The parameter {param} is wrong: {what}."
    zh = "参数 {param} 有误：{what}。"


class FacadeObjectIsUnknown(Refusal):
    """Nothing of the kind has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "No such {noun}: '{id}' (parameter {param})."
    zh = "{noun} 不存在：'{id}'（参数 {param}）。"


class FacadeStateForbids(Refusal):
    """The verb does not go with the status."""

    kind = RefusalKind.CONFLICT
    en = "You cannot {verb} this {noun} because it has a status of {status}."
    zh = "该 {noun} 的状态为 {status}，不能执行 {verb}。"


class CardNumbersAreNotTaken(Refusal):
    """Card numbers are taken where no money is real, and nowhere else."""

    kind = RefusalKind.INVALID
    en = "Card numbers and test tokens ({param}) are taken in the sandbox only; send a token."
    zh = "卡号与测试令牌（{param}）仅可在沙箱使用，请传入令牌。"


class FacadeAccountIsMissing(Refusal):
    """The key is no merchant's, and the request names none."""

    kind = RefusalKind.INVALID
    en = "This key is no merchant's: name one in the header Stripe-Account (acct_...)."
    zh = "该密钥不属于任何商户，请在 Stripe-Account 头中指明商户（acct_...）。"
