"""Peak memory of training and scoring on many generated images: `python benchmarks/memory.py 100000 400000`.

Writes a file of noise of each size (12,288 bytes per image) into a temporary folder, trains a preset on it for one
epoch, scores a test set of 20,000, and samples the processes' private and resident memory fifty times a second.
400,000 images take 4.9 GB of disk.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from hw8.base.memory import PeakMemory

ROOT = Path(__file__).parents[1]
TEST = 20_000


def write_noise(path: Path, count: int) -> None:
    """Write `count` images of noise, a thousand at a time."""
    array = open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, 64, 64, 3))
    rng = np.random.default_rng(0)
    for start in range(0, count, 1000):
        array[start : start + 1000] = rng.integers(0, 256, array[start : start + 1000].shape, dtype=np.uint8)
    array.flush()


def peak(command: list[str]) -> dict[str, float | None]:
    """Run a command; its peak private and resident memory in MB, and its minutes."""
    started = time.perf_counter()
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, stdout=nowhere, stderr=nowhere)
    with process, PeakMemory(process.pid) as memory:
        process.wait()
    if process.returncode:
        raise RuntimeError(f"{command} failed")
    minutes = (time.perf_counter() - started) / 60
    return {"private_mb": memory.private_mb, "resident_mb": memory.resident_mb, "minutes": minutes}


def main() -> None:
    """Measure each size given on the command line, and print one JSON object."""
    counts = [int(word) for word in sys.argv[1:]] or [100_000, 400_000]
    preset = "fcn_crop"
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_noise(data / "testingset.npy", TEST)
        for count in counts:
            write_noise(data / "trainingset.npy", count)
            run = str(data / f"run-{count}")
            train = ["scripts/train.py", "--preset", preset, "--data", folder, "--epochs", "1", "--out", run]
            score = ["scripts/predict.py", "--run", run, "--out", str(data / "scores.csv")]
            results[count] = {
                "training": peak([sys.executable, *train]),
                "scoring": peak([sys.executable, *score]),
            }
            (data / "trainingset.npy").unlink()
    print(json.dumps({"preset": preset, "images": results}))


if __name__ == "__main__":
    main()
