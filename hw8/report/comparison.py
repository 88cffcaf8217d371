"""One page about many runs: which wins, whether the difference is real, and what each finds and misses."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from hw8.compare.leaderboard import run_name
from hw8.compare.standings import failed_presets, is_transductive, summarise, with_differences
from hw8.compare.tables import MEANING, head, notes, readable, short_names
from hw8.data.labels import Labels
from hw8.data.sources import Source
from hw8.data.splits import evenly_spaced
from hw8.evaluation.classical import CLASSICAL, CROPS
from hw8.report import plots
from hw8.report.drawings import MAPPED, latent_map, training_curves
from hw8.report.explanation import Explainer
from hw8.report.gallery import GROUPS, Ranking, cards, choose, mistakes
from hw8.report.pages import Figure, as_data, with_code, write_page
from hw8.report.run_report import read_summary, warnings_of
from hw8.runs.submission import read_submission
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.fusion import rank_correlation
from hw8.training.run_folder import RunFolder

EACH = 12
SPREAD = 12
CURVES = 8


@dataclasses.dataclass(frozen=True)
class Compared:
    """A comparison's results: a row a run, the folder of the runs, and the data they were scored on."""

    rows: pd.DataFrame
    folder: Path
    source: Source
    labels: Labels | None
    loaded: dict[Path, TrainedRun] = dataclasses.field(default_factory=dict)

    def run(self, folder: Path) -> TrainedRun:
        """The run in this folder, loaded once. Raises InputError if it is damaged."""
        if folder not in self.loaded:
            self.loaded[folder] = TrainedRun.load(folder)
        return self.loaded[folder]


def write_comparison(compared: Compared, out: Path, command: str) -> None:
    """Write OUT.html: the leaderboard, the curves, and a gallery of each preset's first seed.

    Raises InputError if a run's scores or weights are damaged, or the page cannot be written.
    """
    table = summarise(compared.rows)
    table = with_differences(table, compared.rows, compared.folder, compared.labels)
    first = {name: _first_seed(compared, name) for name in table["preset"]}
    methods = [_scored(compared, name, seed) for name, seed in first.items()]
    chosen = [choose(method, compared.labels, EACH, SPREAD) for method in methods]
    found: list[dict[str, Any]] = []
    for place, (method, groups) in enumerate(zip(methods, chosen, strict=True)):
        found += [card | {"method": place} for card in _cards(compared, method, first[method.name], groups)]
    gallery = {
        "methods": [_marked(method.name) for method in methods],
        "kinds": [] if compared.labels is None or not methods else _kinds(methods[0], compared.labels),
        "groups": {key: text for key, text in GROUPS.items() if chosen and key in chosen[0]},
        "columns": [],
        "total": len(methods[0].score_N) if methods else 0,
        "totals": [mistakes(method, compared.labels) for method in methods],
        "cards": found,
    }
    shown = readable(table, failed_presets(compared.rows))
    write_page(
        out.with_suffix(".html"),
        "comparison.html.j2",
        title=f"Comparison on {compared.source.name}",
        lines=[with_code(line) for line in [*head(command, compared.rows), *notes(compared.rows, table)]],
        warnings=_warnings(compared, first),
        meaning=MEANING,
        columns=list(shown.columns),
        rows=_cells(table, shown),
        figures=[*_figures(table, methods, compared.labels), *_portraits(compared, methods, first)],
        reconstructs=any(card["wide"] for card in found),
        gallery=as_data(gallery),
        command=command,
    )


def _warnings(compared: Compared, first: dict[str, int]) -> list[str]:
    """What the training of each method's first seed warned of."""
    found = []
    for name, seed in first.items():
        if name not in CLASSICAL:
            folder = RunFolder(compared.folder / run_name((name, seed)))
            found += [f"{name}: {line}" for line in warnings_of(read_summary(folder))]
    return found


def _first_seed(compared: Compared, name: str) -> int:
    done = compared.rows[compared.rows["preset"] == name]
    if "failure" in done:
        done = done[done["failure"].isna()]
    return int(done["seed"].min())


def _scored(compared: Compared, name: str, seed: int) -> Ranking:
    """The scores of a run and, where its calibration is at hand, their p-values."""
    folder = compared.folder / run_name((name, seed))
    score_N = read_submission(folder / "scores.csv", None if compared.labels is None else len(compared.labels))
    if name in CLASSICAL or is_transductive(name):
        return Ranking(name, score_N, None)
    trained = compared.run(folder)
    return Ranking(name, score_N, trained.calibration.p_value(trained.score_name, score_N))


def _cards(compared: Compared, method: Ranking, seed: int, groups: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    if method.name in CLASSICAL:
        images = compared.source.testing(CROPS.get(method.name))
        return cards(method, images, compared.labels, None, groups)
    trained = compared.run(compared.folder / run_name((method.name, seed)))
    images = trained.open_test(compared.source)
    return cards(method, images, compared.labels, Explainer.for_images(trained, images), groups)


def _marked(name: str) -> str:
    return name + " (*)" if is_transductive(name) else name


def _kinds(method: Ranking, labels: Labels) -> list[str]:
    return list(plots.groups_of(method.score_N, labels))


def _cells(table: pd.DataFrame, shown: pd.DataFrame) -> list[list[tuple[str, float | str]]]:
    """Each cell's text and the value it sorts by, in full precision."""
    names = {short: name for name, short in short_names([str(name) for name in table]).items()}
    names |= {"95%": "low"} if "low" in table else {}
    values = table.to_dict("list")
    best = next((n for n, name in enumerate(table["preset"]) if not is_transductive(name)), None)
    if "difference" in values and best is not None:
        values["difference"][best] = 0.0  # the best row is no distance from itself
    found = []
    for place in range(len(shown)):
        texts = [str(text) for text in shown.iloc[place]]
        row: list[tuple[str, float | str]] = [(texts[0], texts[0])]
        for column, text in list(zip(shown.columns, texts, strict=True))[1:]:
            known = column in names and place < len(table)
            row.append((text, _number(values[names[column]][place]) if known else ""))
        found.append(row)
    return found


def _number(value: Any) -> float | str:
    return "" if pd.isna(value) else float(value)


def _figures(table: pd.DataFrame, methods: list[Ranking], labels: Labels | None) -> list[Figure]:
    if table.empty:
        return []
    fair = table[~table["preset"].map(is_transductive).astype(bool)]
    labelled = "macro_auc" in table
    value, label = ("macro_auc", "labelled macro ROC-AUC") if labelled else ("held_out_auc", "held-out macro ROC-AUC")
    caption = "Means over seeds, with 95% intervals over images." if labelled else "Without labels; means over seeds."
    found = [Figure("Leaderboard", caption, {"": plots.forest(fair, value, "low", "high", label)})]
    shown = [method for method in methods if not is_transductive(method.name)]
    colours = dict(zip([method.name for method in shown], plots.COLOURS, strict=False))
    if labels is not None:
        found.append(_roc(shown[:CURVES], labels, colours))
        calibrated = {
            method.name: method.p_value_N[labels.label_N == 0]
            for method in shown[:CURVES]
            if method.p_value_N is not None
        }
        if calibrated:
            plot = plots.calibration(calibrated, "observed false alarms", colours)
            words = "False alarms promised and observed, on normal test images, first seed of each."
            found.append(Figure("Calibration", words, {"": plot}))
        if len(fair) > 2:
            names = ("held-out macro ROC-AUC", "labelled macro ROC-AUC")
            plot = plots.trade(fair, "held_out_auc", "macro_auc", names, log=False)
            found.append(
                Figure("Choosing without labels", "What the held-out figure says, and what labels say.", {"": plot})
            )
    if len(fair) > 1:
        plot = plots.trade(fair, "minutes", value, ("minutes of training", label), log=True)
        found.append(Figure("What it costs", "The figure against minutes of training, a mean over seeds.", {"": plot}))
    if len(shown) > 1:
        matrix = rank_correlation([method.score_N for method in shown])
        plot = plots.correlation(matrix, [method.name for method in shown])
        found.append(
            Figure("Agreement of the methods", "Rank correlation of their scores, first seed of each.", {"": plot})
        )
    return found


def _roc(methods: list[Ranking], labels: Labels, colours: dict[str, str]) -> Figure:
    """A curve a method, the mean over kinds, and of each kind alone."""
    normal = labels.label_N == 0
    kinds = [str(kind) for kind in np.unique(labels.kind_N[~normal])]
    views = {}
    for name, trained_runs in {"all kinds": kinds, **{kind: [kind] for kind in kinds if len(kinds) > 1}}.items():
        curves = {
            method.name: plots.roc_curve(
                method.score_N[normal], [method.score_N[labels.kind_N == kind] for kind in trained_runs]
            )
            for method in methods
        }
        views[name] = plots.roc(curves, colours, log=False, of=name)
        views[f"{name}, low false alarms"] = plots.roc(curves, colours, log=True, of=name)
    words = f"The best {len(methods)} methods, first seed of each; over all kinds the mean of the kinds' curves."
    return Figure("ROC curves", words, views)


def _portraits(compared: Compared, methods: list[Ranking], first: dict[str, int]) -> list[Figure]:
    """Of each method, one at a time: its scores by kind, how it learned, and where its encoder puts test images."""
    scores: dict[str, Markup] = {}
    curves: dict[str, Markup] = {}
    maps: dict[str, Markup] = {}
    for method in methods:
        name = _marked(method.name)
        scores[name] = plots.histogram(method.score_N, compared.labels, None, method.name)
        if method.name in CLASSICAL:
            continue
        folder = compared.folder / run_name((method.name, first[method.name]))
        trained = compared.run(folder)
        images = trained.open_test(compared.source)
        rows = evenly_spaced(np.arange(len(images)), MAPPED)
        labels = compared.labels and Labels(compared.labels.label_N[rows], compared.labels.kind_N[rows])
        table = trained.scorer.with_evidence(("latent",)).table(images, rows)
        drawn = (
            (curves, training_curves(RunFolder(folder), method.name)),
            (maps, latent_map(table["latent"], labels, name)),
        )
        for views, plot in drawn:
            if plot is not None:
                views[name] = plot
    found = [
        Figure("Scores", "How each method's anomaly score is spread.", scores),
        Figure("Training", "Loss over epochs; held-out images are never trained on.", curves),
        Figure("Latent maps", f"Where each encoder puts up to {MAPPED:,} test images.", maps),
    ]
    return [figure for figure in found if figure.views]
