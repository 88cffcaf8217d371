"""Layers of a folded model as single operations of oneDNN, for scoring on a CPU.

A layer, the ReLU after it and the sum of a residual block pass over memory once instead of three times, and weights are
converted to bfloat16 once instead of for every batch. These are the operations that PyTorch's compiler makes of such
layers (torch/_inductor/fx_passes/mkldnn_fusion.py). They are private to PyTorch: where it lacks them, layers stay.
"""

import platform

import torch
from torch import Tensor, nn

from hw8.models.blocks import PointwiseConv, ResidualBlock
from hw8.models.output import Model

X86 = ("x86_64", "AMD64")  # as Linux and macOS call it, and as Windows does
OPS = torch.ops.mkldnn
ROWS = 128  # of the batches that packed weights suit best; others are computed as well


def has_onednn(precision: str, device: torch.device) -> bool:
    """Whether there are such operations: on x86 processors in float32, from AVX-512 on also in bfloat16.

    On ARM they were not tested.
    """
    if device.type != "cpu" or platform.machine() not in X86 or not torch.backends.mkldnn.is_available():
        return False
    return precision == "fp32" or (precision == "bf16" and bool(OPS._is_mkldnn_bf16_supported()))


def with_onednn(model: Model, precision: str, device: torch.device) -> Model:
    """The same folded model, whose layers are replaced, in place, by operations of oneDNN where they exist.

    A model whose weights are not all finite stays as it is: its scores must not be finite either, and here the ReLU of
    what is not a number would be 0.
    """
    if not has_onednn(precision, device) or not all(weight.isfinite().all() for weight in model.parameters()):
        return model
    for layers in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        names = [name for name, layer in layers.named_children() if not isinstance(layer, nn.Identity)]
        for name, after in zip(names, [*names[1:], None], strict=True):
            layer = layers._modules[name]
            if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                continue
            relu = after is not None and isinstance(layers._modules[after], nn.ReLU)
            layers._modules[name] = OneDnnLayer(layer, relu, precision)
            if after is not None and relu:
                layers._modules[after] = nn.Identity()
    for parent in list(model.modules()):
        for name, block in parent.named_children():
            if isinstance(block, ResidualBlock):
                parent._modules[name] = OneDnnResidualBlock(block)
    return model


class OneDnnLayer(nn.Module):
    """A convolution, transposed convolution or linear layer, and the ReLU after it if `relu` is set."""

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, relu: bool, precision: str) -> None:
        super().__init__()
        self.layer = layer
        self.activation = "relu" if relu else "none"
        dtypes = {torch.float32, torch.bfloat16 if precision == "bf16" else torch.float32}
        self.weights = {dtype: self._converted(dtype) for dtype in dtypes}

    def _converted(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        weight, bias = self.layer.weight.detach().to(dtype), self.layer.bias
        if isinstance(self.layer, nn.Linear):
            weight = OPS._reorder_linear_weight(weight.contiguous(), ROWS)
        else:
            weight = weight.contiguous(memory_format=torch.channels_last)
        return weight, None if bias is None else bias.detach().to(dtype)

    def forward(self, x: Tensor, summand_NCHW: Tensor | None = None) -> Tensor:
        """The layer's output, in bfloat16 under autocast; of a convolution with a summand, ReLU(output + summand)."""
        layer = self.layer
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        x, (weight, bias) = x.to(dtype), self.weights[dtype]
        if isinstance(layer, nn.Linear):
            return OPS._linear_pointwise(x, weight, bias, self.activation, [], "")
        if isinstance(layer, nn.ConvTranspose2d):
            padding = layer.padding, layer.output_padding
            steps = layer.stride, layer.dilation, layer.groups
            return OPS._convolution_transpose_pointwise(x, weight, bias, *padding, *steps, self.activation, [], "")
        if isinstance(layer, PointwiseConv):
            x = layer.picked(x)
        geometry = layer.padding, layer.stride, layer.dilation, layer.groups
        if summand_NCHW is None:
            return OPS._convolution_pointwise(x, weight, bias, *geometry, self.activation, [], "")
        return OPS._convolution_pointwise.binary(x, summand_NCHW, weight, bias, *geometry, "add", 1.0, "relu", [], "")


class OneDnnResidualBlock(ResidualBlock):
    """A residual block whose last convolution adds the shortcut's output and applies the ReLU."""

    def __init__(self, block: ResidualBlock) -> None:
        nn.Module.__init__(self)
        self.main, self.shortcut = block.main, block.shortcut

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Sum of the convolutions' output and the shortcut's, through a ReLU."""
        first, last = (layer for layer in self.main if isinstance(layer, OneDnnLayer))
        hidden_NCHW = first(x_NCHW)
        return last(hidden_NCHW, self.shortcut(x_NCHW).to(hidden_NCHW.dtype))
