"""Write a run as one file that scores images without hw8 or PyTorch: uint8 images in, score and p-value out."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hw8.commands.parsing import Omittable, parse


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/export.py."""

    folder: Annotated[Omittable[Path], tyro.conf.arg(name="run", metavar="RUN")] = None
    """Folder of a finished run. Default: the run finished last."""
    format: Literal["onnx"] = "onnx"
    """What to write: ONNX, which onnxruntime and many others read."""
    out: Annotated[Omittable[Path], tyro.conf.arg(metavar="FILE.onnx")] = None
    """File to write. Default: RUN/model.onnx."""
    check: bool = True
    """Compare its scores with PyTorch's before it appears under its name."""


def main() -> None:
    """Parse, export, and print where the file is, how well it agrees, and how to use it."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.export.onnx import export_onnx
    from hw8.training.run_folder import newest_run

    exported = export_onnx(arguments.folder or newest_run(), arguments.out, arguments.check)
    print("\n".join(exported.lines()))
