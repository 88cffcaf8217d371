"""The good files that cases are made from: a data folder and a finished run on it."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np

DATA, RUN = "data", "run"
COUNT, SIDE = 60, 16


def make_good_files(base: Path) -> Path:
    """Fill an empty folder; takes a second or two."""
    from hw8.config import RunConfig, ScoreConfig
    from hw8.config.presets import changed
    from hw8.runs.train import train_run

    (base / DATA).mkdir(parents=True)
    for name, count, seed in (("trainingset", COUNT, 0), ("testingset", 12, 1)):
        np.save(base / DATA / f"{name}.npy", _pictures(count, seed))
    config = changed(
        RunConfig(device="cpu", precision="fp32", scoring=ScoreConfig("joint", ("l1", "latent"))),
        data={"source": str(base / DATA), "held_out_minimum": 12},
        model={"name": "fcn", "options": {"widths": [8], "latent": 3, "norm": "batch"}},
        train={"epochs": 2, "least_steps": 0, "batch_size": 16},
    )
    train_run(config, base / RUN)
    for path in (base / RUN).glob("events*"):
        path.unlink()
    (base / RUN / "config.yaml").write_text(_short(config))
    return base


def _short(config: Any) -> str:
    """The settings that are not the default: hundreds of cases read them, and YAML is slow."""
    import yaml

    from hw8.config import RunConfig

    given, default = (dataclasses.asdict(item) for item in (config, RunConfig()))
    found: dict[str, Any] = {}
    for section, values in given.items():
        if isinstance(values, dict):
            found[section] = {name: value for name, value in values.items() if value != default[section][name]}
        elif values != default[section]:
            found[section] = values
    found["scoring"]["parts"] = list(found["scoring"]["parts"])
    return yaml.safe_dump(found, sort_keys=False)


def _pictures(count: int, seed: int) -> np.ndarray:
    """Smooth grey gradients, each of its own slope."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    slope_N211 = rng.normal(0, 60, (count, 2, 1, 1))
    value_NHW = (
        128 + slope_N211[:, 0] * (y - 0.5) + slope_N211[:, 1] * (x - 0.5) + rng.normal(0, 4, (count, SIDE, SIDE))
    )
    return value_NHW.clip(0, 255).astype(np.uint8)[..., None]


def copy_run(run: Path, to: Path) -> None:
    """A run's files, to be broken."""
    to.mkdir()
    for path in run.iterdir():
        if path.is_file():
            shutil.copyfile(path, to / path.name)
