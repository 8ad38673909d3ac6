"""What can be refused about files of debits."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class DebitBatchIsUnknown(Refusal):
    """No file of debits has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no file of debits {batch}."
    zh = "代扣批次 {batch} 不存在。"


class DebitFileWasSeen(Refusal):
    """The same bytes were uploaded before."""

    kind = RefusalKind.CONFLICT
    en = "This file was uploaded before, as {batch}."
    zh = "该文件已上传过，批次为 {batch}。"


class DebitFileIsMalformed(Refusal):
    """It is no file of debits."""

    kind = RefusalKind.INVALID
    en = "Line {line} is not that of a file of debits: {reason}."
    zh = "第 {line} 行不符合代扣文件格式：{reason}。"


class DebitFileIsTooLarge(Refusal):
    """A file holds so many bytes or rows."""

    kind = RefusalKind.TOO_LARGE
    en = "A file of debits has at most {most}; this one has {found}."
    zh = "代扣文件上限为 {most}，本文件为 {found}。"


class DebitBatchStateForbids(Refusal):
    """The verb does not go with the state."""

    kind = RefusalKind.CONFLICT
    en = "The file of debits {batch} is {state}: it cannot be done: {verb}."
    zh = "代扣批次 {batch} 的状态为 {state}，不能执行 {verb}。"


class DebitResultIsMalformed(Refusal):
    """It is no file of results."""

    kind = RefusalKind.INVALID
    en = "Line {line} is not that of a file of results: {reason}."
    zh = "第 {line} 行不符合代扣结果文件格式：{reason}。"
