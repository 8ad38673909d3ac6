"""One idea, one word, in both languages: the glossary and the refusals."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from pathlib import Path
from string import Formatter

import pytest

import steelyard
from steelyard.kernel import Refusal

ROOT = Path(__file__).parents[1]
CHINESE = re.compile(r"[\u4e00-\u9fff]")
LATIN = re.compile(r"[A-Za-z]{2}")
IDENTIFIER = re.compile(r"`([A-Za-z_][A-Za-z0-9_]*)`")
HEAD = ("term", "zh-CN", "en", "meaning")


def _rows() -> list[tuple[str, ...]]:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, rule, *body = (tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines)
    assert head == HEAD
    assert set("".join(rule)) == {"-"}
    return body


ROWS = _rows()


def _word(term: str) -> str:
    return term.strip("`").casefold()


def _facts(sentence: str) -> set[str]:
    """The facts a sentence names; `reason_zh` is the Chinese wording of `reason`."""
    named = {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}
    return {name.removesuffix("_zh") for name in named}


def _refusals() -> list[type[Refusal]]:
    """Every refusal of the platform: all modules are imported, Alembic's scripts left out."""
    for found in pkgutil.walk_packages(steelyard.__path__, "steelyard."):
        if ".migrations" not in found.name and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    found_classes, waiting = set(), [Refusal]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind not in found_classes and kind.__module__.startswith("steelyard."):
                found_classes.add(kind)
                waiting.append(kind)
    return sorted(found_classes, key=lambda kind: (kind.__module__, kind.__name__))


def test_the_glossary_is_long_enough_to_be_used() -> None:
    assert len(ROWS) >= 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_row_is_complete_in_both_languages(row: tuple[str, ...]) -> None:
    assert len(row) == len(HEAD)
    assert all(row)
    _, chinese, english, meaning = row
    assert CHINESE.search(chinese)
    for text in (english, meaning):
        assert LATIN.search(text)
        assert not CHINESE.search(text)


def test_no_term_is_there_twice() -> None:
    for column in (0, 2):
        counted = Counter(_word(row[column]) for row in ROWS)
        assert not {word: n for word, n in counted.items() if n > 1}


def test_no_chinese_word_stands_for_two_terms() -> None:
    counted = Counter(row[1] for row in ROWS)
    assert not {word: n for word, n in counted.items() if n > 1}


def test_terms_are_sorted() -> None:
    words = [_word(row[0]) for row in ROWS]
    assert words == sorted(words)


def test_identifiers_are_in_use() -> None:
    used: set[str] = set()
    for path in (ROOT / "src" / "steelyard").rglob("*.py"):
        used.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    terms = [row[0] for row in ROWS if "`" in row[0]]
    assert terms
    for term in terms:
        written = IDENTIFIER.fullmatch(term)
        assert written, f"{term}: one identifier, in backticks"
        assert written[1] in used, f"{term} is not in the code"


def test_refusals_speak_both_languages_with_the_same_facts() -> None:
    refusals = _refusals()
    assert len(refusals) >= 10
    wrong = []
    for refusal in refusals:
        english, chinese = refusal.en, refusal.zh
        facts_en, facts_zh = _facts(english), _facts(chinese)
        if (
            not LATIN.search(english)
            or CHINESE.search(english)
            or not CHINESE.search(chinese)
            or not english.endswith((".", "!", "?"))
            or not chinese.endswith(("。", "！", "？"))
            or facts_en != facts_zh
            or not refusal.__doc__
        ):
            wrong.append(f"{refusal.__module__}.{refusal.__name__}")
    assert wrong == []


def test_a_code_means_one_thing() -> None:
    counted = Counter(refusal.code for refusal in _refusals())
    assert not {code: n for code, n in counted.items() if n > 1}
