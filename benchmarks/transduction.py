"""Choose the constants of the transduction without labels: `python benchmarks/transduction.py RUN [OUT]`.

Test sets are simulated from the development images of RUN, a recogniser trained with `--development-share 0.3
--calibration-share 0.1`: some stay normal, others are changed by the synthetic kinds that no model is trained on.
Writes OUT.csv (default: docs/benchmarks/transduction), one row per setting; fits are kept in runs/transduction and
not made again.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hw8.base.files import write_text
from hw8.config import RUNS
from hw8.data.arrays import Images
from hw8.data.labels import NORMAL, Labels
from hw8.data.synthetic import corrupt
from hw8.data.unseen import UNSEEN
from hw8.evaluation.metrics import evaluate
from hw8.runs.predict import score_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.transductive import BOUNDS, LEAST_SHARE, LEAST_Z, LR, STEPS, Ratios, Sample, Transducer, fuse

IMAGES = 1600  # of a simulated test set
# Shares of anomalies: learning rates and steps vary at the first, and all are held to the constants chosen there.
SHARE, SHARES = 0.3, (0.1, 0.5)
# The grids: around the values in hw8/scoring/transductive.py, each a factor of two to four away.
RATES = 3e-4, 1e-3, 3e-3
STEP_COUNTS = 125, 250, 500
FLOORS, CEILINGS, LEAST_SHARES = (-3.0, -1.0, 0.0), (3.0, 12.0), (0.03, 0.1, 0.3)
ALWAYS = -np.inf  # fuse even where the discriminators are not sure, to see what they would do


def simulated(images: Images, rows: np.ndarray, share: float) -> tuple[Images, Labels]:
    """A test set drawn from these rows, with that share of them changed, each unseen kind equally often."""
    row_N = np.random.default_rng(0).permutation(rows)[:IMAGES]
    count = round(share * len(row_N))
    kind_N = np.full(len(row_N), NORMAL, dtype=object)
    kind_N[:count] = list(itertools.islice(itertools.cycle(UNSEEN), count))
    pixels = images.read(row_N)
    for kind in UNSEEN:
        places = np.flatnonzero(kind_N == kind)
        places = places[np.argsort(row_N[places])]
        pixels[places] = corrupt(kind, images, row_N[places], np.sort(rows), 0)
    order = np.random.default_rng(1).permutation(len(row_N))
    labels = Labels((kind_N != NORMAL).astype(np.int64), kind_N.astype(str))
    return Images(pixels[order], None, f"share {share}"), Labels(labels.label_N[order], labels.kind_N[order])


def fitted(trained: TrainedRun, test: Images, share: float, lr: float, steps: int) -> Ratios:
    """The discriminators' log-ratios of a simulated test set, read from the file of an earlier run if there is one."""
    path = RUNS / "transduction" / f"{share}-{lr}-{steps}.npz"
    if not path.exists():
        training, splits = trained.open_training()
        transducer = Transducer(trained.scorer, trained.config.seed, steps, lr)
        known = Sample(training, splits.train), Sample(training, splits.calibration)
        ratios = transducer.ratios(*known, test)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **vars(ratios))
    with np.load(path) as kept:
        return Ratios(**kept)


def measure(run: Path) -> Iterator[Mapping[str, float]]:
    """One row per setting: each rate and number of steps, then each constant of the fusion, the others unchanged."""
    trained = TrainedRun.load(run)
    training, splits = trained.open_training()
    own_C = trained.calibration.values_C[trained.score_name]
    for share in (SHARE, *SHARES):
        test, labels = simulated(training, splits.development, share)
        own_N = score_images(trained, test).score_N
        grid = list(itertools.product(STEP_COUNTS, RATES)) if share == SHARE else [(STEPS, LR)]
        for steps, lr in grid:
            ratios = fitted(trained, test, share, lr, steps)
            varied = {"lr": lr, "steps": steps, "low": BOUNDS[0], "high": BOUNDS[1], "least_share": LEAST_SHARE}
            settings = [varied | {"least_z": LEAST_Z}, varied | {"least_z": ALWAYS}]
            if (steps, lr) == (STEPS, LR):
                settings += [
                    varied | {"low": low, "least_share": least_share, "least_z": ALWAYS}
                    for low, least_share in itertools.product(FLOORS, LEAST_SHARES)
                ]
                settings += [varied | {"high": high, "least_z": ALWAYS} for high in CEILINGS]
            for setting in settings:
                bounds = setting["low"], setting["high"]
                fused = fuse(ratios, own_C, own_N, bounds, setting["least_share"], setting["least_z"])
                aucs = {
                    f"{name}_auc": evaluate(score_N, labels).macro.auc
                    for name, score_N in (("boss", own_N), ("ratio", ratios.test_N), ("fused", fused.score_N))
                }
                yield {"share": share} | setting | {"estimated_share": fused.share} | aucs


def main() -> None:
    """Measure and write, after every row."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python benchmarks/transduction.py RUN [OUT]")
    out = Path(sys.argv[2] if len(sys.argv) == 3 else "docs/benchmarks/transduction").with_suffix(".csv")
    rows = []
    for row in measure(Path(sys.argv[1])):
        rows.append(row)
        write_text(out, pd.DataFrame(rows).drop_duplicates().to_csv(index=False, float_format="%.4g"))
    print(pd.DataFrame(rows).drop_duplicates().to_string(index=False))


if __name__ == "__main__":
    main()
