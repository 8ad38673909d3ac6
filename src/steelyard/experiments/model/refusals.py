"""The refusals of the experiments."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class ExperimentIsUnknown(Refusal):
    """No experiment has the name, or it has no such version."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no experiment {name} of version {version}."
    zh = "实验 {name} 的版本 {version} 不存在。"


class ExperimentIsMalformed(Refusal):
    """A part of the draft does not have its form."""

    kind = RefusalKind.INVALID
    en = "The experiment is malformed: {what}."
    zh = "实验定义有误：{what}。"


class ArmsAreWrong(Refusal):
    """There is nothing to compare, or too much, or the same twice."""

    kind = RefusalKind.INVALID
    en = "An experiment has 2 to {most} arms of different names."
    zh = "实验须有 2 至 {most} 个名称不同的分组。"


class WeightsDoNotAddUp(Refusal):
    """The shares of the arms are not the whole."""

    kind = RefusalKind.INVALID
    en = "The weights are positive and add up to 10,000 basis points, not to {total}."
    zh = "各组权重须为正且合计 10000 基点，当前为 {total}。"


class ExperimentIsNotDraft(Refusal):
    """Only a draft is started."""

    kind = RefusalKind.CONFLICT
    en = "Version {version} of experiment {name} is {state}; only a draft is started."
    zh = "实验 {name} 版本 {version} 的状态为 {state}，仅草稿可启动。"


class ExperimentIsNotRunning(Refusal):
    """It was not started, or it was stopped."""

    kind = RefusalKind.CONFLICT
    en = "Version {version} of experiment {name} is {state}, not running."
    zh = "实验 {name} 版本 {version} 的状态为 {state}，未在运行。"


class ExperimentIsOver(Refusal):
    """Its end has passed."""

    kind = RefusalKind.CONFLICT
    en = "The end of version {version} of experiment {name} has passed."
    zh = "实验 {name} 版本 {version} 的结束时间已过。"


class SlotsAreTaken(Refusal):
    """Another experiment of the layer runs on some of the slots."""

    kind = RefusalKind.CONFLICT
    en = "Experiment {other} runs on some of these slots of layer {layer}."
    zh = "层 {layer} 的部分流量槽位已被实验 {other} 占用。"


class MetricIsUnknown(Refusal):
    """The experiment does not measure that."""

    kind = RefusalKind.INVALID
    en = "Version {version} of experiment {name} has no metric {metric}."
    zh = "实验 {name} 版本 {version} 没有指标 {metric}。"


class OutcomeIsWrong(Refusal):
    """An outcome does not fit its metric."""

    kind = RefusalKind.INVALID
    en = "{outcome} is not an outcome of metric {metric}."
    zh = "{outcome} 不是指标 {metric} 的合法取值。"


class UnitIsMalformed(Refusal):
    """A unit is named by an id, not by a text or a person's data."""

    kind = RefusalKind.INVALID
    en = "{unit} is not the id of a unit."
    zh = "{unit} 不是合法的实验单元编号。"
