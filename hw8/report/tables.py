"""Tables of results, as text."""

from hw8.base.text import aligned
from hw8.evaluation.metrics import Evaluation, Interval


def auc_table(evaluation: Evaluation, title: str) -> str:
    """ROC-AUC by kind with 95% confidence intervals, then over kinds and over all images."""
    rows = [("kind", "images", "ROC-AUC", "95% interval")]
    rows += [_row(kind, item) for kind, item in sorted(evaluation.kinds.items(), key=lambda pair: -pair[1].auc)]
    rows.append(_row("macro (mean of kinds)", evaluation.macro))
    rows.append(_row("all anomalies together", evaluation.overall))
    lines = aligned(rows)
    rule = "-" * len(lines[0])
    foot = (
        f"{evaluation.normals:,} normal images; average precision {evaluation.average_precision:.3f}; "
        f"FPR at 95% TPR {evaluation.fpr95:.3f}"
    )
    return "\n".join([title, rule, lines[0], rule, *lines[1:-2], rule, *lines[-2:], rule, foot])


def _row(name: str, item: Interval) -> tuple[str, str, str, str]:
    return name, f"{item.n:,}", f"{item.auc:.3f}", f"{item.low:.3f} to {item.high:.3f}"
