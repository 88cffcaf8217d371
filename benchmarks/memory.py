"""Peak memory of training and scoring on many generated images: `python benchmarks/memory.py 100000 400000`.

Writes a file of noise of each size (12,288 bytes an image) into a temporary folder, trains a preset on it for an epoch,
scores a test set of 20,000, and looks at the processes' private memory (RssAnon) and resident memory (VmRSS) fifty
times a second. Linux only; 400,000 images take 4.9 GB of disk.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

ROOT = Path(__file__).parents[1]
TEST = 20_000


def write_noise(path: Path, count: int) -> None:
    """Write `count` images of noise, a thousand at a time."""
    array = open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, 64, 64, 3))
    rng = np.random.default_rng(0)
    for start in range(0, count, 1000):
        array[start : start + 1000] = rng.integers(0, 256, array[start : start + 1000].shape, dtype=np.uint8)
    array.flush()


def peak(command: list[str]) -> dict[str, float]:
    """Run a command; its peak private and resident memory in MB, and its minutes."""
    found = {"private_mb": 0.0, "resident_mb": 0.0}
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
            except OSError:
                break
            values = dict(line.split(":", 1) for line in lines)
            for name, field in (("private_mb", "RssAnon"), ("resident_mb", "VmRSS")):
                if field in values:
                    found[name] = max(found[name], int(values[field].split()[0]) * 1024 / 1e6)
            time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{command} failed")
    return found | {"minutes": (time.perf_counter() - started) / 60}


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
