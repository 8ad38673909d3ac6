"""What a file is that is no statement, as far as its first bytes tell."""

from __future__ import annotations

import re
from typing import Final

from steelyard.payments.model.statement_refusals import FileIsNoStatement

_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "an image (PNG)", "图片（PNG）"),
    (b"\xff\xd8\xff", "an image (JPEG)", "图片（JPEG）"),
    (b"GIF8", "an image (GIF)", "图片（GIF）"),
    (b"BM", "an image (BMP)", "图片（BMP）"),
    (b"%PDF", "a PDF document", "PDF 文档"),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "旧版 Office 文档"),
    (b"Rar!", "a RAR archive", "RAR 压缩包"),
    (b"7z\xbc\xaf", "a 7z archive", "7z 压缩包"),
    (b"SQLite format 3", "a SQLite database", "SQLite 数据库"),
)
_MESSAGES: Final = {
    "pain.001": ("a payment order (pain.001)", "付款指令（pain.001）"),
    "pain.002": ("a payment status report (pain.002)", "付款状态报告（pain.002）"),
    "pain.007": ("a payment reversal (pain.007)", "付款冲正（pain.007）"),
    "pain.008": ("a direct debit order (pain.008)", "代扣指令（pain.008）"),
    "pacs": ("an interbank message (pacs)", "银行间报文（pacs）"),
}
_ISO_8583: Final = re.compile(rb"0[1-8][0-9][0-5][0-9A-Fa-f]{16}")
_NACHA: Final = re.compile(rb"101[ \d]{20}")
_TEXTS: Final = (
    (re.compile(r"\s*[{\[]\s*[\"{\[\]}\d]"), "a JSON document", "JSON 文档"),
    (re.compile(r"(?s)%YAML|---\s|&\w+ !!|.*^!!python", re.MULTILINE), "YAML", "YAML 文档"),
    (re.compile(r"(?i)\s*<(!doctype )?html"), "a web page", "网页"),
    (re.compile(r"OFXHEADER|\s*<OFX"), "an OFX statement, which is not read", "暂不支持的 OFX"),
    (re.compile(r"!Type:"), "a QIF list, which is not read", "暂不支持的 QIF"),
    (re.compile(r"01,.*,.*,\d{6},"), "a BAI2 report, which is not read", "暂不支持的 BAI2"),
)


def no_statement(content: bytes) -> FileIsNoStatement:
    """Return the refusal of bytes in which no reader found its form."""
    what_en, what_zh = _told(content)
    return FileIsNoStatement(line=1, what_en=what_en, what_zh=what_zh)


def no_message(namespace: str, name: str, line: int) -> FileIsNoStatement:
    """Return the refusal of an XML document that is no camt statement."""
    for kind, (what_en, what_zh) in _MESSAGES.items():
        if f":{kind}" in namespace:
            return FileIsNoStatement(line=line, what_en=what_en, what_zh=what_zh)
    return FileIsNoStatement(
        line=line, what_en=f"XML of another kind ({name[:40]})", what_zh=f"其他 XML（{name[:40]}）"
    )


def _told(content: bytes) -> tuple[str, str]:
    if not content.strip(b"\x00 \t\r\n\xef\xbb\xbf"):
        return "an empty file", "空文件"
    for magic, what_en, what_zh in _MAGIC:
        if content.startswith(magic):
            return what_en, what_zh
    if _NACHA.match(content):
        return "an ACH payment file (NACHA)", "ACH 付款文件（NACHA）"
    if _ISO_8583.match(content):
        return "an ISO 8583 message", "ISO 8583 报文"
    try:
        text = content[:4096].decode("utf-8")
    except UnicodeDecodeError:
        is_text = sum(byte < 9 or 13 < byte < 32 for byte in content[:4096]) == 0
        return (
            ("text in no known form", "未知格式的文本")
            if is_text
            else ("binary data", "二进制数据")
        )
    for pattern, what_en, what_zh in _TEXTS:
        if pattern.match(text):
            return what_en, what_zh
    is_binary = any(ord(mark) < 9 or 13 < ord(mark) < 27 for mark in text)
    return (
        ("binary data", "二进制数据") if is_binary else ("text in no known form", "未知格式的文本")
    )
