"""Where and in which arithmetic to compute."""

import contextlib
import ctypes
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from hw8.base.errors import InputError
from hw8.base.processes import processes

Module = TypeVar("Module", bound=nn.Module)


def choose_device(asked: str) -> torch.device:
    """The device of this name; auto takes CUDA, then Apple's GPU, then the CPU. Raises InputError if it is absent.

    Several processes compute where they meet: on a GPU each, or all on the processor.
    """
    job = processes()
    if job.count > 1:
        if asked not in ("auto", job.device):
            raise InputError(f"`device` {asked}: these {job.count} processes meet on {job.device}; leave it away")
        return torch.device(job.device, job.local_rank) if job.device == "cuda" else torch.device(job.device)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return torch.device(next(name for name, here in available.items() if here))
    if not available[asked]:
        raise InputError(f"`device` {asked}: not available on this machine; use `device` auto")
    return torch.device(asked)


def choose_precision(asked: str, device: torch.device) -> str:
    """fp32 or bf16; auto takes bf16 only where the hardware multiplies it itself, since emulation is slower."""
    if asked != "auto":
        return asked
    return "bf16" if _native_bf16(device) else "fp32"


def keep_memory() -> None:
    """Let the C library keep memory that is freed, for the next step needs as much of it again.

    By default it gives large blocks back to the system, which hands them out anew, cleared page by page: a tenth of a
    convolutional model's step on two cores, a quarter of a small one's. glibc's mallopt; elsewhere nothing happens.
    """
    trim_threshold, mmap_max = -1, -4
    with contextlib.suppress(OSError, AttributeError, TypeError):  # Windows has no library without a name
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_max, 0)


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """The context in which models run: bfloat16 autocast, or nothing for fp32."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def channels_last(model: Module) -> Module:
    """Lay the model's kernels out as NHWC, which is how the images lie and what convolutions are fastest with."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def convolves(model: nn.Module) -> bool:
    """Whether a model has convolutions: then images lie channels_last, else channels first, as its vectors do."""
    return any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in model.modules())


def _native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text()
        return "avx512_bf16" in flags or "amx_bf16" in flags
    return False
