"""Measure speeds beside the course's way to train and score, in pairs in one run, and print their ratios.

The images are noise of the homework's shape; nothing is learned. The course's way computes in float32: where hw8 would
compute in bfloat16, it is measured in both. Takes five to ten minutes on two cores.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from hw8.base.errors import InputError
from hw8.commands.parsing import parse

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/benchmark.py."""

    seconds: float = 12.0
    """Seconds of each training measured, at the least (a step is finished)."""
    repeats: int = 3
    """Pairs of measurements."""
    json: bool = False
    """Print one JSON object and nothing else."""


def measure(arguments: Arguments) -> dict[str, Any]:
    """Everything, one after the other. Raises InputError outside of a checkout."""
    if not (ROOT / "benchmarks" / "speed.py").is_file():
        raise InputError("benchmarks/ is not installed with hw8; run python scripts/benchmark.py in a checkout of it")
    sys.path.insert(0, str(ROOT))  # benchmarks/ stands beside scripts/, outside of the package
    from tqdm import tqdm

    from benchmarks import speed
    from hw8.base.device import keep_memory
    from hw8.base.environment import describe_environment

    keep_memory()  # as training and scoring do
    environment = describe_environment()
    found: dict[str, Any] = {"environment": environment, "precision": speed.OURS, "training": {}, "scoring": {}}
    parts = 2 * len(speed.CASES) * len(speed.SETTINGS) + 6
    with tqdm(total=parts, desc="benchmark", unit="part", file=sys.stderr) as bar:
        for name, batch_size in speed.CASES.items():
            by_precision = {}
            for precision, settings in speed.SETTINGS.items():
                ratio = speed.training(name, arguments.seconds, arguments.repeats, settings)
                by_precision[precision] = dataclasses.asdict(ratio)
                bar.update()
            found["training"][name] = {"batch_size": batch_size} | _with_equal_arithmetic(by_precision, speed.OURS)
        for name in speed.CASES:
            by_precision = {}
            for precision, settings in speed.SETTINGS.items():
                by_precision[precision] = dataclasses.asdict(speed.scoring(name, arguments.repeats, settings))
                bar.update()
            found["scoring"][name] = _with_equal_arithmetic(by_precision, speed.OURS)
        for preset in ("resnet", "fcn_crop", "boss"):
            found.setdefault("steps", {})[preset] = speed.step_shares(preset, 60)
            bar.update()
        found["arithmetic"] = {"resnet": speed.arithmetic_share("resnet", arguments.repeats)}
        bar.update()
        found["boss_scoring"] = speed.boss_profile(arguments.repeats)
        bar.update()
        found["start_seconds"] = speed.start_seconds(arguments.repeats)
        bar.update()
    return found


def _with_equal_arithmetic(by_precision: dict[str, dict[str, float]], ours: str) -> dict[str, Any]:
    """The ratio in the precision that hw8 chooses, and beside it the one in float32."""
    return {**by_precision[ours], "in_float32": by_precision["fp32"]}


def lines(found: dict[str, Any]) -> list[str]:
    """The measurements as text."""
    text = [
        f"Times as fast in {found['precision']} as the course's way in fp32: median of the pairs (lowest to highest); "
        "images per second, ours and its; times as fast with both in fp32"
    ]
    for what in ("training", "scoring"):
        for name, item in found[what].items():
            text.append(
                f"  {what:<9} {name:<15} {item['ratio']:5.2f} ({item['low']:.2f} to {item['high']:.2f})"
                f"   {item['ours']:8,.0f} {item['reference']:8,.0f}   {item['in_float32']['ratio']:5.2f}"
            )
    text.append("Shares of a training step that are not the model's own work")
    for name, item in found["steps"].items():
        parts = ("reading", "augmenting", "logging", "epoch_end", "optimiser")
        shares = ", ".join(f"{key.replace('_', ' ')} {item[key]:.1%}" for key in parts)
        text.append(f"  {name:<15} {item['images_per_second']:,.0f} images/s; {shares}")
    for name, item in found["arithmetic"].items():
        text.append(
            f"Arithmetic: {name}, forward and backward, reaches {item['share']:.0%} ({item['low']:.0%} to "
            f"{item['high']:.0%}) of what its layers reach alone: {item['gflops']:,.0f} of "
            f"{item['alone_gflops']:,.0f} GFLOP/s"
        )
    boss = dict(found["boss_scoring"])
    rate = boss.pop("images_per_second")
    text.append(
        f"boss scores {rate:,.0f} images/s; " + ", ".join(f"{k.replace('_', ' ')} {v:.0%}" for k, v in boss.items())
    )
    start = found["start_seconds"]
    text.append(f"Start: --help {start['help']:.2f} s, first training step after {start['first_step']:.1f} s")
    return text


def main() -> None:
    """Parse, measure and print."""
    arguments = parse(Arguments, __doc__ or "")
    found = measure(arguments)
    print(json.dumps(found) if arguments.json else "\n".join(lines(found)))
