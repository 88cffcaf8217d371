"""What must not change, made once by the code of version 0.1: a run folder, a pickled estimator, options, JSON keys.

    python -m tests.golden        writes tests/data/golden/ anew; only a change of format that is meant calls for it

`tests/test_golden.py` holds the code against these files.
"""

import contextlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "data" / "golden"
COMMANDS = sorted(path.stem for path in (ROOT / "scripts").glob("[a-z]*.py"))
SETTINGS = (
    "--preset", "fcn", "--epochs", "2", "--batch-size", "16", "--device", "cpu", "--precision", "fp32",
    "--option", "widths=[8]", "latent=4",
)  # fmt: skip


def images(count: int, seed: int) -> np.ndarray:
    """Noise around a few smooth patterns, uint8 (count, 16, 16, 3): the same on every machine."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    phase = rng.integers(0, 8, count)[:, None, None]
    pattern = ((x + y)[None] + phase) * 6 % 160
    noise = rng.integers(0, 40, (count, 16, 16, 3))
    return (pattern[..., None] + noise + 20).astype(np.uint8)


def data(folder: Path) -> Path:
    """The golden run's data: 60 training and 20 test images, of which the last five are anomalous."""
    folder.mkdir(parents=True)
    np.save(folder / "trainingset.npy", images(60, 0))
    test = images(20, 1)
    test[15:] = 255 - test[15:]
    np.save(folder / "testingset.npy", test)
    lines = ["ID,label,kind", *(f"{row},{int(row >= 15)},{'inverted' if row >= 15 else 'normal'}" for row in range(20))]
    (folder / "testing_labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def options(help_text: str) -> list[str]:
    """The options that a help text names, and the words that stand for their values."""
    return sorted(set(re.findall(r"--[a-z][\w-]*", help_text)))


def helped(name: str) -> str:
    """What `python scripts/NAME.py --help` prints."""
    words = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), "--help"]
    environment = os.environ | {"COLUMNS": "100"}
    return subprocess.run(words, capture_output=True, text=True, check=True, env=environment, cwd=ROOT).stdout


def _call(name: str, *words: object) -> str:
    """Run a script in the current folder; returns what it printed."""
    line = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, capture_output=True, text=True, check=True, env=environment).stdout


def json_keys(text: str) -> list[str]:
    """The names in a JSON object, those of objects in it as outer.inner; of anomaly kinds only the first."""
    found = []
    for name, value in json.loads(text).items():
        inner = value.items() if isinstance(value, dict) and name != "kinds" else ()
        found += [name, *(f"{name}.{key}" for key, _ in inner)]
    return sorted(found)


def main() -> None:
    """Train, predict, fit and write."""
    from hw8 import AnomalyDetector
    from hw8.config.presets import changed, load_preset

    if GOLDEN.exists():
        shutil.rmtree(GOLDEN)
    GOLDEN.mkdir()
    with tempfile.TemporaryDirectory() as where, contextlib.chdir(where):
        data(Path("images"))
        _call("train", *SETTINGS, "--data", "images", "--out", "run")
        predicted = _call("predict", "--run", "run", "--out", "scores.csv", "--json")
        evaluated = _call("evaluate", "scores.csv", "--labels", "images/testing_labels.csv", "--json")
        summary = Path("run/summary.json").read_text()
        keys = {"predict": json_keys(predicted), "evaluate": json_keys(evaluated), "summary.json": json_keys(summary)}
        (GOLDEN / "run").mkdir()
        for name in ("config.yaml", "model.safetensors", "resume.pt", "metrics.csv", "summary.json"):
            shutil.copy(Path("run") / name, GOLDEN / "run")
        shutil.copy("scores.csv", GOLDEN)
        small = changed(load_preset("fcn"), model={"options": {"widths": [8], "latent": 4}})
        detector = AnomalyDetector(small, epochs=2, random_state=0, device="cpu", precision="fp32")
        with contextlib.redirect_stderr(io.StringIO()):
            detector.fit(images(60, 0))
        (GOLDEN / "detector.pkl").write_bytes(pickle.dumps(detector, protocol=4))
        np.savetxt(GOLDEN / "detector_scores.txt", detector.score_samples(images(20, 1)), "%.9g")
    (GOLDEN / "keys.json").write_text(json.dumps(keys, indent=1) + "\n")
    (GOLDEN / "options.json").write_text(
        json.dumps({name: options(helped(name)) for name in COMMANDS}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
