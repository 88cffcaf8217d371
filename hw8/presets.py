"""Named runs, one function each. A preset starts from another and changes what differs."""

import dataclasses
from collections.abc import Callable
from typing import Any

from hw8.config import RunConfig
from hw8.errors import InputError

PRESETS: dict[str, Callable[[], RunConfig]] = {}


def preset(function: Callable[[], RunConfig]) -> Callable[[], RunConfig]:
    """Register a named run; its name is the function's name. A second of the same name is an error."""
    name = function.__name__
    if name in PRESETS:
        raise ValueError(f"preset {name!r} is registered twice")
    PRESETS[name] = lambda: dataclasses.replace(function(), preset=name)
    return PRESETS[name]


def load_preset(name: str) -> RunConfig:
    """The settings of a named run. Raises InputError for an unknown name."""
    if name not in PRESETS:
        raise InputError(f"--preset {name}: unknown; choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]()


def changed(config: RunConfig, **sections: dict[str, Any]) -> RunConfig:
    """A copy of `config` with fields of some sections changed: changed(base, train={"epochs": 3})."""
    parts = {name: dataclasses.replace(getattr(config, name), **fields) for name, fields in sections.items()}
    return dataclasses.replace(config, **parts)


@preset
def conv() -> RunConfig:
    """Strided convolutions down to a latent vector, transposed ones back: the plain baseline."""
    return changed(RunConfig(), model={"name": "conv", "options": {"latent": 128}})


@preset
def fcn() -> RunConfig:
    """Fully connected autoencoder on the whole image."""
    return changed(RunConfig(), model={"name": "fcn", "options": {"widths": [512, 128], "latent": 32}})


@preset
def fcn_crop() -> RunConfig:
    """Fully connected, BatchNorm, narrow latent, on the centre of the face: what the published scores favour."""
    return changed(
        fcn(),
        data={"crop": 32, "flip": True},
        model={"options": {"widths": [512], "latent": 32, "norm": "batch"}},
        train={"epochs": 20},
    )


@preset
def resnet() -> RunConfig:
    """Residual encoder and decoder around a narrow latent, on the centre of the face."""
    return changed(
        RunConfig(),
        data={"crop": 32, "flip": True},
        model={"name": "resnet", "options": {"latent": 64}},
        train={"loss": "l1"},
    )


DEFAULT_PRESET = "fcn_crop"
