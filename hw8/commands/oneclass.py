"""Measure a preset by the one-class protocol: each class in turn is normal, all others are anomalies.

Takes any labelled set, scikit-learn's handwritten digits without any file. Stopped, the same command resumes. With
well-known sets, published figures are printed beside ours. See docs/oneclass.md.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hw8.commands.parsing import Omittable, is_given, parse
from hw8.commands.spelling import for_shell, own_words, spelled


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/oneclass.py."""

    source: Annotated[str, tyro.conf.Positional] = "digits"
    """digits; an .npz file; or a folder of class folders, of MNIST's IDX files, or of CIFAR-10's binary files."""
    preset: Omittable[str] = None
    """The preset to train on each class, or a classical baseline (see compare). Default: boss_digits for digits, else
    boss_quick."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...")] = (0,)
    """Seeds of the weights, and of the cut into training and test images where the set has no test part."""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="")] = ()
    """Classes that are normal in turn. Default: all."""
    epochs: Omittable[int] = None
    """Passes over each class. Default: the preset's, or as many as make its `least_steps`."""
    side: Omittable[int] = None
    """Side of the images in pixels. Default: theirs, rounded up to a multiple of 16, at least 32."""
    mirror: Literal["auto", "yes", "no"] = "auto"
    """Whether the preset may mirror images; auto: not grey ones, which are often characters that mirroring changes."""
    compare_with: Literal["auto", "mnist", "fashion-mnist", "cifar10"] = "auto"
    """The set whose published figures are shown. Default: the set itself, if it is recognised."""
    out: Omittable[Path] = None
    """The .csv file of finished results. Default: submissions/oneclass/NAME-PRESET.csv."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main() -> None:
    """Parse, run every class and seed, and print the tables."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.oneclass.sources import open_labelled

    source = open_labelled(arguments.source, arguments.side)
    from hw8.base.progress import progress_bar
    from hw8.oneclass.protocol import Plan, default_preset, load_method, measure, settings_for_set
    from hw8.oneclass.published import comparison, figures

    config = settings_for_set(source, load_method(arguments.preset or default_preset(source)), arguments.mirror)
    plan = Plan(source, config, arguments.seeds, arguments.classes, arguments.epochs, arguments.out)
    for note in source.notes:
        print(f"{source.name}: {note}", file=sys.stderr)
    with progress_bar(len(plan.normal()) * len(plan.seeds), "one-class", "class") as bar:

        def advance(line: str) -> None:
            bar.write(line, file=sys.stderr)
            bar.update()

        results = measure(plan, advance)
    published = source.literature_name if arguments.compare_with == "auto" else arguments.compare_with
    if arguments.json:
        head = {"source": source.name, "preset": config.preset, "ledger": str(plan.file())}
        print(json.dumps(head | {"published": figures(published)} | results.as_json()))
        return
    mean, is_complete = results.mean(), len(plan.normal()) == len(source.classes())
    print(results.text())
    spread = f"; spread over seeds {results.spread():.4f}" if len(plan.seeds) > 1 else ""
    print(f"mean ROC-AUC {mean:.4f} ({config.preset}, {source.name}){spread}")
    print(f"Held-out:  {results.mean('held_out_auc'):.4f}, unseen {results.mean('unseen_auc'):.4f} (without labels)")
    print(f"Results:   {plan.file()}")
    print(for_shell(comparison(published, config.preset, mean, is_complete)))
    if not is_given("seeds", own_words()):  # one seed does not say how far others are from it
        print(f"Next:     {spelled('oneclass', *own_words(), '--seeds', 0, 1, 2)}")
