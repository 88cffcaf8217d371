"""Tables of results, as text."""

from collections.abc import Mapping, Sequence

from hw8.base.text import aligned
from hw8.evaluation.metrics import Evaluation, Interval


def auc_table(evaluation: Evaluation, title: str) -> str:
    """ROC-AUC by kind with 95% confidence intervals, then over kinds and over all images."""
    rows = [("kind", "images", "ROC-AUC", "95% interval")]
    rows += [_row(kind, item) for kind, item in sorted(evaluation.kinds.items(), key=lambda pair: -pair[1].auc)]
    rows.append(_row("macro (mean of kinds)", evaluation.macro))
    rows.append(_row("all anomalies together", evaluation.overall))
    foot = (
        f"{evaluation.normals:,} normal images; average precision {evaluation.average_precision:.3f} "
        f"(by chance {evaluation.precision_by_chance:.3f}); "
        f"FPR at 95% TPR {evaluation.fpr95:.3f}"
    )
    return "\n".join([*_ruled(title, rows), foot])


def side_by_side(evaluations: Mapping[str, Evaluation], title: str) -> str:
    """ROC-AUC by kind of several methods on the same images, by name, a column each."""
    first = next(iter(evaluations.values()))
    rows = [("kind", "images", *evaluations)]
    kinds = sorted(first.kinds.items(), key=lambda pair: -pair[1].auc)
    rows += [(kind, f"{item.n:,}", *(f"{e.kinds[kind].auc:.3f}" for e in evaluations.values())) for kind, item in kinds]
    macro, overall = first.macro, first.overall
    rows.append(("macro (mean of kinds)", f"{macro.n:,}", *(f"{e.macro.auc:.3f}" for e in evaluations.values())))
    rows.append(("all anomalies together", f"{overall.n:,}", *(f"{e.overall.auc:.3f}" for e in evaluations.values())))
    return "\n".join(_ruled(title, rows))


def _ruled(title: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, whose last two rows are over all kinds."""
    lines = aligned(rows)
    rule = "-" * len(lines[0])
    return [title, rule, lines[0], rule, *lines[1:-2], rule, *lines[-2:], rule]


def _row(name: str, item: Interval) -> tuple[str, str, str, str]:
    return name, f"{item.n:,}", f"{item.auc:.3f}", f"{item.low:.3f} to {item.high:.3f}"
