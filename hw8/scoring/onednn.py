"""Layers of a folded model as single operations of oneDNN, for scoring on a CPU.

A layer, the ReLU after it and the sum of a residual block pass over memory once instead of three times, and weights are
converted to bfloat16 once instead of for every batch. These are the operations that PyTorch's compiler makes of such
layers (torch/_inductor/fx_passes/mkldnn_fusion.py). They are private to PyTorch: where they do not work, layers stay.
"""

import functools
import itertools
import platform
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw8.models.blocks import Projection, ResidualBlock, picked
from hw8.models.output import Model

X86 = ("x86_64", "AMD64")  # as Linux and macOS call it, and as Windows does
OPS = torch.ops.mkldnn
ROWS = 128  # of the batches that packed weights suit best; others are computed as well
# Exactly these: a class that is derived from one may compute something else.
CONVOLUTIONS, LINEAR = (nn.Conv2d, nn.ConvTranspose2d), (nn.Linear, Projection)
Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


@functools.cache
def has_onednn(precision: str) -> bool:
    """Whether a CPU has these operations: x86 processors in float32, from AVX-512 on also in bfloat16.

    On ARM they were not tested.
    """
    if platform.machine() not in X86 or precision not in ("fp32", "bf16"):
        return False
    try:
        if precision == "bf16" and not OPS._is_mkldnn_bf16_supported():
            return False
        x_NCHW = torch.zeros(2, 4, 4, 4).contiguous(memory_format=torch.channels_last)
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
        with torch.inference_mode(), autocast, torch.random.fork_rng(devices=[]):  # layers draw their weights
            for layer in (nn.Conv2d(4, 4, 1), nn.ConvTranspose2d(4, 4, 1)):
                OneDnnLayer(layer, False, precision)(x_NCHW)
            OneDnnLayer(nn.Conv2d(4, 4, 1), True, precision)(x_NCHW, x_NCHW)
            OneDnnLayer(nn.Linear(4, 4), True, precision)(x_NCHW[0, 0])
    except (AttributeError, RuntimeError):  # of another PyTorch, or one built without oneDNN
        return False
    return True


def with_onednn(model: Model, precision: str, device: torch.device) -> Model:
    """The same folded model, whose layers are replaced, in place, by operations of oneDNN where they exist.

    A model of which a weight or statistic is not finite stays as it is, since its scores must not be finite either, and
    here the ReLU of a NaN would be 0. (A NaN that comes of an overflow, from finite weights, becomes 0 nevertheless.)
    """
    if device.type != "cpu" or not has_onednn(precision):
        return model
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        return model
    for layers in [module for module in model.modules() if type(module) is nn.Sequential]:
        places = [place for place, layer in enumerate(layers) if not isinstance(layer, nn.Identity)]
        for place, following in itertools.zip_longest(places, places[1:]):
            layer = layers[place]
            if is_supported(layer):
                has_relu = following is not None and type(layers[following]) is nn.ReLU
                layers[place] = OneDnnLayer(layer, has_relu, precision)
                if has_relu:
                    layers[following] = nn.Identity()
    for parent in list(model.modules()):
        for name, block in parent.named_children():
            if type(block) is ResidualBlock and is_converted(block):
                parent._modules[name] = OneDnnResidualBlock(block)
    return model


def is_supported(layer: nn.Module) -> TypeGuard[Layer]:
    """Whether a layer is one of those that operations exist for."""
    if type(layer) in CONVOLUTIONS:
        return layer.padding_mode == "zeros" and isinstance(layer.padding, tuple)
    return type(layer) in LINEAR


def is_converted(block: ResidualBlock) -> bool:
    """Whether nothing but two operations of oneDNN is left of a block's main branch."""
    return [type(layer) for layer in block.main if not isinstance(layer, nn.Identity)] == [OneDnnLayer, OneDnnLayer]


class OneDnnLayer(nn.Module):
    """A convolution, transposed convolution or linear layer, and the ReLU after it if `has_relu` is set."""

    def __init__(self, layer: Layer, has_relu: bool, precision: str) -> None:
        super().__init__()
        self.layer, self.has_relu = layer, has_relu
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.weight, self.bias = self._converted()

    def _converted(self) -> tuple[Tensor, Tensor | None]:
        weight, bias = self.layer.weight.detach().to(self.dtype), self.layer.bias
        if weight.ndim == 4:
            weight = weight.contiguous(memory_format=torch.channels_last)
        elif self.dtype == torch.bfloat16:
            weight = OPS._reorder_linear_weight(weight.contiguous(), ROWS)
        return weight, None if bias is None else bias.detach().to(self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        """Without the converted weights, since packed ones can be neither copied nor pickled."""
        return {name: value for name, value in self.__dict__.items() if name not in ("weight", "bias")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The layer, with its weights converted anew."""
        super().__setstate__(state)
        self.weight, self.bias = self._converted()

    def forward(self, x: Tensor, summand_NCHW: Tensor | None = None) -> Tensor:
        """The layer's output, to which `summand_NCHW` is added before the ReLU if it is given (for convolutions)."""
        layer, activation = self.layer, "relu" if self.has_relu else "none"
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        if dtype != self.dtype:  # a layer that stays in float32 whatever the precision of the others
            y = layer(x) if summand_NCHW is None else layer(x) + summand_NCHW
            return F.relu(y) if self.has_relu else y
        x = x.to(dtype)
        if isinstance(layer, nn.Linear):
            return OPS._linear_pointwise(x, self.weight, self.bias, activation, [], "")
        if isinstance(layer, nn.ConvTranspose2d):
            geometry = layer.padding, layer.output_padding, layer.stride, layer.dilation, layer.groups
            transposed = OPS._convolution_transpose_pointwise
            return transposed(x, self.weight, self.bias, *geometry, activation, [], "")
        steps = layer.padding, layer.stride, layer.dilation, layer.groups
        if summand_NCHW is None:
            return OPS._convolution_pointwise(x, self.weight, self.bias, *steps, activation, [], "")
        x = x.contiguous(memory_format=torch.channels_last)  # in another layout the sum is not part of the operation
        added = x, summand_NCHW.to(dtype), self.weight, self.bias
        return OPS._convolution_pointwise.binary(*added, *steps, "add", 1.0, activation, [], "")


class OneDnnResidualBlock(ResidualBlock):
    """A residual block whose last convolution adds the shortcut's output and applies the ReLU."""

    def __init__(self, block: ResidualBlock) -> None:
        nn.Module.__init__(self)
        self.first, self.last = (layer for layer in block.main if isinstance(layer, OneDnnLayer))
        self.last.has_relu = True
        self.shortcut, self.stride = block.shortcut, block.stride

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Sum of the convolutions' output and the shortcut's, through a ReLU."""
        return self.last(self.first(x_NCHW), self.shortcut(picked(x_NCHW, self.stride)))
