"""A finished run as one ONNX file, which scores images without hw8, checked against PyTorch before it appears."""

import contextlib
import dataclasses
import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hw8 import __version__
from hw8.base.errors import InputError, error_reason, printable
from hw8.base.files import atomic_write
from hw8.data.arrays import Images
from hw8.data.sources import TESTING, TRAINING, array_exists, source_folder
from hw8.data.splits import evenly_spaced
from hw8.export.graph import OPSET, ScoreGraph, to_onnx
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.fusion import rank_correlation
from hw8.scoring.inference import Scorer

# Largest relative difference of a score. Chosen by hand: another order of summation gives 1e-6 to 1e-4 in float32, a
# wrong operator far more than 1e-2.
TOLERANCE = 1e-3
# Relative rounding, at most, of a float64 distance to the float32 score: p-values within it are consistent.
ROUNDING = 1e-6
CHECKED = 64  # images of the check, chosen by hand: enough for several p-values, and a second's work
FIRST, SECOND = 1, 3  # sizes of its first batches, the rest is the third: a graph must take any number of images
RANDOM = "random"  # the kind of images that stand in for the run's own
MARGIN = 7  # pixels around the crop of random images: odd, so that the crop's rounding is checked too


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
        lines = [
            f"Checked:  {self.images} {self.kind} images: scores within {self.largest:.1e} of PyTorch's, {p_values}"
        ]
        if self.kind == RANDOM:
            lines.append("          (the run's own images are not here; where it was trained, they would be checked)")
        if self.own is not None:
            lines.append(f"          (both in float32; the run's own bfloat16 ranks alike at {self.own:.5f})")
        return lines


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
    """A path as a string of Python, printable whatever its characters are."""
    return printable(json.dumps(str(path), ensure_ascii=False))


def export_onnx(run: Path, out: Path | None = None, check: bool = True) -> Exported:
    """Write a finished run as one ONNX file, by default RUN/model.onnx, whole or not at all.

    Its input `images` is uint8 (N, side, side, C) or, if the run crops, (N, height, width, C) of any height and width
    that hold the crop: the centre is taken as `Images.read` takes it. Its outputs are `score`, float32 (N,), larger
    for more anomalous, and `p_value`, float64 (N,), by the run's calibration normals. With `check` it is first run on
    images (see `compare`), and appears under its name only if it gives PyTorch's scores.

    Raises InputError for a missing package, a run that is missing, unfinished or transductive, a model that PyTorch
    cannot export or one file cannot hold (2 GB), a name that does not end in .onnx, and scores that differ.
    """
    out = out or run / "model.onnx"
    if out.suffix != ".onnx":
        raise InputError(f"`out` {out}: must end in .onnx")
    for package in ("onnx", "onnxscript", *(["onnxruntime"] if check else [])):
        try:
            importlib.import_module(package)
        except ImportError:
            hint = ", or omit the check with `no-check`" if package == "onnxruntime" else ""
            remedy = f'pip install -e ".[export]"{hint}'
            raise InputError(f"{package} is not installed, which the export needs: {remedy}") from None
    trained = TrainedRun.load(run, "cpu")
    _check_exportable(trained)
    content, images = _converted(trained), _images(trained) if check else ()
    with atomic_write(out) as temporary:
        temporary.write_bytes(content)
        agreement = compare(temporary, trained, *images) if check else None
        if agreement and (problem := agreement.problem()):
            raise InputError(f"{out}: not written: {problem}; try another onnxruntime, or `no-check` to have it")
    data, side, channels = trained.config.data, trained.side, trained.channels
    takes = f"(N, {side}, {side}, {channels})"
    if data.crop is not None:
        takes = f"(N, height, width, {channels}), whose centre of {side}x{side} it crops,"
    test_images = source_folder(data.source or "") / TESTING
    return Exported(out, takes, test_images if test_images.is_file() else None, agreement)


def _check_exportable(run: TrainedRun) -> None:
    """Raise InputError for a run that no graph of single images can stand for."""
    if run.config.scoring.transductive:
        raise InputError(
            f"`run` {run.name}: is transductive: its scores come from a whole test set at once, and an exported graph "
            "looks at each image alone; export a run of boss"
        )


def _converted(run: TrainedRun) -> bytes:
    """The content of the file. Raises InputError if the model uses an operator that ONNX lacks."""
    try:
        return to_onnx(ScoreGraph(run), _metadata(run))
    except Exception as error:  # PyTorch's exporter and ONNX have no common exception
        if _is_interruption(error):
            raise KeyboardInterrupt from None
        reason = error_reason(error, 160)
        raise InputError(f"`run` {run.name}: PyTorch cannot export its model ({reason})") from None


def _is_interruption(error: BaseException | None) -> bool:
    """Whether an error came from Ctrl-C, which PyTorch's exporter takes for a failure of its own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _metadata(run: TrainedRun) -> dict[str, str]:
    """Where the file comes from."""
    config, folder = run.config, run.folder
    assert folder is not None  # noqa: S101 (it was loaded from there)
    metadata = {
        "hw8": __version__,
        "run": printable(folder.path.resolve().name),
        "preset": config.preset,
        "model": config.model.name,
        "side": run.side,
        "channels": run.channels,
        "crop": config.data.crop or "",
        "score": config.scoring.score,
        "parts": " ".join(config.scoring.parts),
        "calibration_images": len(run.normal_C),
        "run_sha256": hashlib.sha256(folder.model_file.read_bytes()).hexdigest(),
    }
    with contextlib.suppress(InputError):  # a run scores without its summary, too
        metadata["fingerprint"] = folder.fingerprint()
    return {name: str(value) for name, value in metadata.items()}


def compare(path: Path, run: TrainedRun, images: Images, kind: str) -> Agreement:
    """Compare a file, run by onnxruntime, with the run itself in float32 and as it is, on images of this kind.

    Raises InputError if onnxruntime cannot run it.
    """
    rows, name = np.arange(len(images)), run.score_name
    try:
        score_N, p_value_N = run_file(path, images.read_whole(rows))
    except Exception as error:  # onnxruntime's exceptions have no common base
        reason = error_reason(error, 160)
        raise InputError(f"`run` {run.name}: onnxruntime cannot run the exported graph ({reason})") from None
    calibration, scorer = run.calibration, run.scorer
    exact = Scorer(scorer.model, torch.device("cpu"), "fp32", CHECKED, scorer.evidence_names)
    expected_N = dataclasses.replace(run, scorer=exact).score(images, rows)[name]
    low_C, high_C = np.percentile(calibration.values_C[name], (25, 75))
    size_N = np.maximum(np.abs(expected_N), max(high_C - low_C, 1e-12))
    steps_N = (p_value_N - calibration.p_value(name, expected_N)) * (len(calibration.values_C[name]) + 1)
    least_N, most_N = (calibration.p_value(name, score_N + up * np.abs(score_N)) for up in (ROUNDING, -ROUNDING))
    own = None
    if scorer.precision != "fp32":
        own = float(rank_correlation([score_N, run.score(images, rows)[name]])[0, 1])
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
    outputs = [session.run(["score", "p_value"], {"images": batch}) for batch in batches if len(batch)]
    score_N, p_value_N = (np.concatenate(part) for part in zip(*outputs, strict=True))
    return score_N.astype(np.float64), p_value_N


def _images(run: TrainedRun) -> tuple[Images, str]:
    """Up to 64 images to check on, uncropped: development images if the run's data are at hand, else random ones."""
    data, side, channels = run.config.data, run.side, run.channels
    if array_exists(source_folder(data.source or "") / TRAINING):  # else the demo would be drawn, or LFW fetched
        with contextlib.suppress(InputError):
            images, splits = run.open_training()
            rows = evenly_spaced(splits.development, CHECKED)
            if (images.side, images.channels) == (side, channels):
                return Images(images.read_whole(rows), data.crop), "development"
    whole = side if data.crop is None else side + MARGIN
    rng = np.random.default_rng(0)
    mean, contrast = rng.integers(0, 256, (2, CHECKED, 1, 1, channels))
    pixels = mean + contrast / 2 * rng.uniform(-1, 1, (CHECKED, whole, whole, channels))
    return Images(pixels.clip(0, 255).astype(np.uint8), data.crop), RANDOM
