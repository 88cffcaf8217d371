"""ROC-AUC without labels: development normals against synthetic anomalies made from them."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np

from hw8.base.processes import processes
from hw8.base.progress import progress_bar
from hw8.data.arrays import Images, Readable
from hw8.data.corruptions import CORRUPTIONS
from hw8.data.labels import NORMAL, Labels
from hw8.data.splits import evenly_spaced
from hw8.data.synthetic import Corrupted
from hw8.data.unseen import UNSEEN
from hw8.evaluation.metrics import Evaluation, evaluate

# Changed images of each kind: an AUC of one kind is then good to .01 or .02, and sixteen kinds take as long to score as
# 8,000 images.
PER_KIND = 500
SEED = 8  # of the changes, the same for every run, so that runs are compared on the same anomalies
ArraysByName = Mapping[str, np.ndarray]  # one row per image
Measure = Callable[[Readable, np.ndarray], ArraysByName]  # from rows of images to arrays in the order of the rows


@dataclasses.dataclass(frozen=True)
class Development:
    """Arrays by name of the development normals, and of the anomalies of both sets, one kind after the other."""

    normal: ArraysByName
    common: ArraysByName
    unseen: ArraysByName

    @classmethod
    def measure(cls, measure: Measure, images: Images, rows: np.ndarray, label: str | None = None) -> "Development":
        """Measure the rows, and up to 500 of them, evenly spaced, under each change of either set.

        `label` shows a progress bar of that name on standard error.
        """
        changed_rows = evenly_spaced(rows, PER_KIND)
        total = len(rows) + len(changed_rows) * (len(CORRUPTIONS) + len(UNSEEN))
        hidden = label is None or not processes().is_main
        with progress_bar(total, label, "img", hidden) as bar:

            def changed(kind: str) -> ArraysByName:
                values = measure(Corrupted(kind, images, rows, SEED), changed_rows)
                bar.update(len(changed_rows))
                return values

            normal = measure(images, rows)
            bar.update(len(rows))
            return cls(normal, _joined(map(changed, CORRUPTIONS)), _joined(map(changed, UNSEEN)))

    def mapped(self, change: Callable[[ArraysByName], ArraysByName]) -> "Development":
        """The same with each part changed, for instance from evidence to scores."""
        return Development(change(self.normal), change(self.common), change(self.unseen))


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What a score is worth on the development split, against two sets of synthetic anomalies.

    All presets are compared on the `common` kinds; no model is trained on the `unseen` ones.
    """

    common: Evaluation
    unseen: Evaluation

    @classmethod
    def of(cls, scores: Development, name: str) -> "HeldOut":
        """ROC-AUC of the score of that name against both sets."""
        return cls(
            _evaluate(scores.normal[name], scores.common[name], CORRUPTIONS),
            _evaluate(scores.normal[name], scores.unseen[name], UNSEEN),
        )


def evaluate_held_out(score: Measure, images: Images, rows: np.ndarray, label: str | None = None) -> dict[str, HeldOut]:
    """ROC-AUC of each score on the development rows, by name.

    `score` is that of a trained run or a baseline: larger is less normal. `label` shows a progress bar of that name.
    """
    scores = Development.measure(score, images, rows, label)
    return {name: HeldOut.of(scores, name) for name in scores.normal}


def _evaluate(normal_M: np.ndarray, anomalous_N: np.ndarray, kinds: Collection[str]) -> Evaluation:
    """Normals against changed copies of some of them, which are not independent of each other."""
    images = np.arange(len(normal_M))
    copies = evenly_spaced(images, PER_KIND)
    kind_N = np.repeat([NORMAL, *kinds], [len(images)] + [len(copies)] * len(kinds))
    labels = Labels((kind_N != NORMAL).astype(np.int64), kind_N)
    return evaluate(np.concatenate([normal_M, anomalous_N]), labels, np.concatenate([images, *[copies] * len(kinds)]))


def _joined(kinds: Iterable[ArraysByName]) -> ArraysByName:
    """Arrays by name of several kinds, one kind after the other."""
    parts = list(kinds)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
