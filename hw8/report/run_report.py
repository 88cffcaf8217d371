"""One page about one run: what it finds in a test set, what it misses, and why."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import read_text
from hw8.base.text import counted
from hw8.data.labels import Labels
from hw8.evaluation.metrics import evaluate
from hw8.report import plots
from hw8.report.drawings import LOSSES, MAPPED, latent_map, mapped_rows, training_curves
from hw8.report.explanation import Explainer
from hw8.report.gallery import cards, choose, gallery, with_files, with_maps
from hw8.report.pages import Figure, as_data, write_page
from hw8.report.sprites import sheet
from hw8.report.thresholds import thresholds
from hw8.runs.predict import Scores, score_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring import tails
from hw8.scoring.calibration import FUSED, JOINT, Table
from hw8.scoring.fusion import rank_correlation
from hw8.training.run_folder import RunFolder

# Cards of each group, and of the spread over all ranks. Chosen by hand: the page of any test set stays small.
EACH, SPREAD = 48, 96
STRIP = 6  # most anomalous images at the head of the page: one line of a laptop's screen
MAP = "Latent map"
SECTIONS = {
    "most": "Most anomalous", "scores": "Scores", "plots": "Curves", "gallery": "Gallery", "evidence": "Evidence",
    "facts": "Facts", "glossary": "Glossary",
}  # fmt: skip


def write_run_report(run: Path, where: str | None, out: Path, command: str) -> None:
    """Score a test set with a run and write OUT, a page that stands alone.

    `where` defaults to the run's own data. Without labels there are no ROC curves and no mistakes to show. Raises
    InputError if there is no such run, it does not fit the data, or `out` cannot be written.
    """
    trained = TrainedRun.load(run)
    source = trained.open_source(where)
    images = trained.open_test(source)
    labels = source.labels(len(images))
    all_evidence = trained.with_all_evidence()
    predicted = score_images(all_evidence, images)
    name, summary = run.resolve().name, read_summary(RunFolder(run))
    method = Scores(name, predicted.score_N, predicted.p_value_N)
    scores = trained.calibration.scores(predicted.table)
    evaluation = None if labels is None else evaluate(method.score_N, labels)
    explainer = Explainer.for_images(trained, images)
    # A transductive run's calibrated scores are those before the transduction.
    normal_C = None if predicted.share is not None else trained.calibration.values_C[trained.score_name]
    limit = (
        tails.threshold_from_p_values(predicted.p_value_N, predicted.score_N)
        if normal_C is None
        else tails.threshold(normal_C)
    )
    figures = _figures(RunFolder(run), method, scores, predicted.table, labels)
    score_name = "transductive" if normal_C is None else trained.score_name
    histogram = plots.histogram(method.score_N, labels, limit, score_name)
    groups = choose(method, labels, EACH, SPREAD)
    card_list = cards(method, images, labels, explainer, groups, all_evidence)
    card_list = with_maps(with_files(card_list, trained.file_names(source)), trained, images, groups)
    more = {
        "columns": sorted(scores), "normals": [explainer.normals],
        "thresholds": thresholds(method.score_N, labels, normal_C, limit),
        "sheet": sheet(images, mapped_rows(len(images))) if any(figure.title == MAP for figure in figures) else None,
    }  # fmt: skip
    write_page(
        out,
        "run.html.j2",
        title=f"{name} on {source.scored_name}",
        facts=_facts(trained, summary, source.scored_name, len(images), predicted.share),
        transductive=predicted.share is not None,
        warnings=warnings_of(summary),
        evaluation=evaluation,
        kinds=[] if evaluation is None else sorted(evaluation.kinds.items(), key=lambda item: -item[1].auc),
        flagged=float(tails.is_flagged(predicted.p_value_N).mean()),
        smallest_p=float(predicted.p_value_N.min()),
        normals=explainer.normals,
        sections=SECTIONS.items(),
        strip=sorted(card_list, key=lambda card: card["rank"])[:STRIP],
        p_in_words=lambda p: tails.p_in_words(p, explainer.normals),
        histogram=histogram,
        limit=limit,
        figures=figures,
        evidence=_evidence_table(scores, summary, labels),
        reconstructs=any(card["wide"] for card in card_list),
        gallery=as_data(gallery([(method, card_list)], labels, **more)),
        command=command,
    )


def read_summary(folder: RunFolder) -> dict[str, Any]:
    """The run's summary.json. Raises InputError if it is missing or damaged."""
    try:
        return dict(json.loads(read_text(folder.summary)))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder.summary}: cannot be read ({error}); finish the run with `resume`, or train again"
        ) from None


def warnings_of(summary: dict[str, Any]) -> list[str]:
    """What a reader of a run's figures must know first: what its training warned of, and if it was too short."""
    short = "it was trained for one epoch: too short to judge by; reconstructions, if any, may still be grey"
    return [*map(str, summary.get("warnings", [])), *([short] if summary.get("epochs") == 1 else [])]


def _facts(
    trained: TrainedRun, summary: dict[str, Any], test_set: str, count: int, share: float | None
) -> list[tuple[str, str]]:
    """What was trained and scored, on what machine and when, each with its name."""
    config, scoring, hardware = trained.config, trained.config.scoring, summary.get("hardware", {})
    epochs = counted(summary.get("epochs", config.train.epochs), "epoch")
    machine = [str(hardware.get("processor", "unknown")), counted(hardware.get("threads", 1), "thread")]
    machine += [hardware["gpu"]] if hardware.get("gpu") else []
    combined = {FUSED: scoring.fused, JOINT: scoring.parts}.get(scoring.score, ())
    facts = [
        ("preset", config.preset or config.model.name),
        ("score", scoring.score + (f" of {', '.join(combined)}" if combined else "")),
        ("test set", f"{test_set}, {count:,} images"),
        ("trained on", f"{config.data.source}, seed {config.seed}, {epochs}"),
        ("parameters", f"{summary.get('parameters', 0):,}"),
        ("training", f"{summary.get('train_minutes', float('nan')):.1f} minutes"),
        ("hardware", ", ".join(machine)),
        ("versions", ", ".join(f"{name} {version}" for name, version in summary.get("versions", {}).items())),
        ("commit", str(summary.get("commit") or "unknown")),
        ("finished", str(summary.get("finished"))),
    ]
    return facts if share is None else [*facts, ("estimated share of anomalies", f"{share:.0%}")]


def _figures(
    folder: RunFolder,
    method: Scores,
    scores: dict[str, np.ndarray],
    table: Table,
    labels: Labels | None,
) -> list[Figure]:
    figures = []
    if labels is not None:
        curves = plots.roc_curves(method.score_N, labels)
        colours = plots.colours_of(list(plots.groups_of(method.score_N, labels)), labels)
        views = {
            "linear": plots.roc(curves, colours, log=False, of="each kind"),
            "low false alarms": plots.roc(curves, colours, log=True, of="each kind"),
        }
        figures.append(Figure("ROC curves", "Anomalies found against normal images flagged, by kind.", views))
    if method.p_value_N is not None:
        figures.append(_calibration(method.p_value_N, labels))
    curve = training_curves(folder, method.name)
    if curve is not None:
        figures.append(Figure("Training", LOSSES, {"": curve}))
    if "latent" in table:
        rows = mapped_rows(len(method.score_N))
        latents = latent_map(table["latent"][rows], rows, method, labels)
        if latents is not None:
            figures.append(Figure(MAP, f"Where the encoder puts up to {MAPPED:,} test images.", {"": latents}))
    names = sorted(scores)
    if len(names) > 1:
        matrix = plots.correlation(rank_correlation([scores[name] for name in names]), names)
        figures.append(Figure("Agreement of the evidence", "Rank correlation of every two scores.", {"": matrix}))
    return figures


def _calibration(p_value_N: np.ndarray, labels: Labels | None) -> Figure:
    if labels is None:
        caption = "Share of images with p <= alpha. Of normal images alone: the dotted line."
        return Figure("Flagged", caption, {"": plots.calibration({"all test images": p_value_N}, "share flagged")})
    plot = plots.calibration({"normal test images": p_value_N[labels.label_N == 0]}, "observed false alarms")
    caption = "False alarms promised and observed: on the dotted line the promise is kept."
    return Figure("Calibration", caption, {"": plot})


def _evidence_table(
    scores: dict[str, np.ndarray], summary: dict[str, Any], labels: Labels | None
) -> list[dict[str, Any]]:
    """What each named score is worth: without labels, and with them; best first."""
    # Measured when the run was trained; runs of earlier versions may lack them.
    held_out, unseen = (summary.get(f"{name}_macro_auc_by_score", {}) for name in ("held_out", "unseen"))
    rows = []
    for name, score_N in scores.items():
        row: dict[str, Any] = {"name": name, "held_out": held_out.get(name), "unseen": unseen.get(name)}
        if labels is not None:
            evaluation = evaluate(score_N, labels)
            row["macro"] = evaluation.macro.auc
            row["kinds"] = {kind: interval.auc for kind, interval in evaluation.kinds.items()}
        rows.append(row)
    return sorted(rows, key=lambda row: -(row.get("macro") or row["held_out"] or 0))
