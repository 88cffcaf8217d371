"""A method that computes on a GPU, captured once as a CUDA graph and then replayed by a single call."""

import threading
import weakref
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor

from hw8.base.device import to_device

# Calls before the first capture: they allocate libraries' workspaces and optimizers' states. Three, as in PyTorch's
# description of CUDA graphs.
WARM_UP = 3
# A replay reads and writes the tensors of its capture, and PyTorch captures in one thread at a time.
_lock = threading.Lock()


class CudaGraph:
    """Calls a method, on a GPU, by replaying the kernels that it started when it was captured.

    A step of a small model is hundreds of kernels, each of which runs for a few microseconds: Python starts them more
    slowly than the GPU finishes them. One graph is captured for each shape of the first input; the inputs, arrays on
    the host, are copied to the tensors that it reads, the outputs to new tensors. What the method does on the host
    happens when it is captured, and not again: it must not wait for the GPU, branch on values there, draw random
    numbers on the host, or count in Python. Random numbers of the GPU follow torch.cuda.manual_seed at each call.
    """

    def __init__(self, method: Callable[..., dict[str, Tensor]], device: torch.device) -> None:
        # Weakly, since the method's owner has this graph: a cycle would keep the memory of both until Python looks for
        # cycles, which a full GPU does not make it do.
        self._method = weakref.WeakMethod(method)
        self._device, self._calls = device, 0
        self._stream, self._pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
        self._graphs: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, list[Tensor], dict[str, Tensor]]] = {}

    def __call__(self, *inputs: np.ndarray) -> dict[str, Tensor]:
        """The method's outputs; the first three calls are made as they are."""
        with _lock:
            self._calls += 1
            if self._calls <= WARM_UP:
                return self._warm_up([to_device(value, self._device) for value in inputs])
            shape = inputs[0].shape
            if shape not in self._graphs:
                self._graphs[shape] = self._capture([to_device(value, self._device) for value in inputs])
            graph, static_inputs, static_outputs = self._graphs[shape]
            for static, value in zip(static_inputs, inputs, strict=True):
                static.copy_(torch.from_numpy(value).pin_memory(), non_blocking=True)
            graph.replay()
            return {name: value.clone() for name, value in static_outputs.items()}

    def _outputs(self, inputs: list[Tensor]) -> dict[str, Tensor]:
        return cast(Callable[..., dict[str, Tensor]], self._method())(*inputs)  # its owner, which has this graph, lives

    def _warm_up(self, inputs: list[Tensor]) -> dict[str, Tensor]:
        """The method's outputs, computed on the stream on which it is captured later, as PyTorch asks for."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outputs = self._outputs(inputs)
        current.wait_stream(self._stream)
        return outputs

    def _capture(self, inputs: list[Tensor]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], dict[str, Tensor]]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            outputs = self._outputs(inputs)
        return graph, inputs, outputs
