"""What the explorer shows of a test set: its images in any order, under one run or two, and their rows as CSV."""

import csv
import io
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.errors import InputError, Interrupted
from hw8.config import Device
from hw8.data.labels import Labels
from hw8.explorer.query import Query, filters, matches
from hw8.explorer.scored import ScoredRun
from hw8.explorer.upload import read_upload
from hw8.runs.trained_run import TrainedRun

# What heads a column of the CSV, by what it holds of an image.
HEADS = {"id": "ID", "file": "file", "anomalous": "label", "kind": "kind"}


class Catalogue:
    """The test set of one run, or of two side by side, scored by `score` and `score_evidence`, or by `start`."""

    def __init__(self, run: Path, where: str | None, device: Device = "auto", beside: Path | None = None) -> None:
        """Load the runs and open the images. Raises InputError if there is no such run, or it does not fit the data."""
        paths = [run] if beside is None else [run, beside]
        trained_runs = [TrainedRun.load(path, device) for path in paths]
        source = trained_runs[0].open_source(where)
        trained_runs[0].check_held_out_with(trained_runs[1:], source)
        names = [path.resolve().name for path in paths]
        names = names if len({*names}) == len(names) else [str(path) for path in paths]
        self.runs = [
            ScoredRun(name, trained, trained.open_test(source))
            for name, trained in zip(names, trained_runs, strict=True)
        ]
        self.images, self.data = self.runs[0].images, source.test_set_name
        self.labels: Labels | None = source.labels(len(self.images))
        self.file_names = trained_runs[0].file_names(source)
        self.error: Exception | None = None
        self._read, self._ready, self._complete = 0, threading.Event(), threading.Event()
        self._stopped = threading.Event()
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=lambda: None)
        self._busy = threading.Lock()

    def start(self, on_error: Callable[[], None]) -> None:
        """Score in the background, then search training images; an error is kept as `error`, and reported."""

        def work() -> None:
            try:
                self.score()
                self.score_evidence()
                self.find_neighbours()
            except Interrupted:
                return
            except Exception as error:  # raised again where the server ends
                self.error = error
                on_error()

        self._thread = threading.Thread(target=work, name="scoring")
        self._thread.start()

    def stop(self) -> None:
        """End the work in the background, after the batches that it is at."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def score(self) -> None:
        """Score the test set with every run, which the page can then show. Raises InputError if scores rank nothing."""
        for run in self.runs:
            run.score(self._watch)
        self._ready.set()

    def score_evidence(self) -> None:
        """Score the test set by each piece of evidence too."""
        for run in self.runs:
            run.score_evidence(self._watch)
        self._complete.set()

    def find_neighbours(self) -> None:
        """Make ready to show the nearest training images beside each image."""
        for run in self.runs:
            run.find_neighbours(self._watch)

    def _watch(self, count: int) -> None:
        if self._stopped.is_set():
            raise Interrupted("the explorer was stopped")
        with self._counting:
            self._read += count

    def state(self) -> dict[str, Any]:
        """How far the scoring is and, once it is done, what the page needs to know of the test set.

        It is `complete` when the images are scored by each piece of evidence too.
        """
        total = len(self.images)
        if not self._ready.is_set():
            passes = total * len(self.runs)
            learning = self._read >= passes and any(run.trained.config.scoring.transductive for run in self.runs)
            return {"ready": False, "read": min(self._read, passes), "total": passes, "learning": learning}
        return {
            "ready": True,
            "complete": self._complete.is_set(),
            "total": total,
            "kinds": [] if self.labels is None else [str(kind) for kind in np.unique(self.labels.kind_N)],
            "files": self.file_names is not None,
            "runs": [run.summary(self.labels) | {"show": self._filters(run)} for run in self.runs],
        }

    def _filters(self, run: ScoredRun) -> list[tuple[str, str]]:
        other = next((other.name for other in self.runs if other is not run), None)
        return [*filters(self.labels, run.name, other).items()]

    def listing(self, query: Query, offset: int, limit: int) -> dict[str, Any]:
        """Up to `limit` of the images asked for, from place `offset`. Raises InputError for unknown names."""
        rows = self.rows(query)
        flagged_N = self._run(query.run).flagged(query.by, query.above)
        page_rows = rows[offset : offset + limit]
        words = self._run(query.run).words(page_rows)
        cards = [
            self._card(row, query, bool(flagged_N[row])) | {"words": text}
            for row, text in zip(page_rows.tolist(), words, strict=True)
        ]
        return {"total": len(rows), "cards": cards}

    def rows(self, query: Query) -> np.ndarray:
        """The IDs of the images asked for, in their order. Raises InputError for unknown names."""
        run = self._run(query.run)
        order = np.argsort(run.column(query.by) * (1 if query.ascending else -1), kind="stable")
        flagged_N = run.flagged(query.by, query.above)
        other_N = self.runs[1 - query.run].flagged("score") if len(self.runs) > 1 else flagged_N
        return order[matches(query, flagged_N, other_N, self.labels, self.file_names)[order]]

    def _card(self, row: int, query: Query, flagged: bool) -> dict[str, Any]:
        """What the list shows of an image; with two runs the other one's own score too."""
        card = self._known(row) | self._scores(query.run, query.by, row) | {"flagged": flagged}
        if len(self.runs) > 1:
            card["other"] = self._scores(1 - query.run, "score", row)
        return card

    def _scores(self, run: int, by: str, row: int) -> dict[str, float]:
        return {"score": float(self.runs[run].scores[by][row]), "p": float(self.runs[run].p_values[by][row])}

    def _known(self, row: int) -> dict[str, Any]:
        """An image's ID, file and label, as far as they are known."""
        known: dict[str, Any] = {"id": row}
        if self.file_names is not None:
            known["file"] = self.file_names[row]
        if self.labels is not None:
            known |= {"kind": str(self.labels.kind_N[row]), "anomalous": int(self.labels.label_N[row])}
        return known

    def histogram(self, run: int, by: str) -> dict[str, Any]:
        """The distribution of a score and the thresholds to choose from, see `ScoredRun.histogram`."""
        everything = np.arange(len(self.images))
        groups = {"all images": everything}
        if self.labels is not None:
            groups = {"normal": everything[self.labels.label_N == 0], "anomalous": everything[self.labels.label_N == 1]}
        return self._run(run).histogram(by, groups)

    def as_csv(self, rows: Sequence[int], query: Query) -> str:
        """The rows of these images: ID, file, label and kind as far as known, scores and p-values of each run.

        Those of the first run are `score` and `p_value`; those of the second have its name before them, and those by
        which the query orders, if others, have theirs. The last columns say whether the query's score and threshold
        flag an image, and what sets it apart from normal ones.
        """
        columns = [("score", "p_value", self._run(0), "score")]
        columns += [(f"{run.name}_score", f"{run.name}_p_value", run, "score") for run in self.runs[1:]]
        if query.by != "score":
            name = query.by if query.run == 0 else f"{self._run(query.run).name}_{query.by}"
            columns.append((name, f"{name}_p_value", self._run(query.run), query.by))
        known = {key: head for key, head in HEADS.items() if key in self._known(0)}
        box = io.StringIO()
        writer = csv.writer(box, lineterminator="\n")
        heads = [head for score, p_value, *_ in columns for head in (score, p_value)]
        writer.writerow([*known.values(), *heads, "flagged", "words"])
        queried = self._run(query.run)
        flagged_N, words = queried.flagged(query.by, query.above), queried.words(np.array(rows, int))
        for row, text in zip(rows, words, strict=True):
            image = self._known(row)
            values = [value for *_, run, by in columns for value in (run.column(by)[row], run.p_values[by][row])]
            writer.writerow([*(image[key] for key in known), *map(float, values), int(flagged_N[row]), text])
        return box.getvalue()

    def csv_name(self, query: Query) -> str:
        """A name for the file of `as_csv`: the run, and what of it was asked for."""
        parts = [self._run(query.run).name, query.by, query.show, query.kind, query.text]
        unusual_parts = [part for part, usual in zip(parts, ("", "score", "all", "", ""), strict=True) if part != usual]
        return re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(unusual_parts)) + ".csv"

    def check_row(self, row: int) -> None:
        """Raise InputError if there is no test image of this number."""
        if not 0 <= row < len(self.images):
            raise InputError(f"there is no image {row}; there are 0 to {len(self.images) - 1}")

    def image(self, row: int) -> np.ndarray:
        """A test image as the first run sees it: uint8 (side, side, channels). Raises InputError if there is none."""
        self.check_row(row)
        return self.images.read(np.array([row]))[0]

    def explain(self, row: int, query: Query | None = None) -> dict[str, Any]:
        """Why a test image has its score, under each run; the run of the `query` judges it as that asks for.

        Raises InputError if there is no such image, or the query names what there is not.
        """
        self.check_row(row)
        query = query or Query()
        queried = self._run(query.run)
        runs = [
            run.explain_row(row, query.by, query.above) if run is queried else run.explain_row(row) for run in self.runs
        ]
        return self._known(row) | {"name": f"image {row}", "total": len(self.images), "runs": runs}

    def score_maps(self, row: int) -> dict[str, Any]:
        """Where a test image's score comes from, under each run. Raises InputError if there is none."""
        self.check_row(row)
        self._require_scores()
        return {"maps": [run.score_map(run.images.read(np.array([row]))[0]) for run in self.runs]}

    def score_upload(self, content: bytes, name: str, crop: str = "centre") -> dict[str, Any]:
        """The scores of a reader's own picture. Raises InputError if it cannot be read, or is too large."""
        self._require_scores()
        full = self.images.array_NHWC.shape[1]
        with self._busy:  # one picture at a time is decoded, since a large one takes half a gigabyte
            image_HWC = read_upload(content, name, full, self.images.channels, crop)
        # The picture is scaled to the data set's whole side first, then cropped as each run crops its images.
        images = [run.images.cropped(image_HWC[None])[0] for run in self.runs]
        both = zip(self.runs, images, strict=True)
        return {"name": name, "runs": [run.explain(image) | run.score_map(image) for run, image in both]}

    def _run(self, number: int) -> ScoredRun:
        self._require_scores()
        if not 0 <= number < len(self.runs):
            raise InputError(f"there is no run {number}; there are 0 to {len(self.runs) - 1}")
        return self.runs[number]

    def _require_scores(self) -> None:
        if not self._ready.is_set():
            raise InputError("the test set is still being scored; try again in a moment")
