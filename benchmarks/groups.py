"""Which score finds kinds of image that a training never saw? `python benchmarks/groups.py SOURCE [CLASS ...]`.

Each class of a labelled set (as `scripts/oneclass.py` takes it), or the images of a file `trainingset.npy`, are divided
into groups by k-means. `boss_quick` is trained without one group for a few epochs (seed 0), and scores the development
images and that group: ROC-AUC, without a label, of anomalies that are real images. Prints means over the groups, beside
the held-out figures, for several scores of the same evidence.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from hw8.config import FUSED, JOINT, Distance, RunConfig, ScoreConfig
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images
from hw8.data.splits import reference_rows, split_rows
from hw8.evaluation.held_out import Development, HeldOut
from hw8.evaluation.metrics import roc_auc
from hw8.oneclass.protocol import settings_for_set
from hw8.oneclass.sources import open_labelled
from hw8.runs.train import train_images
from hw8.scoring.calibration import Calibration

GROUPS, COMPONENTS = 4, 20  # of k-means, on as many principal components of every second pixel of every second row
FACES_EPOCHS, CLASS_EPOCHS = 4, 5  # of 15, so that a set takes minutes
MAX_IMAGES = 1500  # images of a group that are scored
ALL = ("amounts", "changes", "texture")
# Parts of the joint distance, and what is fused with it.
SCORES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "joint": (ALL, ()),
    "joint with features": ((*ALL, "features"), ()),
    "features": (("features",), ()),
    "fused: joint, features": (ALL, (JOINT, "features")),
}
DISTANCES: tuple[Distance, ...] = ("neighbours", "mahalanobis")


def sets(source: Path, classes: list[str]) -> Iterator[tuple[str, np.ndarray, RunConfig]]:
    """Names, images and settings of the sets of normal images."""
    is_faces = source.suffix == ".npy"
    train = {"epochs": FACES_EPOCHS if is_faces else CLASS_EPOCHS, "least_steps": 0}
    config = changed(load_preset("boss_quick"), train=train, scoring={"fit_on": "training"})
    if is_faces:
        yield source.name, np.load(source), config
        return
    cut = open_labelled(str(source)).cut(0)
    for name in classes or cut.classes():
        yield name, cut.image_NHWC[cut.class_N.astype(str) == name], settings_for_set(cut, config, "auto")


def groups_of(image_NHWC: np.ndarray) -> np.ndarray:
    """The group of each image (N,)."""
    small_ND = image_NHWC[:, ::2, ::2].reshape(len(image_NHWC), -1).astype(np.float32)
    component_NK = PCA(COMPONENTS, random_state=0).fit_transform(small_ND)
    return KMeans(GROUPS, n_init=4, random_state=0).fit_predict(component_NK)


def measure(image_NHWC: np.ndarray, is_out_N: np.ndarray, config: RunConfig) -> Iterator[dict[str, object]]:
    """A row for each score and distance, after a training without the group."""
    images, group = (Images(np.ascontiguousarray(image_NHWC[rows])) for rows in (~is_out_N, is_out_N))
    splits = split_rows(len(images), config.data)
    table = train_images(config, images, splits).with_all_evidence().scorer.table
    calibration, reference = table(images, splits.calibration), table(images, reference_rows(splits))
    development = Development.measure(table, images, splits.development)
    outside = table(group, np.arange(min(len(group), MAX_IMAGES)))
    for distance in DISTANCES:
        for name, (parts, fused) in SCORES.items():
            score = FUSED if fused else JOINT
            scoring = ScoreConfig(score=score, parts=parts, fused=fused, distance=distance)
            known, others = (
                {part: values[part] for part in scoring.evidence_names} for values in (calibration, reference)
            )
            fitted = Calibration.fit(known, scoring, others)
            held_out = HeldOut.of(development.mapped(fitted.scores), score)
            auc = roc_auc(fitted.scores(development.normal)[score], fitted.scores(outside)[score])
            yield {
                "score": name, "distance": distance, "group": auc, "held_out": held_out.common.macro.auc,
                "unseen": held_out.unseen.macro.auc,
            }  # fmt: skip


def main() -> None:
    """Measure, and print means over the groups of each set."""
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/groups.py SOURCE [CLASS ...]")
    for name, image_NHWC, config in sets(Path(sys.argv[1]), sys.argv[2:]):
        group_N = groups_of(image_NHWC)
        rows = [row for group in range(GROUPS) for row in measure(image_NHWC, group_N == group, config)]
        means = pd.DataFrame(rows).groupby(["distance", "score"], sort=False).mean().reset_index()
        print(f"\n{name}\n{means.round(3).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
