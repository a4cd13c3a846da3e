"""Text that a client chose, as sentences and messages have it."""

from __future__ import annotations

import pytest

from alpimonitor_watchdog.core.sentences import plain


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("ops-shell", "ops-shell", id="as it is"),
        pytest.param("Müller – 東京", "Müller – 東京", id="letters of any script"),
        pytest.param(" a\r\n\t b\u2028c\u00a0d\x00e\x85f ", "a b c d e f", id="line breaks and blanks"),
        pytest.param("a\x1b[31;1mred\x1b[0m\x1b[2Jb", "a red b", id="colours"),
        pytest.param("a\x9b2Kb\x1b]0;title\x07c", "a b ]0;title c", id="other terminal sequences"),
        pytest.param("ok\u202egnp.exe\u2066\u200b\u200f\ufeff\U000e0041", "okgnp.exe", id="directions"),
        pytest.param("a\ud800b", "ab", id="half a character"),
        pytest.param("\n\u200b\x1b", "", id="nothing to see"),
    ],
)
def test_text_from_the_database_becomes_one_visible_line(text: str, line: str) -> None:
    assert plain(text, 64) == line
    assert plain(line, 64) == line


def test_a_long_text_is_cut_and_says_so() -> None:
    assert plain("x" * 64, 64) == "x" * 64
    assert plain("x" * 65, 64) == "x" * 63 + "…"
    assert plain("abc defg", 5) == "abc…"
