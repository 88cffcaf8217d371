"""One page about many runs: which wins, whether the difference is real, and what each finds and misses."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from hw8.compare.columns import by_importance, shown_columns
from hw8.compare.leaderboard import run_path
from hw8.compare.standings import failed_presets, is_transductive, marked, succeeded, summarise, with_differences
from hw8.compare.tables import correlation_note, head, meanings, notes, readable
from hw8.config import DataConfig
from hw8.data.labels import Labels
from hw8.data.sources import Source, files_to_score, images_to_score
from hw8.evaluation.classical import CLASSICAL, classical_crop
from hw8.report import plots
from hw8.report.comparison_figures import figures_of, forest_of, lead_of
from hw8.report.explanation import Explainer
from hw8.report.gallery import cards, choose, gallery, rows_of, with_files, with_maps
from hw8.report.pages import Figure, as_data, with_code, write_page
from hw8.report.pairs import PAIRED, disagreements
from hw8.report.run_plots import LATENTS, LOSSES, latent_map, mapped_rows, training_curves
from hw8.report.run_report import warnings_of
from hw8.report.sprites import thumbnails
from hw8.runs.scores import Scores
from hw8.runs.submission import read_submission
from hw8.runs.trained_run import TrainedRun
from hw8.training.run_folder import RunFolder

# Cards of each group, and of the spread over all ranks, for every method: fewer than on a run's own page, since this
# page grows with the number of methods.
EACH, SPREAD = 12, 12
SECTIONS = {
    "standings": "Leaderboard", "pairs": "Two methods", "plots": "Curves", "gallery": "Gallery", "facts": "Facts",
    "glossary": "Glossary",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Compared:
    """A comparison's results: one row per run, the folder of the runs, and the data they were scored on."""

    rows: pd.DataFrame
    folder: Path
    source: Source
    labels: Labels | None

    def table(self) -> pd.DataFrame:
        """One row per preset, with its difference from the best. Raises InputError if scores are damaged."""
        return with_differences(summarise(self.rows), self.rows, self.folder, self.labels)

    def first_seed(self, name: str) -> RunFolder:
        """The folder of a preset's first seed that came to a result."""
        rows = succeeded(self.rows)
        seeds = rows.loc[rows["preset"] == name, "seed"]
        return RunFolder(run_path(self.folder, (name, int(seeds.min()))))

    def scores(self, name: str) -> np.ndarray:
        """The scores of a preset's first seed. Raises InputError if they are damaged."""
        count = None if self.labels is None else len(self.labels)
        return read_submission(self.first_seed(name).path / "scores.csv", count)


@dataclasses.dataclass(frozen=True)
class Method:
    """What the page shows of a preset's first seed; its run is loaded once, for all of it, and not kept."""

    scores: Scores
    cards: list[dict[str, Any]]
    warnings: list[str]
    calibration_count: int | None = None
    curve: Markup | None = None
    latents: Markup | None = None

    @classmethod
    def of(cls, compared: Compared, name: str, score_N: np.ndarray, map_rows: np.ndarray) -> "Method":
        """Explain a preset's scores, with maps of these rows. Raises InputError if its weights are damaged."""
        labels, folder = compared.labels, compared.first_seed(name)
        if name in CLASSICAL:
            scores = Scores(name, score_N, None)
            crop = classical_crop(name, compared.source.training().side)
            images = images_to_score(compared.source, DataConfig(crop=crop))
            groups = choose(scores, labels, EACH, SPREAD) | {"others": map_rows}
            return cls(scores, cards(scores, images, labels, None, groups), [])
        trained = TrainedRun.load(folder.path)
        # The calibration knows scores before the transduction, and scores.csv holds those after it.
        p_value_N = None if is_transductive(name) else trained.p_value(score_N)
        scores = Scores(name, score_N, p_value_N)
        images = trained.open_test(compared.source)
        explainer = Explainer.for_images(trained, images)
        mapped = mapped_rows(len(images))
        table = trained.scorer.with_evidence(("latent",)).table(images, mapped)
        groups = choose(scores, labels, EACH, SPREAD) | {"others": map_rows}
        return cls(
            scores,
            with_maps(cards(scores, images, labels, explainer, groups), trained, images, map_rows),
            [f"{name}: {line}" for line in warnings_of(folder.read_summary())],
            explainer.calibration_count,
            training_curves(folder, name),
            latent_map(
                table["latent"], mapped, dataclasses.replace(scores, name=marked(name)), labels, rows_of(groups)
            ),
        )


def write_comparison(compared: Compared, table: pd.DataFrame, out: Path, command: str) -> None:
    """Write OUT.html: the leaderboard, the curves, and a gallery of each preset's first seed.

    `table` is the comparison's own (`Compared.table`). Raises InputError if a run's scores or weights are damaged, or
    the page cannot be written.
    """
    names = table["preset"].tolist()
    methods, pairs = _explained(compared, names)
    files, images = files_to_score(compared.source, DataConfig()), images_to_score(compared.source, DataConfig())
    named_cards = [
        (dataclasses.replace(method.scores, name=marked(method.scores.name)), with_files(method.cards, files))
        for method in methods
    ]
    readable_table = _readable(table, failed_presets(compared.rows))
    choosing = [f"{line}." for line in [correlation_note(table)] if line]
    more = {
        "calibration_counts": [method.calibration_count for method in methods],
        "pairs": pairs,
        "thumbnails": thumbnails(images, mapped_rows(len(images))),
    }
    write_page(
        out.with_name(out.name + ".html"),
        "comparison.html.j2",
        title=f"Comparison on {compared.source.test_set_name}",
        sections=SECTIONS.items(),
        pairs=pairs,
        paired=[marked(name) for name in names[:PAIRED]],
        lead=lead_of(table),
        forest=forest_of(table),
        notes=[with_code(line) for line in notes(compared.rows, table)],
        facts=[with_code(line) for line in head(command, compared.rows)],
        warnings=[line for method in methods for line in method.warnings],
        meaning=meanings(shown_columns(table)),
        columns=list(readable_table.columns),
        rows=_cells(table, readable_table),
        figures=[
            *figures_of(table, [method.scores for method in methods], compared.labels, choosing),
            *_portraits(methods, compared),
        ],
        reconstructs=any(card["wide"] for method in methods for card in method.cards),
        gallery=as_data(gallery(named_cards, compared.labels, **more)),
        command=command,
    )


def _explained(compared: Compared, names: list[str]) -> tuple[list[Method], dict[str, Any]]:
    """Every preset explained, and the images on which the best few of them disagree."""
    score_by_name = {name: compared.scores(name) for name in names}
    pairs = disagreements([score_by_name[name] for name in names[:PAIRED]], compared.labels)
    methods = []
    for place, name in enumerate(names):
        map_rows = {
            row for pair in pairs["pairs"] if place in (pair["found_by"], pair["missed_by"]) for row in pair["rows"]
        }
        methods.append(Method.of(compared, name, score_by_name[name], np.array(sorted(map_rows), int)))
    return methods, pairs


def _readable(table: pd.DataFrame, failed: dict[str, str]) -> pd.DataFrame:
    """The table as text, its columns by importance."""
    text = readable(table, failed)
    return text[["preset", *by_importance(table), *(name for name in text if name == "failed")]]


def _cells(table: pd.DataFrame, readable_table: pd.DataFrame) -> list[list[tuple[str, Any]]]:
    """Each cell's text and the value it sorts by, in full precision; of the preset's name, the text."""
    values = {column.heading: table[column.key].tolist() for column in shown_columns(table)}
    rows = []
    for place, texts in enumerate(readable_table.to_dict("records")):
        row: list[tuple[str, Any]] = [(texts["preset"], texts["preset"])]
        for heading in readable_table.columns[1:]:
            value = values[heading][place] if heading in values and place < len(table) else np.nan
            row.append((texts[heading], "" if pd.isna(value) else float(value)))
        rows.append(row)
    return rows


def _portraits(methods: list[Method], compared: Compared) -> list[Figure]:
    """Of each method, one at a time: its scores by kind, how it learned, and where its encoder puts test images."""
    by_name = {marked(method.scores.name): method for method in methods}
    scores = {
        name: plots.histogram(method.scores.score_N, compared.labels, None, method.scores.name)
        for name, method in by_name.items()
    }
    curves = {name: method.curve for name, method in by_name.items() if method.curve is not None}
    latents = {name: method.latents for name, method in by_name.items() if method.latents is not None}
    figures = [
        Figure("Scores", "How each method's anomaly score is spread.", scores),
        Figure("Training", LOSSES, curves),
        Figure("Latent maps", LATENTS, latents),
    ]
    return [figure for figure in figures if figure.views]
