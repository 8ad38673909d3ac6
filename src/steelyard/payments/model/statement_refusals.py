"""Why a statement file is not taken; each names the line at which a person finds the reason."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class FileIsNoStatement(Refusal):
    """The file is something else.

    Facts: `line`, `what_en` and `what_zh`: what it is, where that can be told.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: the file is no statement but {what_en} ({what_zh})."
    zh = "第 {line} 行：该文件不是对账单：{what_zh}（{what_en}）。"


class StatementFileIsTooLarge(Refusal):
    """The file, or what would come out of it, is larger than is read at once.

    Facts: `line`, `most_mib`.
    """

    kind = RefusalKind.TOO_LARGE
    en = "Line {line}: the file holds more than {most_mib} MiB, or is packed too densely."
    zh = "第 {line} 行：文件内容超过 {most_mib} MiB，或压缩比过高。"


class StatementArchiveIsBroken(Refusal):
    """The archive cannot be opened: damaged, locked, nested or with too many files.

    Facts: `line`, `found`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: the archive cannot be opened ({found})."
    zh = "第 {line} 行：压缩包无法打开（{found}）。"


class StatementIsCutOff(Refusal):
    """The file ends before its statement does.

    Facts: `line`, `missing`: what should have come.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: the file ends before {missing}."
    zh = "第 {line} 行：文件在 {missing} 之前中断。"


class StatementEncodingIsWrong(Refusal):
    """A byte is no text in the encoding that the rest of the file is written in.

    Facts: `line`, `encoding`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: this is not text in {encoding}."
    zh = "第 {line} 行：不是 {encoding} 编码的文本。"


class StatementFieldIsMalformed(Refusal):
    """A field does not read as what it must be.

    Facts: `line`, `field`, `found`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: {found!r} cannot be read as {field}."
    zh = "第 {line} 行：无法将 {found!r} 读作 {field}。"


class StatementLacks(Refusal):
    """Something that every statement of this form has is not there.

    Facts: `line`, `missing`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: the statement has no {missing}."
    zh = "第 {line} 行：对账单缺少 {missing}。"


class StatementIsUnsafe(Refusal):
    """The XML declares a document type, entities or a depth that no statement needs.

    Facts: `line`, `found`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: a statement has no {found}; the file is not opened further."
    zh = "第 {line} 行：对账单不应含有 {found}，文件不再继续读取。"


class StatementAmountIsTooFine(Refusal):
    """An amount has a part below the minor unit; rounding it would break the sums.

    Facts: `line`, `amount`, `currency`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: {amount} is finer than {currency} is counted."
    zh = "第 {line} 行：{amount} 小于 {currency} 的最小单位。"


class StatementCurrencyIsUnknown(Refusal):
    """A currency that is in no table.

    Facts: `line`, `currency`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: {currency} is not a currency."
    zh = "第 {line} 行：{currency} 不是货币代码。"


class StatementCurrenciesDiffer(Refusal):
    """A booking is in another currency than the account.

    Facts: `line`, `currency`, `found`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: the account is kept in {currency}, the booking is in {found}."
    zh = "第 {line} 行：账户币种为 {currency}，而该笔为 {found}。"


class StatementDoesNotAddUp(Refusal):
    """Opening balance and movements do not make the closing balance.

    Facts: `line`, `opening`, `movements`, `closing`, `currency`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: {opening} and movements of {movements} do not make {closing} {currency}."
    zh = "第 {line} 行：期初 {opening} 加发生额 {movements} 不等于期末 {closing}（{currency}）。"


class StatementTotalsDiffer(Refusal):
    """A control total of the file is not what its lines add up to.

    Facts: `line`, `total`, `stated`, `counted`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: the file states {total} {stated}, its lines make {counted}."
    zh = "第 {line} 行：文件声明 {total} 为 {stated}，逐行合计为 {counted}。"


class StatementPageIsMissing(Refusal):
    """A page opens with another balance than the page before it closed with.

    Facts: `line`, `opening`, `closing`, `currency`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: the page opens with {opening} {currency}, the one before ends at {closing}."
    zh = "第 {line} 行：本页期初为 {opening} {currency}，而上一页期末为 {closing}。"


class StatementSealIsBroken(Refusal):
    """The file's own hash or signature does not belong to what stands before it.

    Facts: `line`, `seal`.
    """

    kind = RefusalKind.INVALID
    en = "Line {line}: {seal} does not belong to the lines above it."
    zh = "第 {line} 行：{seal} 与上文内容不符。"
