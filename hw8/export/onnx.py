"""A finished run as one ONNX file: whole uint8 images in, score and p-value out, checked against PyTorch.

Everything is inside: the centre crop, x / 127.5 - 1, the model in float32, evidence and calibration.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hw8.base.errors import InputError, printable
from hw8.base.files import atomic_write
from hw8.data.arrays import Images
from hw8.data.sources import DEMO, HOMEWORK
from hw8.export.graph import OPSET, ScoreGraph, to_onnx
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.evidence import select
from hw8.scoring.fusion import rank_correlation
from hw8.scoring.inference import Scorer
from hw8.training.run_folder import RunFolder

LARGEST_BYTES = 2**31 - 2**24  # what one file takes (protobuf's limit), less the graph itself
TOLERANCE = 1e-3
ROUNDING = 1e-6  # of a float64 distance to the float32 score, at the most
CHECKED = 64
FIRST, SECOND = 1, 3  # sizes of batches in the check; the rest comes at once
NAMED = {"demo": DEMO, "hw8": HOMEWORK}


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far a graph is from PyTorch in float32 on `images` images of a kind, development or random.

    `largest` is the largest difference of a score, relative to the score or, if that is larger, to the interquartile
    range of normal images (a log-odds may be zero); `consistent` whether the p-values follow from the graph's scores;
    `steps` their largest difference from PyTorch's, in calibration images; `own` the rank correlation with the run's
    own scores, if it computes in bfloat16 here.
    """

    images: int
    kind: str
    largest: float
    consistent: bool
    steps: int
    own: float | None

    def problem(self) -> str | None:
        """Why the file must not be used, if so."""
        if not self.largest <= TOLERANCE:  # nan is not either
            return f"its scores of {self.images} {self.kind} images are up to {self.largest:.1e} off PyTorch's"
        return None if self.consistent else f"its p-values of {self.images} {self.kind} images do not fit its scores"

    def lines(self) -> list[str]:
        """The figures in words."""
        p_values = "the same p-values" if not self.steps else f"p-values up to {self.steps} calibration images apart"
        found = [
            f"Checked:  {self.images} {self.kind} images: scores within {self.largest:.1e} of PyTorch's, {p_values}"
        ]
        if self.own is not None:
            found.append(f"          (both in float32; the run's own bfloat16 ranks alike at {self.own:.5f})")
        return found


@dataclasses.dataclass(frozen=True)
class Exported:
    """A written file: the images it takes, some images to try it on, and its agreement with PyTorch if checked."""

    out: Path
    takes: str
    test_images: Path | None
    agreement: Agreement | None

    def lines(self) -> list[str]:
        """What it is, how well it agrees, and three lines of Python that use it."""
        name, size = printable(str(self.out)), self.out.stat().st_size / 1e6
        images = f"np.load({_quoted(self.test_images)})[:256]" if self.test_images else "images_NHWC"
        return [
            f"Wrote:    {name} ({size:.1f} MB, ONNX opset {OPSET}): uint8 images {self.takes} to score and p_value",
            *(self.agreement.lines() if self.agreement else ["Checked:  not, as asked"]),
            "Use it:   import numpy as np, onnxruntime",
            f"          session = onnxruntime.InferenceSession({_quoted(self.out)})",
            f'          score_N, p_value_N = session.run(None, {{"images": {images}}})',
        ]


def _quoted(path: Path) -> str:
    """A path as a word of Python, printable whatever its characters are."""
    return printable(json.dumps(str(path), ensure_ascii=False))


def export_onnx(run: Path, out: Path | None = None, check: bool = True) -> Exported:
    """Write a finished run as one ONNX file, by default RUN/model.onnx, whole or not at all.

    Its input `images` is uint8 (N, side, side, C) or, if the run crops, (N, height, width, C) of any height and width
    that hold the crop: the centre is taken as `Images.read` takes it. Its outputs are `score`, float32 (N,), larger
    for more anomalous, and `p_value`, float64 (N,), by the run's calibration normals. With `check` it is first run on
    images (see `compare`), and appears under its name only if it gives PyTorch's scores.

    Raises InputError for a missing package, a run that is missing, unfinished, transductive or too large for one file,
    a model that PyTorch cannot export, a name that does not end in .onnx, and scores that differ.
    """
    out = out or run / "model.onnx"
    if out.suffix != ".onnx":
        raise InputError(f"`out` {out}: must end in .onnx")
    _need("onnx", "onnxscript", *(["onnxruntime"] if check else []))
    trained, folder = TrainedRun.load(run, "cpu"), RunFolder(run)
    _check_exportable(trained, folder)
    content = _converted(trained, folder).SerializeToString()
    with atomic_write(out) as aside:
        aside.write_bytes(content)
        agreement = compare(aside, trained, *_images(trained)) if check else None
        if agreement and (problem := agreement.problem()):
            raise InputError(f"{out}: not written: {problem}; try another onnxruntime, or `no-check` to have it")
    data = trained.config.data
    test_images = NAMED.get(data.source or "", Path(data.source or "")) / "testingset.npy"
    return Exported(out, _takes(trained), test_images if test_images.is_file() else None, agreement)


def _need(*names: str) -> None:
    """Raise InputError, with the command that installs them, unless these packages can be imported."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            hint = ", or leave the check away with `no-check`" if name == "onnxruntime" else ""
            raise InputError(
                f'{name} is not installed, which the export needs: pip install ".[export]"{hint}'
            ) from None


def _check_exportable(trained: TrainedRun, folder: RunFolder) -> None:
    """Raise InputError for a run that no graph of single images can stand for, or no file can hold."""
    run, fit, crop = trained.name, trained.calibration.fits.get(trained.score_name), trained.config.data.crop
    if crop not in (None, side := trained.side):
        raise InputError(f"{folder.config}: crop = {crop}, but the model takes images of {side}x{side}")
    if trained.config.scoring.transductive:
        raise InputError(
            f"`run` {run}: is transductive: its scores come from a whole test set at once, and an exported graph looks "
            "at each image alone; export a run of boss"
        )
    size = sum(value.nbytes for value in trained.scorer.model.state_dict().values())
    size += 0 if fit is None else sum(value.nbytes for value in dataclasses.asdict(fit).values())
    if size > LARGEST_BYTES:
        raise InputError(f"`run` {run}: {size:,} bytes of weights and calibration; one ONNX file takes 2 GB")


def _converted(trained: TrainedRun, folder: RunFolder) -> Any:
    """The run as an onnx.ModelProto. Raises InputError if its model uses what a graph has no word for."""
    side, channels = trained.side, trained.channels
    graph = ScoreGraph(trained.scorer.model, trained.config.scoring, trained.calibration).eval()
    try:
        proto = to_onnx(graph, side, channels, trained.config.data.crop is not None, _about(trained, folder))
    except Exception as error:  # PyTorch's exporter and ONNX fail in many ways
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"`run` {trained.name}: PyTorch cannot export its model ({reason})") from None
    proto.producer_name, proto.producer_version = "hw8", version("hw8")
    return proto


def _about(trained: TrainedRun, folder: RunFolder) -> dict[str, str]:
    """Where the file comes from: the metadata that goes with it."""
    config, side, channels = trained.config, trained.side, trained.channels
    about = {
        "hw8": version("hw8"),
        "run": printable(folder.path.resolve().name),
        "preset": config.preset,
        "model": config.model.name,
        "side": side,
        "channels": channels,
        "crop": config.data.crop or "",
        "score": config.scoring.score,
        "parts": " ".join(config.scoring.parts),
        "calibration_images": len(trained.calibration.values_C[trained.score_name]),
        "run_sha256": hashlib.sha256(folder.model.read_bytes()).hexdigest(),
    }
    with contextlib.suppress(InputError):  # without its summary a run still scores
        about["fingerprint"] = folder.fingerprint()
    return {name: str(value) for name, value in about.items()}


def _takes(trained: TrainedRun) -> str:
    """The images that the file takes, in words."""
    side, channels = trained.side, trained.channels
    if trained.config.data.crop is None:
        return f"(N, {side}, {side}, {channels})"
    return f"(N, height, width, {channels}), whose centre of {side}x{side} it crops,"


def compare(path: Path, trained: TrainedRun, images: Images, kind: str) -> Agreement:
    """A file beside the run itself, on these images: the file by onnxruntime, the run in float32 and as it is.

    Raises InputError if onnxruntime cannot run it.
    """
    try:
        score_N, p_value_N = run_file(path, images.read_whole(np.arange(len(images))))
    except Exception as error:  # onnxruntime's own, which have no common base
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"`run` {trained.name}: onnxruntime cannot run the exported graph ({reason})") from None
    calibration, name = trained.calibration, trained.score_name
    exact = Scorer(trained.scorer.model, torch.device("cpu"), "fp32", CHECKED, trained.scorer.evidence_names)
    expected_N = _scores(trained, exact, images)
    low_C, high_C = np.percentile(calibration.values_C[name], (25, 75))
    size_N = np.maximum(np.abs(expected_N), max(high_C - low_C, 1e-12))
    steps_N = (p_value_N - calibration.p_value(name, expected_N)) * (len(calibration.values_C[name]) + 1)
    least_N, most_N = (calibration.p_value(name, score_N + up * np.abs(score_N)) for up in (ROUNDING, -ROUNDING))
    own = None
    if trained.scorer.precision != "fp32":
        own = float(rank_correlation([score_N, _scores(trained, trained.scorer, images)])[0, 1])
    return Agreement(
        images=len(images),
        kind=kind,
        largest=float((np.abs(score_N - expected_N) / size_N).max()),
        consistent=bool(((least_N <= p_value_N) & (p_value_N <= most_N)).all()),
        steps=round(np.abs(steps_N).max()),
        own=own,
    )


def run_file(path: Path, images_NHWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and p-values, float64 (N,), that onnxruntime gets from a file: of one image, of three, and of the rest."""
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batches = np.split(images_NHWC, [FIRST, FIRST + SECOND])
    found = [session.run(["score", "p_value"], {"images": batch}) for batch in batches if len(batch)]
    score_N, p_value_N = (np.concatenate(part) for part in zip(*found, strict=True))
    return score_N.astype(np.float64), p_value_N


def _scores(trained: TrainedRun, scorer: Scorer, images: Images) -> np.ndarray:
    """The run's scores of all images, float64 (N,)."""
    table = scorer.table(images, np.arange(len(images)))
    return select(trained.calibration.scores(table), trained.score_name)


def _images(trained: TrainedRun) -> tuple[Images, str]:
    """Images to check on, up to 64, uncropped: development images if the run's data are at hand, else random ones."""
    data, side, channels = trained.config.data, trained.side, trained.channels
    if data.source != "demo" or (DEMO / "trainingset.npy").exists():  # else it would be drawn anew
        with contextlib.suppress(InputError):
            images, splits = trained.open_training()
            rows = splits.development[:: -(-len(splits.development) // CHECKED)]
            if (images.side, images.channels) == (side, channels):
                return Images(images.read_whole(rows), data.crop), "development"
    whole = side if data.crop is None else side + 7
    rng = np.random.default_rng(0)
    mean, contrast = rng.integers(0, 256, (2, CHECKED, 1, 1, channels))
    pixels = mean + contrast / 2 * rng.uniform(-1, 1, (CHECKED, whole, whole, channels))
    return Images(pixels.clip(0, 255).astype(np.uint8), data.crop), "random"
