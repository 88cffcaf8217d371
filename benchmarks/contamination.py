"""What anomalies among the training images cost: `python benchmarks/contamination.py FACES [SEED ...]`.

In copies of the folder FACES a share of the training images is replaced by generated cartoons and cats, which no test
set holds. The default preset is trained on each, with each seed (default: 0), and scores the untouched test set. Prints
ROC-AUC by kind and how many of the planted anomalies `train.py` names among its suspects; runs stay in
runs/contamination; finished ones are not made again, and an interrupted one is resumed.
"""

import shutil
import sys
from pathlib import Path

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import atomic_write
from hw8.config import RUNS
from hw8.config.presets import DEFAULT_PRESET, changed, load_preset
from hw8.data.demo import demo_images
from hw8.evaluation.metrics import evaluate
from hw8.runs.scores import score_images
from hw8.runs.suspects import find_suspects
from hw8.runs.train import train_or_resume
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.tails import is_flagged

SHARES = 0.0, 0.01, 0.05, 0.1
KINDS = "cartoon", "cat"
SEED = 8  # of the anomalies and of the rows that they replace: not the demo data's own


def contaminated(faces: Path, share: float, folder: Path) -> np.ndarray:
    """Write a copy of the data with a share of anomalies among its training images; return their rows, rising."""
    training = np.load(faces / "trainingset.npy", mmap_mode="r")
    count = round(share * len(training))
    rows: np.ndarray = np.sort(np.random.default_rng(SEED).permutation(len(training))[:count])
    if not (folder / "trainingset.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        anomalies = np.concatenate([demo_images(kind, -(-count // len(KINDS)), SEED) for kind in KINDS])
        mixed = np.array(training)
        mixed[rows] = np.random.default_rng(SEED).permutation(anomalies)[:count]
        for name in ("testingset.npy", "testing_labels.csv"):
            shutil.copy(faces / name, folder / name)
        with atomic_write(folder / "trainingset.npy") as temporary, temporary.open("wb") as file:
            np.save(file, mixed)
    return rows


def line(faces: Path, share: float, seed: int) -> str:
    """What a share of anomalies costs a training with this seed, in a line."""
    data, out = RUNS / "contamination" / f"data-{share}", RUNS / "contamination" / f"run-{share}-seed{seed}"
    rows = contaminated(faces, share, data)
    if not (out / "summary.json").exists():
        train_or_resume(changed(load_preset(DEFAULT_PRESET), seed=seed, data={"source": str(data)}), out)
    run = TrainedRun.load(out)
    source = run.open_source(str(data))
    labels = source.labels()
    if labels is None:
        raise InputError(f"{source.name}: its test images have no labels")
    scores = score_images(run, run.open_test(source))
    evaluation = evaluate(scores.score_N, labels)
    alarms = is_flagged(scores.p_value_N[labels.label_N == 0]).mean()
    suspects = find_suspects(run, *run.open_training()).row_S
    kinds = ", ".join(f"{name} {item.auc:.3f}" for name, item in evaluation.kinds.items())
    return (
        f"seed {seed}, {share:.0%}: macro {evaluation.macro.auc:.4f} ({kinds}); {alarms:.3f} of the normals at "
        f"p <= .05; {len(suspects)} suspects, of which {np.isin(suspects, rows).sum()} of the {len(rows)} anomalies"
    )


def main() -> None:
    """Train, if it is not done, and print a line per seed and share."""
    if len(sys.argv) < 2 or not all(word.isdecimal() for word in sys.argv[2:]):
        sys.exit("usage: python benchmarks/contamination.py FACES [SEED ...]")
    for seed in map(int, sys.argv[2:] or ["0"]):
        for share in SHARES:
            print(line(Path(sys.argv[1]), share, seed), flush=True)


if __name__ == "__main__":
    main()
