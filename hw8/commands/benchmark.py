"""Measure speeds beside the course's way to train and score, in pairs in one run, and print their ratios.

The images are noise of the homework's shape; nothing is learned. The course's way computes in float32: where hw8 would
compute in bfloat16, it is measured in both. Takes ten to twenty minutes on two cores. --busy measures instead, in
about half as long, what is left of hw8's own free rate beside one and two busy processes.
"""

import dataclasses
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from hw8.base.errors import InputError
from hw8.base.text import aligned
from hw8.commands.parsing import parse

ROOT = Path(__file__).parents[2]
PRESETS = ("resnet", "fcn_crop", "boss")  # whose training steps are taken apart
STEPS = 60  # of each, chosen by hand: enough for a steady median in the minutes that the help text promises


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/benchmark.py."""

    seconds: float = 12.0
    """Seconds of each training measured, at least (a step is finished)."""
    repeats: int = 3
    """Pairs of measurements."""
    busy: bool = False
    """Measure rates beside busy processes instead; the machine should have nothing else to do."""
    json: bool = False
    """Print one JSON object and nothing else."""


def measure(arguments: Arguments) -> dict[str, Any]:
    """Everything, or what --busy asks for. Raises InputError for what cannot be measured, as outside of a checkout."""
    if not (ROOT / "benchmarks" / "speed.py").is_file():
        raise InputError("benchmarks/ is not installed with hw8; run python scripts/benchmark.py in a checkout of it")
    if arguments.repeats < 1 or not 0 < arguments.seconds < math.inf:
        raise InputError("`repeats` must be at least 1, and `seconds` a number above 0")
    if arguments.busy and os.environ.get("OMP_NUM_THREADS"):
        raise InputError("OMP_NUM_THREADS gives the number of threads, which hw8 should choose; unset it")
    sys.path.insert(0, str(ROOT))  # benchmarks/ stands beside scripts/, outside of the package
    from benchmarks import busy, speed
    from hw8.base.environment import describe_environment
    from hw8.base.progress import progress_bar

    repeats = arguments.repeats
    results: dict[str, Any] = {"environment": describe_environment(), "precision": speed.OURS}
    total = busy.CASES if arguments.busy else 2 * len(speed.CASES) * len(speed.SETTINGS) + len(PRESETS) + 3
    with progress_bar(total, "benchmark", "part") as bar:

        def advance(result: Any) -> Any:
            bar.update()
            return result

        if arguments.busy:
            return results | {"busy": busy.beside_busy_processes(arguments.seconds, repeats, advance)}

        def in_each_precision(measurement: Any, *words: Any) -> dict[str, Any]:
            """The ratio in the precision that hw8 chooses, and beside it the one in float32."""
            ratios = {
                precision: dataclasses.asdict(advance(measurement(*words, repeats, settings)))
                for precision, settings in speed.SETTINGS.items()
            }
            return {**ratios[speed.OURS], "in_float32": ratios["fp32"]}

        results["training"] = {
            name: {"batch_size": size} | in_each_precision(speed.training, name, arguments.seconds)
            for name, size in speed.CASES.items()
        }
        results["scoring"] = {name: in_each_precision(speed.scoring, name) for name in speed.CASES}
        results["steps"] = {preset: advance(speed.step_shares(preset, STEPS)) for preset in PRESETS}
        results["arithmetic"] = {"resnet": advance(speed.arithmetic_share("resnet", repeats))}
        results["boss_scoring"] = advance(speed.boss_profile(repeats))
        results["start_seconds"] = advance(speed.start_seconds(repeats))
    return results


def busy_lines(busy: dict[str, Any]) -> list[str]:
    """The measurements of --busy as text."""
    rows = [
        (
            f"  {name}", f"{row['busy']}", f"{row['share']:.0%} ({row['low']:.0%} to {row['high']:.0%})",
            f"{row['threads']}", f"{row['images_per_second']:,.0f}", f"{row['all_threads']:.0%}",
        )
        for name, measured in busy["cases"].items()
        for row in measured
    ]  # fmt: skip
    return [
        "Beside so many busy processes: share of the free rate with all threads, median of the turns (lowest to "
        "highest); threads; images per second; the share with all threads",
        *aligned(rows, left=1),
        f"Before, other programs used {busy['others_used_cores']:.2f} cores (0 on a free machine)",
    ]


def lines(results: dict[str, Any]) -> list[str]:
    """The measurements as text."""
    if "busy" in results:
        return busy_lines(results["busy"])
    rows = [
        (
            f"  {what}", name, f"{ratio['ratio']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})",
            f"{ratio['ours']:,.0f}", f"{ratio['reference']:,.0f}", f"{ratio['in_float32']['ratio']:.2f}",
        )
        for what in ("training", "scoring")
        for name, ratio in results[what].items()
    ]  # fmt: skip
    text = [
        f"Times as fast in {results['precision']} as the course's way in fp32: median of the pairs (lowest to highest);"
        " images per second, ours and its; times as fast with both in fp32",
        *aligned(rows, left=2),
        "Shares of a training step that are not the model's own work",
    ]
    for name, step in results["steps"].items():
        parts = ("reading", "augmenting", "logging", "epoch_end", "optimiser")
        shares = ", ".join(f"{part.replace('_', ' ')} {step[part]:.1%}" for part in parts)
        text.append(f"  {name:<9} {step['images_per_second']:,.0f} images/s; {shares}")
    for name, rate in results["arithmetic"].items():
        text.append(
            f"Arithmetic: {name}, forward and backward, reaches {rate['share']:.0%} ({rate['low']:.0%} to "
            f"{rate['high']:.0%}) of what its layers reach alone: {rate['gflops']:,.0f} of "
            f"{rate['alone_gflops']:,.0f} GFLOP/s"
        )
    boss = dict(results["boss_scoring"])
    rate = boss.pop("images_per_second")
    shares = ", ".join(f"{part.replace('_', ' ')} {share:.0%}" for part, share in boss.items())
    start = results["start_seconds"]
    return [
        *text,
        f"boss scores {rate:,.0f} images/s; {shares}",
        f"Start: --help {start['help']:.2f} s, first training step after {start['first_step']:.1f} s",
    ]


def main() -> None:
    """Parse, measure and print."""
    arguments = parse(Arguments, __doc__ or "")
    results = measure(arguments)
    print(json.dumps(results) if arguments.json else "\n".join(lines(results)))
