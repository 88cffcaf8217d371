"""Measure a preset by the one-class protocol: each class in turn is normal, all others are anomalies.

Needs a labelled set; runs on scikit-learn's handwritten digits.
"""

import dataclasses
import json
import sys
from typing import Annotated, Literal

import tyro

from hw8.cli import parse, run


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/oneclass.py."""

    source: Annotated[Literal["digits"], tyro.conf.Positional] = "digits"
    """The labelled set."""
    preset: str = "boss_digits"
    """The preset to train on each class."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...")] = (0,)
    """Seeds of the weights and of the cut into training and test images."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main() -> None:
    """Parse, run every class and seed, and print the table."""
    arguments = parse(Arguments, __doc__ or "")
    import numpy as np

    from hw8.errors import InputError
    from hw8.evaluation.oneclass import digits, one_class
    from hw8.presets import load_preset

    preset = load_preset(arguments.preset)
    if not arguments.seeds or min(arguments.seeds) < 0:
        raise InputError(f"--seeds {' '.join(map(str, arguments.seeds))}: give whole numbers from 0")
    found = {}
    for seed in arguments.seeds:

        def advance(name: str, auc: float, seed: int = seed) -> None:
            print(f"seed {seed}: {name} as normal {auc:.4f}", file=sys.stderr)

        found[seed] = one_class(digits(seed), preset, seed, advance)
    mean = float(np.mean([auc for by_class in found.values() for auc in by_class.values()]))
    if arguments.json:
        print(json.dumps({"preset": arguments.preset, "mean_auc": mean, "auc": found}))
        return
    print("class  " + "  ".join(f"seed {seed}" for seed in found))
    for name in next(iter(found.values())):
        print(f"{name:<5}  " + "  ".join(f"{by_class[name]:6.4f}" for by_class in found.values()))
    print(f"mean ROC-AUC {mean:.4f} ({arguments.preset}, {arguments.source})")


if __name__ == "__main__":
    run(main)
