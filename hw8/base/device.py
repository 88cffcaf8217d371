"""The device to compute on, the precision to compute in, and the memory layout of images there."""

import contextlib
import functools
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from hw8.base.errors import InputError
from hw8.base.processes import processes

Module = TypeVar("Module", bound=nn.Module)


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` takes CUDA, else Apple's GPU, else the CPU.

    In a job of several processes each takes its own GPU, or all take the CPU. Raises InputError for an absent device.
    """
    job = processes()
    if job.world_size > 1:
        if name not in ("auto", job.device):
            several = f"the {job.world_size} processes of this job"
            raise InputError(f"`device` {name}: {several} compute on {job.device}; omit it")
        return torch.device(job.device, job.local_rank) if job.device == "cuda" else torch.device(job.device)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, present in available.items() if present))
    if not available[name]:
        raise InputError(f"`device` {name}: not available on this machine; use `device` auto")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16; `auto` takes a half precision only where the hardware multiplies it.

    bf16 has float32's range and is preferred; emulation of either is slower than fp32. fp16 is taken on GPUs of compute
    capability 7.0 to 7.5 (Volta and Turing: V100, T4), whose tensor cores have no bf16.
    """
    if name != "auto":
        return name
    if _native_bf16(device):
        return "bf16"
    volta = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return "fp16" if volta else "fp32"


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context in which models run: autocast to bfloat16 or float16, or one that does nothing for fp32."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype={"bf16": torch.bfloat16, "fp16": torch.float16}[precision])


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """The array on the device; to a GPU the copy runs beside the computation, which it does from pinned memory only."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def constant(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """A tensor of these numbers on the device; on a GPU the same one each time.

    A copy from the host's memory would make the GPU wait, and cannot be captured in a CUDA graph.
    """
    return torch.tensor(values) if device.type == "cpu" else _gpu_constant(values, isinstance(values[0], int), device)


@functools.cache
def _gpu_constant(values: tuple[float, ...], whole: bool, device: torch.device) -> torch.Tensor:  # noqa: ARG001
    """`whole` tells (1, 2) from (1.0, 2.0), which are equal."""
    with torch.inference_mode(False):  # a tensor made in inference mode is of no use to training
        return torch.tensor(values, device=device)


def channels_last(model: Module) -> Module:
    """Lay the model's kernels out as NHWC: images lie so on disk, and convolutions are fastest with it."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def convolves(model: nn.Module) -> bool:
    """Whether a model has convolutions: its images then lie channels_last, else channels first, as its vectors do."""
    return any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in model.modules())


def _native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere is the first generation with bf16
    if device.type != "cpu":
        return False
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text()
        return "avx512_bf16" in flags or "amx_bf16" in flags
    return False
