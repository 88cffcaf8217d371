"""Draws first.jpg, the picture of the README, from a run on the generated faces.

    python docs/pictures/first.py runs/baseline/boss_quick

Two normal faces and an anomaly of each kind, of which the median by score is shown: image, reconstruction, error map,
score and p-value.
"""

import sys
from pathlib import Path

import numpy as np

from hw8.data.arrays import scaled
from hw8.report.heatmaps import error_scale, heat
from hw8.report.plots import new_figure
from hw8.runs.scores import score_images
from hw8.runs.trained_run import TrainedRun

NORMALS = (0.3, 0.7)  # quantiles of the score: neither the best nor the worst of the normal faces


def main() -> None:
    """Choose, score, draw."""
    run = TrainedRun.load(Path(sys.argv[1]), "cpu")
    source = run.open_source(None)
    images, labels = run.open_test(source), source.labels()
    assert labels is not None  # generated faces have labels
    scores = score_images(run, images)

    def at(kind_N: np.ndarray, quantile: float) -> int:
        rows = np.flatnonzero(kind_N)
        return int(rows[np.argsort(scores.score_N[rows])[int(quantile * len(rows))]])

    shown = {f"normal {n}": at(labels.label_N == 0, quantile) for n, quantile in enumerate(NORMALS, 1)}
    shown |= {kind: at(labels.kind_N == kind, 0.5) for kind in sorted(set(labels.kind_N[labels.label_N == 1]))}
    rows = np.array([*shown.values()])
    batch_BHWC = images.read(rows)
    recon_BHWC, _ = run.with_all_evidence().scorer.reconstruct(batch_BHWC)
    assert recon_BHWC is not None  # the default preset reconstructs
    error_BHW = np.square(recon_BHWC - scaled(batch_BHWC)).sum(axis=3)
    recon_BHWC = np.rint((recon_BHWC.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    lines = [batch_BHWC, recon_BHWC, heat(error_BHW / error_scale(error_BHW))]
    figure = new_figure(1.35 * len(rows), 4.7)
    for line, (name, pictures) in enumerate(zip(("image", "reconstruction", "error"), lines, strict=True)):
        for column, picture in enumerate(pictures):
            axes = figure.add_subplot(3, len(rows), line * len(rows) + column + 1)
            axes.imshow(picture)
            axes.set_xticks([], [])
            axes.set_yticks([], [])
            axes.spines[:].set_visible(False)
            if column == 0:
                axes.set_ylabel(name, fontsize=10)
            if line == 0:
                axes.set_title([*shown][column], fontsize=11)
            if line == 2:
                row = rows[column]
                axes.set_xlabel(f"score {scores.score_N[row]:.1f}\np = {scores.p_value_N[row]:.3f}", fontsize=10)
    figure.savefig(Path(__file__).with_suffix(".jpg"), dpi=100, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
