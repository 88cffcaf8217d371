"""What several test files use by name; what they share by value are the fixtures of conftest.py."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hw8.config import RunConfig
from hw8.config.presets import changed, load_preset
from hw8.explorer.catalogue import Catalogue


def heavy(names: list[str], quick: set[str]) -> list[Any]:
    """Names to parametrise a test by, of which all but a few are slow: those few meet every line that the others do."""
    assert quick <= set(names)
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in names]


def scored(catalogue: Catalogue) -> Catalogue:
    """The same catalogue, with nothing left to be done in the background."""
    catalogue.score()
    catalogue.score_evidence()
    catalogue.find_neighbours()
    return catalogue


def settings_of_a_second(small: Path) -> RunConfig:
    """Settings of a run that takes a second."""
    config = changed(
        load_preset("fcn_crop"),
        data={"source": str(small), "crop": None, "held_out_minimum": 40},
        model={"options": {"widths": [32], "latent": 8, "norm": "batch"}},
        train={"epochs": 3, "least_steps": 0, "batch_size": 64},
    )
    return dataclasses.replace(config, device="cpu")
