"""One page about one run: what it finds in a test set, what it misses, and why."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import read_text
from hw8.base.text import counted
from hw8.data.labels import Labels
from hw8.evaluation.metrics import Evaluation, evaluate
from hw8.report import plots
from hw8.report.drawings import MAPPED, latent_map, training_curves
from hw8.report.explanation import Explainer
from hw8.report.gallery import GROUPS, Ranking, cards, choose, mistakes
from hw8.report.pages import Figure, as_data, write_page
from hw8.runs.predict import ALPHA, score_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import Table
from hw8.scoring.fusion import rank_correlation
from hw8.training.run_folder import RunFolder

EACH = 48
SPREAD = 96


def write_run_report(run: Path, where: str | None, out: Path, command: str) -> None:
    """Score a test set with a run and write OUT, a page that stands alone.

    `where` defaults to the run's own data. Without labels there are no ROC curves and no mistakes to show. Raises
    InputError if there is no such run, it does not fit the data, or `out` cannot be written.
    """
    trained = TrainedRun.load(run)
    source = trained.open_source(where)
    images = trained.open_test(source)
    labels = source.labels(len(images))
    whole = trained.with_all_evidence()
    done = score_images(whole, images)
    name = run.resolve().name
    named = source.name if source.has_test_set else f"development images of {source.name}, which has no test set"
    scored = Ranking(name, done.score_N, done.p_value_N)
    scores = trained.calibration.scores(done.table)
    evaluation = None if labels is None else evaluate(done.score_N, labels)
    chosen = choose(scored, labels, EACH, SPREAD)
    found = cards(scored, images, labels, Explainer.for_images(trained, images), chosen, whole)
    summary = read_summary(RunFolder(run))
    gallery = {
        "methods": [name],
        "kinds": [] if labels is None else list(plots.groups_of(done.score_N, labels)),
        "groups": {key: text for key, text in GROUPS.items() if key in chosen},
        "columns": sorted(scores),
        "total": len(images),
        "totals": [mistakes(scored, labels)],
        "cards": [card | {"method": 0} for card in found],
    }
    write_page(
        out,
        "run.html.j2",
        title=f"{name} on {named}",
        facts=_facts(trained, summary, named, len(images), done.share),
        transductive=done.share is not None,
        warnings=warnings_of(summary),
        evaluation=evaluation,
        kinds=[] if evaluation is None else sorted(evaluation.kinds.items(), key=lambda item: -item[1].auc),
        flagged=float((done.p_value_N <= ALPHA).mean()),
        figures=_figures(trained, scored, scores, done.table, labels),
        evidence=_evidence_table(scores, summary, labels),
        reconstructs=any(card["wide"] for card in found),
        gallery=as_data(gallery),
        command=command,
    )


SCORES = "held_out_macro_auc_by_score", "unseen_macro_auc_by_score"
# Of what the page takes from summary.json.
KINDS: dict[str, Any] = {
    "hardware": dict,
    "versions": dict,
    "parameters": int,
    "epochs": int,
    "warnings": list,
    "train_minutes": float,
    **dict.fromkeys(SCORES, dict),
}


def read_summary(folder: RunFolder) -> dict[str, Any]:
    """The run's summary.json. Raises InputError if it is missing or damaged."""
    path = folder.summary
    try:
        found = json.loads(read_text(path))
        if not isinstance(found, dict):
            raise TypeError("it holds no object")
        for name, kind in KINDS.items():
            if not isinstance(found.get(name, kind()), kind):
                raise TypeError(f"{name} is of another type")
        for name in SCORES:
            if not all(isinstance(value, float | int) for value in found.get(name, {}).values()):
                raise TypeError(f"{name} holds something that is no number")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); finish the run with `resume`, or train again") from None
    return found


def warnings_of(summary: dict[str, Any]) -> list[str]:
    """What a reader of a run's figures must know first: what its training warned of, and whether it was long."""
    short = "it was trained for one epoch: too short to judge by, and reconstructions may still be grey"
    return [*map(str, summary.get("warnings", [])), *([short] if summary.get("epochs") == 1 else [])]


def _facts(
    trained: TrainedRun, summary: dict[str, Any], source: str, count: int, share: float | None
) -> list[tuple[str, str]]:
    """What the reader of the figures must know."""
    config, hardware, versions = trained.config, summary.get("hardware", {}), summary.get("versions", {})
    found = [
        ("preset", config.preset or config.model.name),
        ("score", config.scoring.score + (f" of {', '.join(config.scoring.parts)}" if config.scoring.parts else "")),
        ("test set", f"{source}, {count:,} images"),
        (
            "trained on",
            f"{config.data.source}, seed {config.seed}, {counted(summary.get('epochs', config.train.epochs), 'epoch')}",
        ),
        ("parameters", f"{summary.get('parameters', 0):,}"),
        ("training", f"{summary.get('train_minutes', float('nan')):.1f} minutes"),
        (
            "hardware",
            ", ".join(
                filter(
                    None,
                    (
                        str(hardware.get("processor", "unknown")),
                        counted(hardware.get("threads", 1), "thread"),
                        hardware.get("gpu"),
                    ),
                )
            ),
        ),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("commit", str(summary.get("commit"))),
        ("finished", str(summary.get("finished"))),
    ]
    if share is not None:
        found.append(("estimated share of anomalies", f"{share:.0%}"))
    return found


def _figures(
    trained: TrainedRun, scored: Ranking, scores: dict[str, np.ndarray], table: Table, labels: Labels | None
) -> list[Figure]:
    name = trained.score_name
    groups = plots.groups_of(scored.score_N, labels)
    transductive = trained.config.scoring.transductive
    threshold = None if transductive else _threshold(trained.calibration.values_C[name])
    histogram = plots.histogram(scored.score_N, labels, threshold, "transductive" if transductive else name)
    found = [Figure("Scores", "How the anomaly score is spread. Beyond the dotted line p <= .05.", {"": histogram})]
    if labels is not None:
        normal_M = scored.score_N[labels.label_N == 0]
        kinds = [kind for kind in groups if not (labels.label_N[labels.kind_N == kind] == 0).all()]
        curves = {kind: plots.roc_curve(normal_M, [groups[kind]]) for kind in kinds}
        colours = plots.colours_of(list(groups), labels)
        views = {
            "linear": plots.roc(curves, colours, log=False, of="each kind"),
            "low false alarms": plots.roc(curves, colours, log=True, of="each kind"),
        }
        found.insert(0, Figure("ROC curves", "Anomalies found against normal images flagged, by kind.", views))
    found.append(_calibration(scored, labels))
    learned = training_curves(RunFolder(Path(trained.name)), scored.name)
    if learned is not None:
        found.append(Figure("Training", "Loss over epochs; held-out images are never trained on.", {"": learned}))
    plot = latent_map(table.get("latent"), labels, scored.name)
    if plot is not None:
        found.append(Figure("Latent map", f"Where the encoder puts up to {MAPPED:,} test images.", {"": plot}))
    names = sorted(scores)
    if len(names) > 1:
        matrix = plots.correlation(rank_correlation([scores[key] for key in names]), names)
        found.append(Figure("Agreement of the evidence", "Rank correlation of every two scores.", {"": matrix}))
    return found


def _threshold(normal_C: np.ndarray) -> float | None:
    """The score from which on p <= .05, if so many normals were held out that there is one."""
    allowed = int(ALPHA * (len(normal_C) + 1)) - 1
    return None if allowed < 0 else float(np.sort(normal_C)[::-1][allowed])


def _calibration(scored: Ranking, labels: Labels | None) -> Figure:
    p_value_N = np.ones(0) if scored.p_value_N is None else scored.p_value_N
    if labels is None:
        plot = plots.calibration({"all test images": p_value_N}, "share flagged")
        return Figure(
            "Flagged", "Share of images with p <= alpha. Of normal images alone: the dotted line.", {"": plot}
        )
    plot = plots.calibration({"normal test images": p_value_N[labels.label_N == 0]}, "observed false alarms")
    return Figure(
        "Calibration", "False alarms promised and observed: on the dotted line the promise is kept.", {"": plot}
    )


def _evidence_table(
    scores: dict[str, np.ndarray], summary: dict[str, Any], labels: Labels | None
) -> list[dict[str, Any]]:
    """What each named score is worth: without labels, and with them."""
    held_out = summary.get("held_out_macro_auc_by_score", {})
    unseen = summary.get("unseen_macro_auc_by_score", {})
    found = []
    for name, score_N in scores.items():
        row: dict[str, Any] = {"name": name, "held_out": held_out.get(name), "unseen": unseen.get(name)}
        if labels is not None:
            labelled: Evaluation = evaluate(score_N, labels)
            row |= {"macro": labelled.macro.auc, "kinds": {kind: item.auc for kind, item in labelled.kinds.items()}}
        found.append(row)
    return sorted(found, key=lambda row: -(row.get("macro") or row["held_out"] or 0))
