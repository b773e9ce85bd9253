"""Whatever a stranger wrote, a terminal only shows it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len, get_character_cell_size

from asyncfetch.display.text import Cut, as_text, harmless

if TYPE_CHECKING:
    from tests.display.conftest import Terminal

INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\r\nb\tc\x00d\x7f", "a\\r\\nb\\tc\\x00d\\x7f"),
        ("safe\u202egpj.exe", "safe\\u202egpj.exe"),
        ("\u2066a\u2069\u200e\u200f\u061c", "\\u2066a\\u2069\\u200e\\u200f\\u061c"),
        ("zero\u200bwidth\u200d\u2060\ufeff", "zero\\u200bwidth\\u200d\\u2060\\ufeff"),
        ("\u00a0\u3000\u2028\u2029", "\\xa0\\u3000\\u2028\\u2029"),
        ("\U000e0041 tag \U000f0000 \u0378", "\\U000e0041 tag \\U000f0000 \\u0378"),
        ("\ud800 alone", "\\ud800 alone"),
        ("\u3164\u2800\ufe0f\U000e0100", "\\u3164\\u2800\\ufe0f\\U000e0100"),
        (b"caf\xc3\xa9 \xff", "café \\xff"),
        ("\u0301first", "\\u0301first"),
        ("e\u0301\u0302\u0303\u0304", "e\u0301\u0302\\u0303\\u0304"),
    ],
)
def test_what_acts_or_hides_is_spelled_out(hostile: str | bytes, shown: str) -> None:
    """Controls, escapes, bidi marks, invisible characters and stacks of marks become visible escapes."""
    assert harmless(hostile) == shown


@pytest.mark.parametrize(
    "text", ["plain", "Grüße", "日本語", "ਪੰਜਾਬੀ", "שלום", "Tiếng Việt", "🦊", "[red]a[/red] :smile:"]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """People's languages are shown as they are written."""
    assert harmless(text) == text


@settings(deadline=None)
@given(
    st.text(st.characters(codec=None), max_size=80) | st.binary(max_size=80),
    st.integers(0, 40),
    st.sampled_from(["end", "middle"]),
    st.booleans(),
)
@example("\u0301" * 50, 10, "middle", False)
@example("日本語" * 30, 10, "middle", False)
@example("\u1161" * 9 + "e\u0301" * 40, 3, "middle", False)
@example("a" * 10_000 + "\x1b" * 10_000, 7, "middle", False)
def test_nothing_gets_through(text: str | bytes, at_most: int, cut: Cut, ascii_only: bool) -> None:
    """Any text: no character that acts, never too wide, at most two marks on a character, and twice is as once."""
    shown = harmless(text, at_most, cut=cut, ascii_only=ascii_only)
    assert not {unicodedata.category(character) for character in shown} & INVISIBLE
    assert shown.isprintable()
    assert cell_len(shown) <= at_most
    assert not ascii_only or shown.isascii()
    marks = "".join(" m"[not get_character_cell_size(character)] for character in shown)
    assert "mmm" not in marks
    assert not marks.startswith("m")
    assert harmless(shown, at_most, cut=cut, ascii_only=ascii_only) == shown


@pytest.mark.parametrize(
    ("text", "at_most", "cut", "shown"),
    [
        ("abcdefghij", 10, "end", "abcdefghij"),
        ("abcdefghij", 9, "end", "abcdefgh…"),
        ("abcdefghij", 9, "middle", "abcd…ghij"),
        ("日本語日本語", 6, "end", "日本…"),
        ("日本語日本語", 6, "middle", "日…語"),
        ("e\u0301e\u0301e\u0301e\u0301e\u0301", 4, "middle", "e\u0301e\u0301…e\u0301"),
        ("abc", 1, "middle", "…"),
        ("abc", 0, "end", ""),
    ],
)
def test_long_text_is_shortened_by_cells(text: str, at_most: int, cut: Cut, shown: str) -> None:
    """Wide characters count two, marks none, and no character loses its marks."""
    assert harmless(text, at_most, cut=cut) == shown


@pytest.mark.parametrize(("at_most", "shown"), [(6, "abc..."), (3, "..."), (2, "..")])
def test_without_utf8_the_ellipsis_is_three_dots(at_most: int, shown: str) -> None:
    """A terminal of another encoding gets ASCII, and no more cells than it has."""
    assert harmless("abcdefghij", at_most, ascii_only=True) == shown


def test_both_ends_of_an_endless_text_are_kept() -> None:
    """A text of millions of characters is not read whole, and still shows its beginning and end."""
    assert harmless("é" + "x" * 5_000_000 + "é", 7, cut="middle") == "éxx…xxé"


def test_rich_reads_nothing_into_foreign_text(terminal: Callable[..., Terminal]) -> None:
    """Markup, emoji codes and links stand on the screen as they came, without a colour of their own."""
    screen = terminal()
    hostile = "[bold red]x[/] :smile: https://example.org 42 \x1b[31m"
    screen.console.print(as_text(hostile, "green"))
    assert screen.lines == ["[bold red]x[/] :smile: https://example.org 42 \\x1b[31m"]
    assert {screen.screen.buffer[0][x].fg for x in range(len(screen.lines[0]))} == {"green"}
