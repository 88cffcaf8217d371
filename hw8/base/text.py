"""Text for a terminal: aligned columns, and numbers with their nouns."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 1, gap: str = "  ") -> list[str]:
    """Return one line per row, in columns of equal width: the first `left` left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust if number < left else str.rjust for number in range(len(widths))]
    return [
        gap.join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def counted(count: int, word: str) -> str:
    """Return a number with its noun: 1 epoch, 2 epochs."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
