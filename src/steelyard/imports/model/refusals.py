"""The expected ways in which a source cannot be taken over."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class ImportFileMissing(Refusal):
    """A file that the source must have is not there.

    Facts: `file` (the names looked for) and, where a folder was read, `folder`.
    """

    kind = RefusalKind.NOT_FOUND
    en = "The source has no file {file}."
    zh = "数据源缺少文件 {file}。"


class ImportRowMalformed(Refusal):
    """A row cannot be read as what its column promises; nothing of the source was taken.

    Facts: `file`, `line` (1 is the heading), `column`, `reason` and `reason_zh`, and `value` where
    showing it gives away nothing about a person.
    """

    kind = RefusalKind.INVALID
    en = "{file}, line {line}, column {column}: {reason}."
    zh = "{file} 第 {line} 行 {column} 列：{reason_zh}。"


class BankIsReplayedOtherwise(Refusal):
    """The books of the replay were made from another bank, or with other repayments.

    Facts: `book`.
    """

    kind = RefusalKind.CONFLICT
    en = "Book {book} stands there from another replay: other loans, repayments or seed."
    zh = "账簿 {book} 已由另一次重放建立：贷款、还款期数或种子不同。"
