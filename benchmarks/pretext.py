"""Does the pretext task order settings as labels do? `python benchmarks/pretext.py SOURCE [CLASS ...]`.

On each class of a labelled set, as in `scripts/oneclass.py`, the default preset is trained for shares of its epochs,
with seed 0. Prints ROC-AUC on the test images beside figures made without labels: how well the pretext task is solved
on held-out images, and the held-out figures; then the rank correlation of each with that ROC-AUC, within a class over
the lengths of training (mean over classes), and over the classes at the greatest length. Runs stay in runs/pretext;
finished ones are not made again, and an interrupted one is resumed.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hw8.config import RUNS, RunConfig
from hw8.config.presets import changed
from hw8.data.arrays import Images
from hw8.data.splits import split_rows
from hw8.evaluation.metrics import roc_auc
from hw8.oneclass.labelled_set import LabelledSet
from hw8.oneclass.protocol import default_preset, load_method, settings_for_set
from hw8.oneclass.sources import open_labelled
from hw8.runs.train import train_or_resume
from hw8.runs.trained_run import TrainedRun
from hw8.runs.unaligned import adapt_to_alignment
from hw8.training.run_folder import RunFolder
from hw8.training.schedule import with_enough_steps

SHARES = 1 / 30, 1 / 10, 1 / 3  # of the preset's epochs
KEYS = ["class", "share", "auc"]
HELD_OUT = {"held_out": "held_out", "unseen": "held_out_unseen"}


def trained(config: RunConfig, images_NHWC: np.ndarray, share: float, folder: Path) -> TrainedRun:
    """The run in `folder`, trained on these images if it is not there, for a share of the preset's epochs."""
    if not (folder / "run" / "summary.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "trainingset.npy", images_NHWC)
        images = Images(images_NHWC)
        splits = split_rows(len(images), config.data)
        decided = adapt_to_alignment(config, images, splits)
        whole = with_enough_steps(decided.train, len(splits.train))
        train = {"epochs": max(1, round(share * whole.epochs)), "batch_size": whole.batch_size, "least_steps": 0}
        train_or_resume(changed(decided, data={"source": str(folder)}, train=train), folder / "run")
    return TrainedRun.load(folder / "run")


def measure(cut: LabelledSet, classes: list[str]) -> pd.DataFrame:
    """A row for each class and share."""
    config = settings_for_set(cut, load_method(default_preset(cut)), "auto")
    class_N, test_class_N = cut.class_N.astype(str), cut.test_class_N.astype(str)
    rows: list[dict[str, object]] = []
    for name in classes or cut.classes():
        is_normal_N = test_class_N == name
        for share in SHARES:
            folder = RUNS / "pretext" / f"{cut.name}-{name}-{share:.2f}"
            run = trained(config, cut.image_NHWC[class_N == name], share, folder)
            score_N = run.score(Images(cut.test_NHWC), np.arange(len(cut.test_NHWC)))[run.score_name]
            row = dict(zip(KEYS, (name, share, roc_auc(score_N[is_normal_N], score_N[~is_normal_N])), strict=True))
            summary = RunFolder(folder / "run").read_summary()
            held_out = {name: summary[key]["macro_auc"] for name, key in HELD_OUT.items()}
            rows.append(row | summary["diagnosis"] | held_out)
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def correlations(rows: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rank correlation of each figure with `auc`: within classes and over them."""
    figures = [name for name in rows.columns if name not in KEYS]
    within = [part[figures].corrwith(part["auc"], method="spearman") for _, part in rows.groupby("class")]
    longest = rows[rows["share"] == max(SHARES)]
    over = longest[figures].corrwith(longest["auc"], method="spearman")
    return pd.DataFrame({"within a class": pd.concat(within, axis=1).mean(axis=1), "over the classes": over})


def main() -> None:
    """Measure and print."""
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/pretext.py SOURCE [CLASS ...]")
    rows = measure(open_labelled(sys.argv[1]).cut(0), sys.argv[2:])
    print(rows.round(3).to_string(index=False))
    print(correlations(rows).round(2).to_string())


if __name__ == "__main__":
    main()
