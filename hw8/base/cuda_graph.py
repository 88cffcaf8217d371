"""A function of tensors on a GPU, recorded once as a CUDA graph and then replayed by a single call."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hw8.base.device import to_device

# Calls before the first recording, which make what is made once: workspaces of libraries, states of optimizers. Three,
# as in PyTorch's description of CUDA graphs.
WARM_UP = 3


class CudaGraph:
    """Calls `function`, on a GPU, by replaying a recording of the kernels that it starts.

    A step of a small model is hundreds of kernels, each of which runs for a few microseconds: Python starts them more
    slowly than the GPU finishes them. One recording is made for each shape of the first input; the inputs, arrays on
    the host, are copied to where it reads them, the outputs to new tensors. What the function does on the host happens
    while it is recorded, and not again: it must not wait for the GPU, branch on values there, or draw random numbers
    on the host. Random numbers of the GPU follow torch.cuda.manual_seed at each call.
    """

    def __init__(self, function: Callable[..., dict[str, Tensor]], device: torch.device) -> None:
        self._function, self._device, self._calls = function, device, 0
        self._stream, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
        self._recordings: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], dict[str, Tensor]]] = {}

    def __call__(self, *inputs: np.ndarray) -> dict[str, Tensor]:
        """The function's outputs; the first three calls are not replayed but made."""
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._called(*(to_device(value, self._device) for value in inputs))
        shape = inputs[0].shape
        if shape not in self._recordings:
            self._recordings[shape] = self._record(*(to_device(value, self._device) for value in inputs))
        graph, places, outputs = self._recordings[shape]
        for place, value in zip(places, inputs, strict=True):
            place.copy_(torch.from_numpy(value).pin_memory(), non_blocking=True)
        graph.replay()
        return {name: value.clone() for name, value in outputs.items()}

    def _called(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The function's outputs, computed on the stream on which it is recorded later, as PyTorch asks for."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outputs = self._function(*inputs)
        current.wait_stream(self._stream)
        return outputs

    def _record(self, *places: Tensor) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], dict[str, Tensor]]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            outputs = self._function(*places)
        return graph, places, outputs
