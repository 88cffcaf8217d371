"""One page about one run: what it finds in a test set, what it misses, and why."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.text import counted, percent
from hw8.config import FUSED, JOINT
from hw8.config.presets import PRESETS
from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.evaluation.metrics import evaluate
from hw8.report import method_plots, plots
from hw8.report.explanation import Explainer
from hw8.report.gallery import cards, choose, explained_rows, gallery, rows_of, with_files, with_maps
from hw8.report.pages import Figure, as_data, write_page
from hw8.report.run_plots import AGREEMENT, LATENTS, LOSSES, latent_map, mapped_rows, training_curves
from hw8.report.sprites import thumbnails
from hw8.report.thresholds import thresholds
from hw8.report.words import p_in_words
from hw8.runs.scores import RunScores, score_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring import tails
from hw8.scoring.fusion import rank_correlation
from hw8.training.run_folder import RunFolder

# Cards of each group, and of the spread over all ranks. Chosen by hand: the page of any test set stays small.
EACH, SPREAD = 48, 96
STRIP = 6  # most anomalous images at the head of the page: two lines of a laptop's screen
SHORT_SHARE = 0.2  # of a preset's epochs, chosen by hand: with fewer, reconstructions often show nothing yet
SECTIONS = {
    "most": "Most anomalous", "scores": "Scores", "plots": "Curves", "gallery": "Gallery", "evidence": "Evidence",
    "facts": "Facts", "glossary": "Glossary",
}  # fmt: skip


def write_run_report(run: Path, where: str | None, out: Path, command: str, explain: str = "") -> None:
    """Score a test set with a run and write OUT, a page that stands alone.

    `where` defaults to the run's own data; `explain` is the command that explains an image if its ID follows. Without
    labels there are no ROC curves and no mistakes to show. Raises InputError if there is no such run, it does not fit
    the data, or `out` cannot be written.
    """
    trained = TrainedRun.load(run)
    source = trained.open_source(where)
    images = trained.open_test(source)
    labels = source.labels(len(images))
    name, folder = run.resolve().name, RunFolder(run)
    summary = folder.read_summary()
    predicted = dataclasses.replace(score_images(trained.with_all_evidence(), images), name=name)
    scores = trained.calibration.scores(predicted.table)
    groups = choose(predicted, labels, EACH, SPREAD)
    card_list, more = _gallery(trained, predicted, scores, images, labels, groups)
    card_list = with_files(card_list, trained.file_names(source))
    more["thumbnails"] = thumbnails(images, mapped_rows(len(images)))
    preset, is_transductive = trained.config.preset, predicted.share is not None
    score_name = "transductive" if is_transductive else trained.score_name
    write_page(
        out,
        "run.html.j2",
        title=f"{name}{f' ({preset})' if preset not in ('', name) else ''} on {source.test_set_name}",
        facts=_facts(trained, summary, source.test_set_name, len(images), predicted.share),
        held_out=not source.has_test_set,
        transductive=is_transductive,
        warnings=warnings_of(summary),
        **_lead(predicted, labels, len(trained.normal_C)),
        sections=SECTIONS.items(),
        strip=sorted(card_list, key=lambda card: card["rank"])[:STRIP],
        histogram=plots.histogram(predicted.score_N, labels, predicted.threshold, score_name),
        threshold=predicted.threshold,
        figures=_figures(folder, predicted, scores, labels, rows_of(groups)),
        evidence=_evidence_table(scores, summary, labels),
        reconstructs=any(card["wide"] for card in card_list),
        gallery=as_data(gallery([(predicted, card_list)], labels, explain=explain, **more)),
        command=command,
    )


def _gallery(
    trained: TrainedRun, predicted: RunScores, scores: dict[str, np.ndarray], images: Images, labels: Labels | None,
    groups: dict[str, np.ndarray],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:  # fmt: skip
    """The cards of the page's images, and what its script needs besides them."""
    explainer = Explainer.for_images(trained, images)
    # Of a run that is not transductive the score is among its evidence, under its own name.
    others = sorted(name for name in scores if predicted.share is not None or name != trained.score_name)
    p_values = {name: trained.calibration.p_value(name, scores[name]) for name in others}
    card_list = cards(predicted, images, labels, explainer, groups, p_values)
    card_list = with_maps(card_list, trained, images, explained_rows(groups))
    by_kind = plots.groups_of(predicted.score_N, labels)
    more = {
        "columns": others, "calibration_counts": [explainer.calibration_count],
        "thresholds": thresholds(by_kind, _normal_kinds(labels), predicted.normal_C, predicted.threshold),
    }  # fmt: skip
    return card_list, more


def _lead(predicted: RunScores, labels: Labels | None, calibration_count: int) -> dict[str, Any]:
    """What the first lines say: how many images are flagged, and how well each kind of anomaly is found."""
    evaluation = None if labels is None else evaluate(predicted.score_N, labels)
    return {
        "evaluation": evaluation,
        "kinds": [] if evaluation is None else sorted(evaluation.kinds.items(), key=lambda item: -item[1].auc),
        "flagged": _flagged_counts(predicted, labels),
        "smallest_p": float(predicted.p_value_N.min()),
        "calibration_count": calibration_count,
        "percent": percent,
        "p_in_words": lambda p: p_in_words(p, calibration_count),
    }


def warnings_of(summary: dict[str, Any]) -> list[str]:
    """What a reader of a run's figures must know first: what its training warned of, and if it was too short."""
    lines = [str(line) for line in summary.get("warnings", [])]
    epochs, preset = summary.get("epochs"), PRESETS.get(str(summary.get("preset")))
    usual = 1 if preset is None else preset().train.epochs
    if epochs and not summary.get("stopped_early") and (epochs == 1 or epochs < SHORT_SHARE * usual):
        made = counted(epochs, "epoch") + (f", where its preset has {usual}" if usual > 1 else "")
        lines.append(f"it was trained for {made}: too short to judge by; reconstructions, if any, may still be grey")
    return lines


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
        ("training", _duration(summary.get("train_minutes"))),
        ("hardware", ", ".join(machine)),
        ("versions", ", ".join(f"{name} {version}" for name, version in summary.get("versions", {}).items())),
        ("commit", str(summary.get("commit") or "unknown")),
        ("finished", str(summary.get("finished"))),
    ]
    return facts if share is None else [*facts, ("estimated share of anomalies", f"{share:.0%}")]


def _duration(minutes: float | None) -> str:
    """Minutes of training in words, under one of them in seconds."""
    if minutes is None:
        return "unknown"
    return f"{minutes:.1f} minutes" if minutes >= 1 else counted(round(60 * minutes), "second")


def _normal_kinds(labels: Labels | None) -> set[str]:
    return set() if labels is None else {str(kind) for kind in np.unique(labels.kind_N[labels.label_N == 0])}


def _flagged_counts(scores: RunScores, labels: Labels | None) -> dict[str, tuple[int, int]]:
    """How many images are flagged, and of how many: all and, with labels, anomalous and normal ones."""
    groups = {"all": np.ones(len(scores.score_N), bool)}
    if labels is not None:
        groups |= {"anomalous": labels.label_N == 1, "normal": labels.label_N == 0}
    flagged_N = tails.is_flagged(scores.p_value_N)
    return {name: (int((flagged_N & group_N).sum()), int(group_N.sum())) for name, group_N in groups.items()}


def _figures(
    folder: RunFolder, predicted: RunScores, scores: dict[str, np.ndarray], labels: Labels | None,
    shown_rows: np.ndarray,
) -> list[Figure]:  # fmt: skip
    figures, table = [], predicted.table
    if labels is not None:
        curves = plots.roc_curves(predicted.score_N, labels)
        colours = plots.colours_of(list(plots.groups_of(predicted.score_N, labels)), labels)
        views = {
            "linear": plots.roc(curves, colours, log=False, of="each kind"),
            "low false alarms": plots.roc(curves, colours, log=True, of="each kind"),
        }
        figures.append(Figure("ROC curves", "Anomalies found against normal images flagged, by kind.", views))
    figures.append(_calibration(predicted.p_value_N, labels))
    curve = training_curves(folder, predicted.name)
    if curve is not None:
        figures.append(Figure("Training", LOSSES, {"": curve}))
    if "latent" in table:
        rows = mapped_rows(len(predicted.score_N))
        latents = latent_map(table["latent"][rows], rows, predicted, labels, shown_rows)
        if latents is not None:
            figures.append(Figure("Latent map", LATENTS, {"": latents}))
    names = sorted(scores)
    if len(names) > 1:
        matrix = method_plots.correlation(rank_correlation([scores[name] for name in names]), names)
        figures.append(Figure("Agreement of the evidence", AGREEMENT, {"": matrix}, folded=True))
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
