"""Say why one image has its score: which evidence is how unusual, its reconstruction and its error map."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hw8.base.errors import InputError
from hw8.commands.parsing import Omittable, parse
from hw8.config import SUBMISSIONS


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/explain.py."""

    image: Annotated[str, tyro.conf.arg(name="id", metavar="ID")]
    """ID of the image, from 0, or its file name."""
    training: bool = False
    """The ID is that of a training image of the run, for instance of its suspects.csv, instead of a test image."""
    folder: Annotated[Omittable[Path], tyro.conf.arg(name="run")] = None
    """Folder of a finished run. Default: the run finished last."""
    data: Annotated[Omittable[str], tyro.conf.arg(metavar="WHERE")] = None
    """Folder or named source of the test image. Default: the data of the run."""
    out: Omittable[Path] = None
    """Picture to write. Default: submissions/RUN-IMAGE.png; RUN-training-IMAGE.png with --training, RUN-WHERE-IMAGE.png
    with --data."""


def main() -> None:
    """Parse, explain, and print where the picture is."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.report.explanation import explain
    from hw8.report.explanation_figure import draw_explanation
    from hw8.training.run_folder import newest_run

    if arguments.out and arguments.out.suffix != ".png":
        raise InputError(f"`out` {arguments.out}: must end in .png")
    folder = arguments.folder or newest_run()
    explanation = explain(folder, arguments.data, arguments.image, arguments.training)
    name = Path(arguments.image).with_suffix("").as_posix().replace("/", "-")  # of its folder too: names may repeat
    name = f"training-{name}" if arguments.training else name
    name = name if arguments.data is None else f"{Path(arguments.data).resolve().name}-{name}"
    picture = arguments.out or SUBMISSIONS / f"{folder.resolve().name}-{name}.png"
    draw_explanation(picture, explanation)
    print("\n".join(explanation.lines()))
    print(f"Picture:  {picture}")
