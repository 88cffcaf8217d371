"""A run's scoring as one PyTorch module, from whole uint8 images to score and p-value, and its export to ONNX."""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from hw8.config import FUSED
from hw8.data.arrays import to_pixels
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import NEIGHBOURS, FittedDistance
from hw8.scoring.evidence import evidence
from hw8.scoring.folding import folded
from hw8.scoring.tails import Tail

OPSET = 18  # ONNX 1.13, December 2022: what PyTorch's exporter is written for; an older one lacks operators it uses
# Images of the example that is traced, and its pixels beyond the crop. Chosen by hand: the tracer could take sizes of 0
# or 1, or equal heights and widths, for constant.
EXAMPLES, SPARE_HEIGHT, SPARE_WIDTH = 3, 7, 12


class Distance(nn.Module):
    """`FittedDistance.distance` in tensors: Mahalanobis (1936), from the normals' median, or to the nearest normals.

    In float64, since the whitening of nearly constant evidence magnifies it a thousandfold.
    """

    location_D: Tensor
    scale_D: Tensor
    whitening_DD: Tensor
    reference_DR: Tensor

    def __init__(self, fit: FittedDistance) -> None:
        super().__init__()
        self.register_buffer("location_D", torch.from_numpy(fit.location_D))
        self.register_buffer("scale_D", torch.from_numpy(fit.scale_D))
        self.register_buffer("whitening_DD", torch.from_numpy(np.linalg.cholesky(fit.precision_DD)))
        self.register_buffer("reference_DR", torch.from_numpy(np.ascontiguousarray(fit.reference_RD.T)))

    def forward(self, value_ND: Tensor) -> Tensor:
        """Evidence side by side, float64 (N, D), to its distance (N,)."""
        white_ND = (value_ND - self.location_D) / self.scale_D @ self.whitening_DD
        nearest = min(NEIGHBOURS, self.reference_DR.shape[1])
        if not nearest:
            return torch.linalg.vector_norm(white_ND, dim=1)
        # |a - b|^2 = |a|^2 - 2 a b + |b|^2, which rounding may take a little below zero.
        lengths_NR = white_ND.square().sum(1, keepdim=True) + self.reference_DR.square().sum(0)
        squared_NR = (lengths_NR - 2 * white_ND @ self.reference_DR).clamp_min(0)
        return squared_NR.topk(nearest, dim=1, largest=False).values.sqrt().mean(1)


class NegLogP(nn.Module):
    """`Tail.neg_log_p` in tensors: -log p of scores (N,), interpolated between the normals' and linear beyond them."""

    value_U: Tensor
    neg_log_p_U: Tensor

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self.register_buffer("value_U", torch.from_numpy(tail.value_U))
        self.register_buffer("neg_log_p_U", torch.from_numpy(tail.neg_log_p_U))
        self.excess, self.last = tail.excess, len(tail.value_U) - 1

    def forward(self, score_N: Tensor) -> Tensor:
        """Scores, float64 (N,), to -log p (N,)."""
        upper_N = (self.value_U <= score_N.unsqueeze(1)).sum(1).clamp(max=self.last)
        lower_N = (upper_N - 1).clamp(min=0)
        low_N, high_N = self.value_U[lower_N], self.value_U[upper_N]
        share_N = ((score_N - low_N) / (high_N - low_N).clamp(min=1e-300)).clamp(0, 1)
        body_N = self.neg_log_p_U[lower_N] + share_N * (self.neg_log_p_U[upper_N] - self.neg_log_p_U[lower_N])
        below_N = (self.value_U[0] - score_N).clamp(min=0) / self.excess
        beyond_N = (score_N - self.value_U[self.last]).clamp(min=0) / self.excess
        return body_N / (1 + below_N) + beyond_N


class ScoreGraph(nn.Module):
    """All that a run does to whole images: centre crop, scaling of pixels, model in float32, evidence, calibration.

    Nothing in it depends on the other images of a batch. Evidence that is not finite, which hw8 refuses, gives a
    score that is not finite.
    """

    value_C: Tensor

    def __init__(self, run: TrainedRun) -> None:
        super().__init__()
        scoring, calibration = run.config.scoring, run.calibration
        self.side, self.channels, self.crops = run.side, run.channels, run.config.data.crop is not None
        self.model = folded(run.scorer.model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        score_names = scoring.fused if scoring.score == FUSED else (scoring.score,)
        self.names = scoring.evidence_names
        self.parts = {score: scoring.evidence_of(score) for score in score_names}
        fits = {name: Distance(fit) for name, fit in calibration.fits.items() if name in self.parts}
        self.distances = nn.ModuleDict(fits)
        tails = {name: NegLogP(Tail.fit(calibration.values_C[name])) for name in self.parts}
        self.neg_log_p = nn.ModuleDict(tails if scoring.score == FUSED else {})
        self.register_buffer("value_C", torch.from_numpy(calibration.values_C[scoring.score]))
        self.eval()

    def forward(self, images_NHWC: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, C) to the score, float32 (N,), and its conformal p-value (Vovk 2005), float64 (N,)."""
        x_NCHW = to_pixels(self._centre(images_NHWC), channels_last=False)
        pieces = evidence(self.model, x_NCHW, evidence_names=self.names)
        scores = {name: self._score(name, pieces) for name in self.parts}
        if self.neg_log_p:
            score_N = torch.stack([self.neg_log_p[name](value_N) for name, value_N in scores.items()]).sum(0)
        else:
            (score_N,) = scores.values()
        larger_N = (self.value_C >= score_N.unsqueeze(1)).sum(1)
        return score_N.float(), (1 + larger_N).double() / (self.value_C.shape[0] + 1)

    def _score(self, name: str, pieces: Mapping[str, Tensor]) -> Tensor:
        """One score, float64 (N,): a number of the evidence, or the distance of several pieces side by side."""
        parts = [pieces[part].double() for part in self.parts[name]]
        if name not in self.distances:
            return parts[0]
        columns = [part.unsqueeze(1) if part.ndim == 1 else part for part in parts]
        return self.distances[name](torch.cat(columns, dim=1))

    def _centre(self, images_NHWC: Tensor) -> Tensor:
        """The centre crop that `Images.read` takes, if the run crops."""
        if not self.crops:
            return images_NHWC
        count, height, width, channels = images_NHWC.shape
        top, left = (height - self.side) // 2, (width - self.side) // 2
        centre_NHWC = images_NHWC.narrow(1, top, self.side).narrow(2, left, self.side)
        # Of an image smaller than the crop ONNX's slice takes what there is; this shape then fails, naming both sizes.
        return centre_NHWC.reshape(count, self.side, self.side, channels)


def to_onnx(graph: ScoreGraph, about: Mapping[str, str]) -> bytes:
    """The graph as the content of an ONNX file: `images` to `score` and `p_value`, as `ScoreGraph.forward` has them.

    `images` is uint8 (N, side, side, channels) or, if the run crops, (N, height, width, channels) of any height and
    width of at least the side. `about` is stored as the model's metadata. Fails with what PyTorch or ONNX raises for a
    model that they do not support.
    """
    onnx, optimizer, passes = map(importlib.import_module, ("onnx", "onnxscript.optimizer", "onnx_ir.passes.common"))
    height, width, sizes = graph.side, graph.side, {0: torch.export.Dim("N")}
    if graph.crops:
        height, width = height + SPARE_HEIGHT, width + SPARE_WIDTH
        sizes |= {1: torch.export.Dim("height", min=graph.side), 2: torch.export.Dim("width", min=graph.side)}
    images_NHWC = torch.zeros(EXAMPLES, height, width, graph.channels, dtype=torch.uint8)
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graph,
            (images_NHWC,),
            dynamic_shapes=(sizes,),
            input_names=["images"],
            output_names=["score", "p_value"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            optimize=False,  # it takes x + 1e-12 for x, and log(x + 1e-12) is infinite where x is zero
        )
        assert program is not None  # noqa: S101 (it is None for the older exporter)
        model = program.model
        optimizer.fold_constants(model)
        optimizer.remove_unused_nodes(model)
        passes.ClearMetadataAndDocStringPass()(model)  # else stack traces tell the paths of this machine
    model.graph.name = "hw8"
    model.graph.inputs[0].doc_string = "pixels from 0 to 255, channels last"
    model.graph.outputs[0].doc_string = "larger is more anomalous"
    model.graph.outputs[1].doc_string = "share of held-out normal images at least as unlike, the image counted as one"
    model.metadata_props.update(about)
    model.producer_name, model.producer_version = "hw8", about["hw8"]
    proto = program.model_proto
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString()
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what PyTorch's exporter logs about packages that are not installed and about its own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
