"""Text for a terminal: aligned columns, and numbers with their nouns."""

import unicodedata
from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 1, gap: str = "  ") -> list[str]:
    """Return one line per row, in columns of equal width: the first `left` left-aligned, the others right-aligned."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        spaces = [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        sides = list(zip(row, spaces, strict=True))
        padded = [*map("".join, sides[:left]), *(space + cell for cell, space in sides[left:])]
        lines.append(gap.join(padded).rstrip())
    return lines


def _width(text: str) -> int:
    """Columns that a text takes in a terminal: Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "FW" else 1 for character in text)


def short(value: float) -> str:
    """Return a number with three significant digits, and all digits before the point: 0.123, 4.57, 18,912."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share in whole percent, and never -0%."""
    return f"{round(share, 2) + 0:.0%}"


def counted(count: int, word: str) -> str:
    """Return a number with its noun: 1 epoch, 2 epochs."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
