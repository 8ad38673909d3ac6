"""The refusals of the log of facts."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class ConsumerNotFound(Refusal):
    """No consumer of this name and version ever ran on this database."""

    kind = RefusalKind.NOT_FOUND
    en = "No consumer {name}@{version} has run on this database."
    zh = "数据库中没有运行过消费者 {name}@{version}。"


class ConsumerIsRunning(Refusal):
    """A process holds the consumer's lease, so it cannot be retired."""

    kind = RefusalKind.CONFLICT
    en = "A process runs the consumer {name}@{version}; stop it first."
    zh = "消费者 {name}@{version} 正在运行，请先停止。"


class DeadLetterNotFound(Refusal):
    """No dead letter has this id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no dead letter {letter}."
    zh = "死信 {letter} 不存在。"


class DeadLetterIsSettled(Refusal):
    """The dead letter was replayed or discarded already, or is being replayed."""

    kind = RefusalKind.CONFLICT
    en = "The dead letter {letter} is {state} already."
    zh = "死信 {letter} 已处理（{state}）。"


class DayIsNotClosed(Refusal):
    """The day may still receive facts, so its file would not be complete."""

    kind = RefusalKind.CONFLICT
    en = "The day {on} is not closed: {why}."
    zh = "{on} 尚未关账，不能导出：{why}。"


class ExportIsRunning(Refusal):
    """Another process writes into the same folder."""

    kind = RefusalKind.CONFLICT
    en = "Another export is writing into {folder}."
    zh = "另一个导出任务正在写入 {folder}。"


class ColumnsExtraIsMissing(Refusal):
    """Parquet needs pyarrow, which the extra `columns` installs."""

    kind = RefusalKind.UNAVAILABLE
    en = "Export to Parquet needs the extra: pip install 'steelyard[columns]'."
    zh = "导出 Parquet 需要安装附加组件：pip install 'steelyard[columns]'。"


class TooManyFollowers(Refusal):
    """The process follows the log for as many clients as it can."""

    kind = RefusalKind.UNAVAILABLE
    en = "This server streams to {limit} clients already; try again later."
    zh = "本服务器的事件流连接已达上限 {limit}，请稍后再试。"


class FollowerIsTooSlow(Refusal):
    """A client that follows the log did not read as fast as facts came."""

    kind = RefusalKind.TOO_MANY
    en = "The stream was cut off: {waiting} facts were waiting. Go on from the last id received."
    zh = "事件流已中断：积压 {waiting} 条未读。请从最后收到的 id 继续。"
