"""Tables of results, as text."""

from hw8.evaluation.metrics import Evaluation, Interval


def counted(count: int, word: str) -> str:
    """A number with its noun: 1 epoch, 2 epochs."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def auc_table(evaluation: Evaluation, title: str) -> str:
    """ROC-AUC by kind with 95% confidence intervals, then over kinds and over all images."""
    rows = [("kind", "images", "ROC-AUC", "95% interval")]
    rows += [_row(kind, item) for kind, item in sorted(evaluation.kinds.items(), key=lambda pair: -pair[1].auc)]
    rows.append(_row("macro (mean of kinds)", evaluation.macro))
    rows.append(_row("all anomalies together", evaluation.overall))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [_aligned(row, widths) for row in rows]
    rule = "-" * len(lines[0])
    foot = (
        f"{evaluation.normals:,} normal images; average precision {evaluation.average_precision:.3f}; "
        f"FPR at 95% TPR {evaluation.fpr95:.3f}"
    )
    return "\n".join([title, rule, lines[0], rule, *lines[1:-2], rule, *lines[-2:], rule, foot])


def _row(name: str, item: Interval) -> tuple[str, str, str, str]:
    return name, f"{item.n:,}", f"{item.auc:.3f}", f"{item.low:.3f} to {item.high:.3f}"


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    """A row's first cell to the left, the others to the right."""
    numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *numbers])
