"""How classification, provisioning, portfolio and what-if say no."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class BucketsAreInvalid(Refusal):
    """Steps of days past due have to begin at one and rise."""

    kind = RefusalKind.INVALID
    en = "The buckets {edges} do not begin at day 1 and rise."
    zh = "逾期分档 {edges} 须自第 1 天起递增。"


class MatrixIsInvalid(Refusal):
    """A migration matrix is square, and each row is a distribution."""

    kind = RefusalKind.INVALID
    en = "The migration matrix is invalid: {why}."
    zh = "迁徙矩阵无效：{why}。"


class ScenariosAreInvalid(Refusal):
    """Weights of scenarios add up to one."""

    kind = RefusalKind.INVALID
    en = "The scenarios are invalid: {why}."
    zh = "情景设定无效：{why}。"


class LossInputIsInvalid(Refusal):
    """A probability or a loss share lies between nothing and all, and lengths agree."""

    kind = RefusalKind.INVALID
    en = "An expected loss cannot be made of {field}: {why}."
    zh = "无法以 {field} 计算预期损失：{why}。"


class BookIsEmpty(Refusal):
    """There is no loan to tell anything about."""

    kind = RefusalKind.NOT_FOUND
    en = "A portfolio report needs {what}: there are none."
    zh = "没有可用于组合报告的{what}。"


class ParametersAreUnknown(Refusal):
    """No risk parameters with this version were estimated."""

    kind = RefusalKind.NOT_FOUND
    en = "There are no risk parameters with version {version}."
    zh = "不存在版本为 {version} 的风险参数。"


class HistoryIsTooShort(Refusal):
    """Nothing can be estimated from what is there."""

    kind = RefusalKind.CONFLICT
    en = "The history holds {found} {what}; at least {least} are needed."
    zh = "历史中仅有 {found} 个{what}，至少需要 {least} 个。"


class StrategyIsInvalid(Refusal):
    """A strategy to try has a figure that cannot be."""

    kind = RefusalKind.INVALID
    en = "The strategy cannot have {field} = {value}: {why}."
    zh = "策略参数 {field} = {value} 无效：{why}。"


class CurrencyIsNotNamed(Refusal):
    """Loans of several currencies are not added up."""

    kind = RefusalKind.INVALID
    en = "The book has loans in {currencies}: name the currency to look at."
    zh = "账簿中有 {currencies} 多种货币的贷款：请指明要查看的货币。"
