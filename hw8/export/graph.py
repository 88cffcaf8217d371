"""A run's scoring as one graph, from uint8 images to score and p-value: as a PyTorch module, and as an ONNX model."""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hw8.config import ScoreConfig
from hw8.data.arrays import to_pixels
from hw8.models.noise import Randomness
from hw8.models.output import Model
from hw8.scoring.calibration import NEIGHBOURS, Calibration, Gaussian, needed_evidence
from hw8.scoring.evidence import evidence, select
from hw8.scoring.folding import folded

OPSET = 18  # ONNX 1.13, December 2022: what PyTorch's exporter is written for, and runtimes have long read
EXAMPLES = 3
LOGGERS = ("torch", "torch.__trace", "onnxscript", "onnx_ir", "onnx")
Draw = Callable[..., Tensor]


class Distance(nn.Module):
    """`Gaussian.distance` in tensors: Mahalanobis distance (1936) from the normals' median, or to the nearest normals.

    In float64, since the whitening of nearly constant evidence magnifies it a thousandfold.
    """

    location_D: Tensor
    scale_D: Tensor
    whitening_DD: Tensor
    reference_DR: Tensor

    def __init__(self, fit: Gaussian) -> None:
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


class ScoreGraph(nn.Module):
    """All that a run does to an image of its model's side: pixels, model (in float32), evidence, calibration.

    Nothing in it depends on the other images of a batch. Evidence that is not finite, which hw8 refuses, gives a
    score that is not.
    """

    value_C: Tensor

    def __init__(self, model: Model, scoring: ScoreConfig, calibration: Calibration) -> None:
        super().__init__()
        self.model = folded(model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.score, self.names = scoring.score, needed_evidence(scoring.score, scoring.parts)
        fit = calibration.fits.get(scoring.score)
        self.distance = None if fit is None else Distance(fit)
        self.register_buffer("value_C", torch.from_numpy(calibration.values_C[scoring.score]))

    def forward(self, images_NHWC: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, side, side, C) to the score, float32 (N,), and its conformal p-value (Vovk 2005), float64 (N,)."""
        x_NCHW = to_pixels(images_NHWC, channels_last=False)
        found = evidence(self.model, x_NCHW, self.model(x_NCHW), self.names)
        if self.distance is None:
            score_N = select(found, self.score).double()
        else:
            parts = [select(found, name).double() for name in self.names]
            score_N = self.distance(torch.cat([part.unsqueeze(1) if part.ndim == 1 else part for part in parts], dim=1))
        larger_N = (self.value_C >= score_N.unsqueeze(1)).sum(1)
        return score_N.float(), (1 + larger_N).double() / (self.value_C.shape[0] + 1)


@contextlib.contextmanager
def constant_noise(graph: nn.Module, images_NHWC: Tensor) -> Iterator[None]:
    """While this lasts, what `graph` draws from seeded generators is what it drew for these images, as constants.

    The same numbers serve every image and every batch (`hw8.models.noise.seeded`), so that none is lost by it; but an
    exporter would otherwise write down that they are to be drawn anew.
    """
    drawn: list[Tensor] = []
    originals: dict[str, Draw] = {name: getattr(Randomness, name) for name in ("uniform", "normal")}

    def kept(draw: Draw) -> Draw:
        def keep(self: Randomness, *shape: int) -> Tensor:
            drawn.append(draw(self, *shape))
            return drawn[-1]

        return keep

    def again(self: Randomness, *shape: int) -> Tensor:  # noqa: ARG001 (the signature of what it stands for)
        drawn.append(drawn.pop(0))  # in the order of the first time, for as many times as the graph is run
        return drawn[-1]

    try:
        for name, draw in originals.items():
            setattr(Randomness, name, kept(draw))
        graph(images_NHWC)
        for name in originals:
            setattr(Randomness, name, again)
        yield
    finally:
        for name, draw in originals.items():
            setattr(Randomness, name, draw)


def to_onnx(graph: ScoreGraph, side: int, channels: int, crop: bool, about: Mapping[str, str]) -> Any:
    """The graph as an onnx.ModelProto: `images` to `score`, float32 (N,), and `p_value`, float64 (N,).

    `images` is uint8 (N, side, side, channels) or, with `crop`, (N, height, width, channels) of any height and width
    that hold the centre of that side. `about` is kept as the model's metadata. Fails with what PyTorch or ONNX raises
    for a model that they cannot take.
    """
    onnx: Any = importlib.import_module("onnx")
    proto = _traced(graph, side, channels, "crop_centre" if crop else "images")
    _strip(proto)
    sizes: list[str | int] = ["N", "height", "width", channels] if crop else ["N", side, side, channels]
    if crop:
        _crop_first(onnx, proto.graph, side, channels)
    described = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, sizes)
    described.doc_string = "pixels from 0 to 255, channels last"
    proto.graph.ClearField("input")
    proto.graph.input.append(described)
    for output, kind in zip(proto.graph.output, (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE), strict=True):
        output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, kind, ["N"]))
    proto.graph.output[0].doc_string = "larger is more anomalous"
    proto.graph.output[1].doc_string = "share of held-out normal images at least as unlike, the image counted as one"
    onnx.helper.set_model_props(proto, dict(about))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _traced(graph: ScoreGraph, side: int, channels: int, name: str) -> Any:
    """What PyTorch's exporter makes of the graph for any number of images of this side; the input gets this name."""
    optimizer: Any = importlib.import_module("onnxscript.optimizer")
    images_NHWC = torch.zeros(EXAMPLES, side, side, channels, dtype=torch.uint8)
    with torch.no_grad(), _quiet(), constant_noise(graph, images_NHWC):
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        program = torch.export.export(graph, (images_NHWC,), dynamic_shapes=shapes, strict=False)
        done = torch.onnx.export(
            program,
            (images_NHWC,),
            input_names=[name],
            output_names=["score", "p_value"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            optimize=False,  # it takes x + 1e-12 for x, and log(x + 1e-12) is infinite where x is zero
        )
        assert done is not None  # noqa: S101 (it is None for the older exporter)
        optimizer.fold_constants(done.model)
        optimizer.remove_unused_nodes(done.model)
    return done.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what PyTorch's exporter says of packages that are not here, and of its own insides."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    try:
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _strip(proto: Any) -> None:
    """Take out what the exporter tells of this machine: stack traces with their paths; name the graph."""
    for node in proto.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for initializer in proto.graph.initializer:
        initializer.ClearField("metadata_props")
    for field in ("value_info", "metadata_props"):
        proto.graph.ClearField(field)
    proto.ClearField("metadata_props")
    proto.graph.name = "hw8"


def _crop_first(onnx: Any, graph: Any, side: int, channels: int) -> None:
    """Put a centre crop, from (height - side) // 2 on, between the input `images` and the graph's own, `crop_centre`.

    The last node fails for images smaller than the crop, of which a slice alone would take what there is.
    """
    numbers = {
        "crop_sides": [side, side],
        "crop_two": [2, 2],
        "crop_axes": [1, 2],
        "crop_shape": [0, side, side, channels],  # 0 keeps the number of images
    }
    for name, value in numbers.items():
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.int64), name))
    make = onnx.helper.make_node
    nodes = [
        make("Shape", ["images"], ["crop_whole"], start=1, end=3),
        make("Sub", ["crop_whole", "crop_sides"], ["crop_spare"]),
        make("Div", ["crop_spare", "crop_two"], ["crop_start"]),
        make("Add", ["crop_start", "crop_sides"], ["crop_end"]),
        make("Slice", ["images", "crop_start", "crop_end", "crop_axes"], ["crop_inner"]),
        make(
            "Reshape", ["crop_inner", "crop_shape"], ["crop_centre"], name=f"images_must_hold_a_crop_of_{side}x{side}"
        ),
        *graph.node,
    ]
    graph.ClearField("node")
    graph.node.extend(nodes)
