"""Draw images from the prior of a generative run (vae, aae), and walks between test images in its latent space."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import tyro

from hw8.commands.parsing import Omittable, parse
from hw8.commands.spelling import spelled


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/sample.py."""

    folder: Annotated[Omittable[Path], tyro.conf.arg(name="run")] = None
    """Folder of a finished run of a model with a decoder and a prior. Default: the run finished last."""
    data: Annotated[Omittable[str], tyro.conf.arg(metavar="WHERE")] = None
    """Folder or named source of the images to walk between. Default: the data of the run; its held-out images if it has
    no test set."""
    count: int = 40
    """Samples of the prior."""
    seed: int = 0
    """Decides the samples, and the images to walk between."""
    out: Omittable[Path] = None
    """Picture to write. Default: samples.png in the folder of the run."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main() -> None:
    """Parse, draw, and print where the picture is."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.report.samples import draw_samples, sample
    from hw8.runs.trained_run import TrainedRun
    from hw8.training.run_folder import newest_run

    folder = arguments.folder or newest_run()
    run = TrainedRun.load(folder)
    samples = sample(run, run.open_test(run.open_source(arguments.data)), arguments.count, arguments.seed)
    out = arguments.out or folder / "samples.png"
    draw_samples(out, samples)
    if arguments.json:
        pairs = samples.rows_P2.tolist()
        print(json.dumps({"out": str(out), "count": arguments.count, "seed": arguments.seed, "pairs": pairs}))
        return
    print(f"Picture:  {out}")
    where = () if arguments.data is None else ("--data", arguments.data)
    print(f"Next:     {spelled('report', folder, *where)}")
